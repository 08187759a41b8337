"""Several watches as one stream of server-sent events.

Each kind is watched by the API's own watch verb, with the viewer's rights; a greenlet for each
hands its events to the one that writes. What the page needs to know beside them: `synced`, once
everything that there was has been sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent
import orjson
from gevent.queue import Empty, Queue

from apiserver.authorization import authorize
from apiserver.request_info import User, parse
from apiserver.verbs import Verbs

KINDS = {
    "nodes": "/api/v1/nodes",
    "deployments": "/apis/apps/v1/deployments",
    "replicasets": "/apis/apps/v1/replicasets",
    "pods": "/api/v1/pods",
    "events": "/api/v1/events",
}
QUERY = (
    "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
)
KEEP_ALIVE_S = 15.0
MAX_WAITING = 1000  # events; a page that reads slower than this holds its watches back
_END = b""


class _Leg:
    """What one of the watches sees of the browser's connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._wake: Callable[[], object] | None = None

    def on_readable(self, wake: Callable[[], object]) -> None:
        self._wake = wake

    def stop_on_readable(self) -> None:
        self._wake = None

    def has_gone(self) -> bool:
        return bool(self._connection.has_gone())

    def wake(self) -> None:
        if self._wake is not None:
            self._wake()


def events(verbs: Verbs, user: User, environ: dict[str, Any]) -> Iterator[bytes]:
    """`data: {"resource", "type", "object"}` for each event, until the browser goes away."""
    connection = environ["podium.connection"]
    queue: Queue[tuple[str, bytes]] = Queue(MAX_WAITING)
    legs = {name: _Leg(connection) for name in KINDS}
    watchers = []
    for name, path in KINDS.items():
        seen = {**environ, "podium.connection": legs[name], "HTTP_ACCEPT": ""}
        call = parse("GET", path, QUERY, user, seen)
        authorize(verbs.store, call)
        watchers.append(gevent.spawn(_forward, name, verbs.watch(call).body, queue))
    return _merged(connection, queue, legs, watchers)


def _forward(name: str, frames: Any, queue: Queue[tuple[str, bytes]]) -> None:
    for frame in frames:
        for line in frame.splitlines():
            queue.put((name, line))
    queue.put((name, _END))


def _merged(
    connection: Any, queue: Queue[tuple[str, bytes]], legs: dict[str, _Leg], watchers: list[Any]
) -> Iterator[bytes]:
    def wake_all() -> None:
        for leg in legs.values():
            leg.wake()

    connection.on_readable(wake_all)
    unsynced = set(KINDS)
    try:
        yield b"retry: 500\n\n"
        while not connection.has_gone():
            try:
                name, line = queue.get(timeout=KEEP_ALIVE_S)
            except Empty:
                yield b": still here\n\n"
                continue
            if line == _END or line.startswith(b'{"type":"ERROR"'):
                return  # the browser connects again by itself
            if line.startswith(b'{"type":"BOOKMARK"'):
                if name in unsynced and b"initial-events-end" in line:
                    unsynced.discard(name)
                    if not unsynced:
                        yield b"event: synced\ndata: {}\n\n"
                continue
            yield b'data: {"resource":' + orjson.dumps(name) + b"," + line[1:] + b"\n\n"
    finally:
        connection.stop_on_readable()
        gevent.killall(watchers, block=False)
