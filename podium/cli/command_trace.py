"""Room podium/cli: what one command writes is one trace, whose root is the command.

The span is told when the writes are done; a command that is interrupted is known from what it wrote
all the same, for each write names it (apiserver/origins.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@contextmanager
def traced(api: Connection, name: str) -> Iterator[None]:
    """The requests within belong to `podium <name>`."""
    from podium.api.trace_context import now_us
    from podium.client import tracing

    with tracing.commanding(name) as span:
        yield
    if span.must_be_told and tracing.is_on():
        _tell(api, span.record(now_us()))


def _tell(api: Connection, record: dict[str, object]) -> None:
    """Once: whoever may not tell, or does not reach the server any more, has done their work."""
    import orjson

    from podium.api.trace_context import SPANS
    from podium.client.errors import ClientError

    body = {"component": "podium", "dropped": 0, "spans": [record]}
    with suppress(ClientError):
        api.client.with_patience(0).raw("POST", SPANS, body=orjson.dumps(body))
