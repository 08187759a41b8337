"""What the components tell of their work: `POST /podium/v1/spans`. Room apiserver.

Controllers, scheduler, kubelets and the command send finished spans in batches, in the background
(podium/client/span_sender.py). Here they are checked, stamped with who told them, and kept for a
while. A batch that is told twice (its answer was lost) does no harm: a span has an id.

    {"component": "kubelet node-1", "dropped": 0, "spans": [{"traceId", "spanId", "parentId",
     "kind", "name", "key", "beganUs", "endedUs", "reactedTo": [812], "attributes": {…},
     "within": {"name", "beganUs", "reactedTo"}}]}

`kind` is command, reconcile, phase or process. `within` tells of the parent of a phase, which may
never be told.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from sqlalchemy import Connection, delete, func, insert, or_, select

from apiserver import bodies
from apiserver.authorization import MASTERS, NODES
from apiserver.cause_log import FORGET_STEP
from apiserver.errors import ApiError
from apiserver.models import spans
from apiserver.request_info import User
from apiserver.storage import Store
from podium.api import status
from podium.api.trace_context import now_us

Object = dict[str, Any]

KEEP_SPANS = 200_000
KEEP_S = 7 * 24 * 3600
BATCH_MAX = 1000  # spans
COMPONENTS_MAX = 1000  # whose dropped spans are counted
SPAN_MAX_BYTES = 4096
KINDS = frozenset({"command", "reconcile", "phase", "process"})

_COMPONENTS = ("system:kube-controller-manager", "system:kube-scheduler")
_IDS = {"traceId": re.compile("[0-9a-f]{32}"), "spanId": re.compile("[0-9a-f]{16}"),
        "parentId": re.compile("[0-9a-f]{16}|")}  # fmt: skip


class SpanLog:
    """One per server. `dropped` counts what senders had no room for, by component."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.dropped: dict[str, int] = {}

    def take(self, user: User, environ: dict[str, Any]) -> int:
        """Keep a batch; how many. ApiError 403, 400."""
        if not _may_tell(user):
            why = f'User "{user.name}" cannot post path "/podium/v1/spans"'
            raise ApiError(status.forbidden(None, "", why))
        batch = bodies.parse_json(bodies.read(environ), "spans")[0]
        if not isinstance(batch, dict) or not isinstance(batch.get("spans"), list):
            raise ApiError(status.bad_request('the batch has no "spans"'))
        if len(batch["spans"]) > BATCH_MAX:
            raise ApiError(status.bad_request(f"a batch has at most {BATCH_MAX} spans"))
        component = str(batch.get("component") or "")[:100]
        dropped = batch.get("dropped")
        if isinstance(dropped, int) and dropped > 0 and len(self.dropped) < COMPONENTS_MAX:
            self.dropped[component] = dropped
        about = {"component": component, "toldBy": user.name}
        rows = [_row(span, about) for span in batch["spans"]]
        if rows:
            self._store.run_task(
                lambda connection: connection.execute(insert(spans), rows).rowcount
            )
        return len(rows)


def _may_tell(user: User) -> bool:
    if user.is_read_only:
        return False
    return user.name in _COMPONENTS or MASTERS in user.groups or NODES in user.groups


def _row(span: Any, about: Object) -> Object:
    if not isinstance(span, dict) or span.get("kind") not in KINDS:
        raise ApiError(status.bad_request(f"a span's kind is one of {', '.join(sorted(KINDS))}"))
    for name, pattern in _IDS.items():
        if not pattern.fullmatch(str(span.get(name, ""))):
            raise ApiError(status.bad_request(f"no {name} of W3C Trace Context"))
    if not all(isinstance(span.get(name), int) for name in ("beganUs", "endedUs")):
        raise ApiError(status.bad_request("a span's beganUs and endedUs are microseconds"))
    body = orjson.dumps(span | about)
    if len(body) > SPAN_MAX_BYTES:
        raise ApiError(status.bad_request(f"a span has at most {SPAN_MAX_BYTES} bytes"))
    return {"trace": span["traceId"], "at": now_us(), "body": body}


def of_trace(connection: Connection, trace_id: str) -> list[Object]:
    """As they were told, each once."""
    query = select(spans.c.body).where(spans.c.trace == trace_id).order_by(spans.c.id)
    found: dict[str, Object] = {}
    for (body,) in connection.execute(query):
        span = orjson.loads(body)
        found.setdefault(span["spanId"], span)
    return list(found.values())


def newest(connection: Connection) -> int:
    """The number of the span that was told last."""
    return connection.execute(select(func.max(spans.c.id))).scalar() or 0


def after(connection: Connection, number: int, size: int) -> tuple[list[Object], int]:
    """Spans of any trace behind a number, as they were told, and the last one's number."""
    query = select(spans.c.id, spans.c.body).where(spans.c.id > number).order_by(spans.c.id)
    rows = list(connection.execute(query.limit(size)))
    return [orjson.loads(body) for _, body in rows], rows[-1][0] if rows else number


def forget(connection: Connection, now_s: float) -> int:
    """Keep the newest KEEP_SPANS, none older than KEEP_S; how many went, at most FORGET_STEP."""
    oldest = select(spans.c.id).order_by(spans.c.id).limit(FORGET_STEP)
    is_old = or_(spans.c.id <= newest(connection) - KEEP_SPANS, spans.c.at < (now_s - KEEP_S) * 1e6)
    return connection.execute(delete(spans).where(spans.c.id.in_(oldest), is_old)).rowcount
