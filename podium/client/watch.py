"""Room podium/client: a stream of changes, as `Client.watch` gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from podium.client.connection import Response
from podium.client.errors import Unreachable, from_status


@dataclass(frozen=True, slots=True)
class Event:
    """A change: `type` is ADDED, MODIFIED, DELETED or BOOKMARK."""

    type: str
    object: dict[str, Any]
    cause: dict[str, Any] | None = None  # {"traceparent", "of"}, if it was asked for and is known


class Watch:
    """An iterator of events. One thread iterates; `close()` may come from any."""

    def __init__(self, response: Response) -> None:
        self._response = response
        self._lines = response.lines()

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Event:
        for line in self._lines:
            if line.strip():
                return self._event(line)
        raise StopIteration

    def close(self) -> None:
        """End the stream at once: whoever iterates gets Unreachable or the end."""
        self._response.shut()

    def dispose(self) -> None:
        """Give the connection back to the system; by whoever iterates. Safe to repeat."""
        self._lines.close()  # type: ignore[attr-defined]
        self._response.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.dispose()

    def _event(self, line: bytes) -> Event:
        try:
            raw = orjson.loads(line)
            event = Event(raw["type"], raw["object"], raw.get("cause"))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Unreachable(f"not a watch event: {line[:80]!r}") from error
        if event.type == "ERROR":
            raise from_status(event.object, 500)
        return event
