"""Watches: recent changes in memory, the log behind them, and the stream each client reads.

Room apiserver; runs in the main thread. storage.py publishes after each commit, routes.py streams.
A watch is a greenlet that remembers how far it has read: a slow client holds no queue, it falls
behind into the log, and when the log has been compacted under it, it is told to list again (410).
An idle watch wakes only for a change of its kind, its bookmark, its end, or when its socket becomes
readable, which is how a client that has gone is noticed at once.
"""

from __future__ import annotations

import bisect
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
import orjson
from gevent.event import Event

from apiserver.listing import Filter
from apiserver.request_info import ANONYMOUS, User
from apiserver.storage import Change, Compacted, Record, Store
from podium.api import status
from podium.api.scheme import Resource

RING_BYTES = 4 << 20  # of bodies in memory, all kinds together; older ones are read from the log
LOG_PAGE = 200  # changes read from the log at once
WRITE_AT_ONCE = 64 << 10  # bytes of events joined into one write
BOOKMARK_EVERY_S = 60.0
DEFAULT_TIMEOUT_S = 3600.0  # a watch that does not say how long ends after an hour


class Client(Protocol):
    """The connection a watch writes to."""

    def on_readable(self, wake: Callable[[], object]) -> None: ...
    def stop_on_readable(self) -> None: ...
    def has_gone(self) -> bool: ...


class Ring:
    """The latest changes of one resource: every one of them after `floor`."""

    __slots__ = ("changes", "floor", "size_bytes")

    def __init__(self, floor: int) -> None:
        self.changes: list[Change] = []
        self.floor = floor
        self.size_bytes = 0

    def append(self, change: Change) -> int:
        self.changes.append(change)
        size = len(change.body) + len(change.prev or b"")
        self.size_bytes += size
        return size

    def drop_half(self) -> int:
        """Forget the older half; the bytes that gives."""
        half = max(1, len(self.changes) // 2)
        dropped = sum(len(c.body) + len(c.prev or b"") for c in self.changes[:half])
        self.floor = self.changes[half - 1].rv
        del self.changes[:half]
        self.size_bytes -= dropped
        return dropped

    def after(self, rv: int, limit: int) -> list[Change]:
        at = bisect.bisect_right(self.changes, rv, key=lambda c: c.rv)
        return self.changes[at : at + limit]


class WatchHub:
    """Who watches what, and what has just happened."""

    def __init__(self) -> None:
        self.revision = 0  # the last one published
        self._start = 0
        self._rings: dict[str, Ring] = {}
        self._bytes = 0
        self._waiting: dict[str, set[Event]] = defaultdict(set)
        self._ended = False
        self._watches: dict[Event, tuple[Resource, WatchOptions]] = {}
        self._disturbance: Callable[[Resource, User], Disturbance] = lambda *_: UNDISTURBED

    def begin(self, revision: int) -> None:
        """Before the first change: what is already in the database."""
        self.revision = self._start = revision

    def publish(self, happened: Sequence[Change]) -> None:
        """Main thread, in rv order."""
        for change in happened:
            self._bytes += self._ring(change.resource).append(change)
        self.revision = happened[-1].rv
        while self._bytes > RING_BYTES:
            largest = max(self._rings.values(), key=lambda r: r.size_bytes)
            self._bytes -= largest.drop_half()
        for resource in {change.resource for change in happened}:
            for event in self._waiting[resource]:
                event.set()

    def end(self) -> None:
        """End every watch: the server stops."""
        self._ended = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    @property
    def has_ended(self) -> bool:
        return self._ended

    def disturb(self, by: Callable[[Resource, User], Disturbance]) -> None:
        """Have the watches that are open, and those to come, go wrong like that."""
        self._disturbance = by
        for wake, (kind, options) in list(self._watches.items()):
            options.disturbance = by(kind, options.user)
            wake.set()

    def opened(self, wake: Event, kind: Resource, options: WatchOptions) -> None:
        """A watch begins; `stop_waiting` is its end."""
        self._watches[wake] = (kind, options)
        options.disturbance = self._disturbance(kind, options.user)

    def wait_on(self, resource: str, event: Event | None = None) -> Event:
        """An event that is set at each change of a resource; a given one, for several of them."""
        event = event or Event()
        self._waiting[resource].add(event)
        return event

    def stop_waiting(self, resource: str, event: Event) -> None:
        self._waiting[resource].discard(event)
        self._watches.pop(event, None)

    def count(self) -> int:
        """How many watches are open."""
        return sum(len(events) for events in self._waiting.values())

    def changes_after(self, store: Store, resource: str, rv: int) -> list[Change]:
        """The next few changes of a resource behind `rv`. Raises Compacted."""
        ring = self._ring(resource)
        if rv >= ring.floor:
            return ring.after(rv, LOG_PAGE)
        upto = ring.floor
        found = store.changes_after(resource, rv, upto, LOG_PAGE)
        return found or ring.after(rv, LOG_PAGE)

    def _ring(self, resource: str) -> Ring:
        ring = self._rings.get(resource)
        if ring is None:
            ring = self._rings[resource] = Ring(self._start)
        return ring


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What faults do to a watch (fault_lab.py)."""

    is_dropped: bool = False  # it ends
    is_silent: bool = False  # nothing is told, not even its end
    delay_s: float = 0.0  # it lags


UNDISTURBED = Disturbance()


@dataclass(slots=True)
class WatchOptions:
    """How a client wants it. `shape(change_type, body, obj)` gives an event's object as bytes."""

    rv: int  # everything after this
    wants_bookmarks: bool
    timeout_s: float
    filter: Filter
    shape: Callable[[Record | Change, bytes], bytes] | None  # None: the stored bytes
    initial: list[Record] | None = None  # first sent as ADDED
    wants_initial_end: bool = False  # a bookmark that says where the initial ones end
    wants_causes: bool = False  # beside each object what made it so
    user: User = ANONYMOUS
    disturbance: Disturbance = UNDISTURBED


def frame(type_: str, body: bytes) -> bytes:
    return b'{"type":"' + type_.encode() + b'","object":' + body + b"}\n"


def bookmark(resource: Resource, rv: int, is_initial_end: bool = False) -> bytes:
    metadata: dict[str, Any] = {"resourceVersion": str(rv), "creationTimestamp": None}
    if is_initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    body = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    return frame("BOOKMARK", orjson.dumps(body))


def stream(
    hub: WatchHub, store: Store, resource: Resource, options: WatchOptions, client: Client
) -> Iterator[bytes]:
    """The watch's bytes, until its time is up or its client has gone."""
    wake = hub.wait_on(resource.key)
    hub.opened(wake, resource, options)
    client.on_readable(wake.set)
    try:
        yield from _initial(resource, options)
        yield from _follow(hub, store, resource, options, client, wake=wake)
    finally:
        client.stop_on_readable()
        hub.stop_waiting(resource.key, wake)


def _initial(resource: Resource, options: WatchOptions) -> Iterator[bytes]:
    records = options.initial or []
    for record in records:
        body = record.body if options.shape is None else options.shape(record, record.body)
        yield frame("ADDED", body)
    options.initial = None
    if options.wants_initial_end:
        yield bookmark(resource, options.rv, is_initial_end=True)


def _follow(
    hub: WatchHub,
    store: Store,
    resource: Resource,
    options: WatchOptions,
    client: Client,
    *,
    wake: Event,
) -> Iterator[bytes]:
    rv = options.rv
    ends = time.monotonic() + options.timeout_s
    next_bookmark = time.monotonic() + BOOKMARK_EVERY_S
    while not hub.has_ended:
        wake.clear()
        if options.disturbance.is_dropped:
            return
        if options.disturbance.is_silent and not client.has_gone():
            wake.wait()
            continue
        upto = hub.revision
        try:
            happened = hub.changes_after(store, resource.key, rv)
        except Compacted as error:
            yield _expired(rv, error.oldest)
            return
        if happened:
            rv = happened[-1].rv
            if options.disturbance.delay_s:
                gevent.sleep(options.disturbance.delay_s)
            yield from _frames(happened, options)
            continue
        rv = max(rv, upto)
        now = time.monotonic()
        if now >= ends or client.has_gone():
            break
        if options.wants_bookmarks and now >= next_bookmark:
            next_bookmark = now + BOOKMARK_EVERY_S
            yield bookmark(resource, rv)
        until = min(ends, next_bookmark) if options.wants_bookmarks else ends
        wake.wait(max(0.0, until - time.monotonic()))
    if options.wants_bookmarks and not client.has_gone():
        yield bookmark(resource, rv)


def _frames(happened: Sequence[Change], options: WatchOptions) -> Iterator[bytes]:
    pending: list[bytes] = []
    size = 0
    for change in happened:
        found = _frame_of(change, options)
        if found is None:
            continue
        pending.append(found)
        size += len(found)
        if size >= WRITE_AT_ONCE:
            yield b"".join(pending)
            pending, size = [], 0
    if pending:
        yield b"".join(pending)


def _frame_of(change: Change, options: WatchOptions) -> bytes | None:
    """The event as this watch sees it: entering its selection is ADDED, leaving it is DELETED."""
    seen = options.filter.event(change)
    if seen is None:
        return None
    type_, body = seen
    if options.shape is not None:
        return frame(type_, options.shape(change, body))
    cause = change.cause if options.wants_causes else None
    kept_as = type_ if cause is None else f"{type_} with its cause"
    cached = change.frames.get(kept_as)
    if cached is None:
        made = frame(type_, body)
        if cause is not None:
            made = made[:-2] + b',"cause":' + cause.to_json() + b"}\n"
        cached = change.frames[kept_as] = made
    return cached


def _expired(rv: int, oldest: int) -> bytes:
    body = status.expired(f"too old resource version: {rv} ({oldest})")
    return frame("ERROR", orjson.dumps(body))
