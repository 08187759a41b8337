"""One feed of the cluster for all who look at its picture.

Room apiserver/ui; main thread. A change is read and cut down once (picture.py), joined with the
others of a tenth of a second, and the same bytes go to every browser, so that thirty of them cost
little more than one. While nobody looks nothing runs and nothing is kept. A browser that reads too
slowly is dropped: it connects again and begins with how things are then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, TypeAlias

import gevent
import orjson
from gevent.event import Event
from gevent.queue import Empty, Full, Queue

from apiserver import listing
from apiserver.storage import Change, Compacted, Record, Store
from apiserver.ui.picture import KINDS, record
from apiserver.watch import WatchHub
from podium.api.scheme import resource

log = logging.getLogger("apiserver.ui.feed")

BATCH_S = 0.1  # what happens within is told together
MAX_WAITING = 64  # messages that a browser may lag behind
KEEP_ALIVE_S = 15.0
EVENTS_KEPT = 500  # the newest
AT_ONCE = 100  # objects cut down before others get their turn

_STILL_HERE = b": still here\n\n"
_END = b""

Viewer: TypeAlias = Any  # a gevent Queue of the messages that wait for one browser


class Feed:
    """One per server."""

    def __init__(self, store: Store, hub: WatchHub) -> None:
        self._store, self._hub = store, hub
        self._viewers: set[Viewer] = set()
        self._reader: gevent.Greenlet | None = None
        self._is_known = Event()  # whether what there is has been read
        self._known: dict[str, dict[str, bytes]] = {}  # by kind and uid, oldest change first
        self._read: dict[str, int] = {}  # by kind: the revision up to which `_known` goes

    def viewers(self) -> int:
        return len(self._viewers)

    def stream(self, connection: Any) -> Iterator[bytes]:
        """A snapshot and then what changes, as server-sent events, until the browser goes away."""
        viewer: Viewer = Queue(MAX_WAITING)
        connection.on_readable(lambda: _nudge(viewer))
        try:
            yield b"retry: 500\n\n"
            snapshot = self._joined_by(viewer)
            if snapshot:
                yield snapshot
                yield from self._follow(viewer, connection)
        finally:
            connection.stop_on_readable()
            self._viewers.discard(viewer)

    def _follow(self, viewer: Viewer, connection: Any) -> Iterator[bytes]:
        while not connection.has_gone():
            try:
                message = viewer.get(timeout=KEEP_ALIVE_S)
            except Empty:
                message = _STILL_HERE
            if message == _END:
                return
            yield message

    def _joined_by(self, viewer: Viewer) -> bytes:
        """How things are; the viewer is told whatever changes from then on. Empty: not to be had
        just now."""
        if self._reader is None:
            self._reader = gevent.spawn(self._read_and_tell)
        self._is_known.wait()
        if not self._read:
            return b""
        self._viewers.add(viewer)
        kinds = (
            orjson.dumps(kind) + b":[" + b",".join(found.values()) + b"]"
            for kind, found in self._known.items()
        )
        return b"event: snapshot\ndata: {%b}\n\n" % b",".join(kinds)

    # ---- the one that reads --------------------------------------------------------------------

    def _read_and_tell(self) -> None:
        try:
            self._read = {kind: self._read_all(kind) for kind in KINDS}
            self._is_known.set()
            gevent.sleep(0)  # whoever waits for it joins first
            self._tell_while_somebody_listens()
        except Compacted:
            log.info("fell behind the log: every page begins anew")
        finally:
            for viewer in self._viewers:
                _drop(viewer)
            self._is_known.set()
            self._reader, self._known, self._read = None, {}, {}
            self._is_known = Event()

    def _read_all(self, kind: str) -> int:
        """The revision as at which all objects of a kind are now known."""
        found: list[Record] = []
        rv = 0
        for page in listing.pages(self._store, resource(kind), listing.Filter(None)):
            rv = page.rv
            found += page.records
        found.sort(key=lambda one: one.rv)
        known = self._known[kind] = {}
        for count, one in enumerate(found[-EVENTS_KEPT:] if kind == "events" else found):
            known[one.uid] = orjson.dumps(record(kind, one.object))
            if count % AT_ONCE == AT_ONCE - 1:
                gevent.sleep(0)
        return rv

    def _tell_while_somebody_listens(self) -> None:
        wake = Event()
        for kind in KINDS:
            self._hub.wait_on(kind, wake)
        try:
            while self._viewers and not self._hub.has_ended:
                wake.clear()
                self._tell()
                gevent.sleep(BATCH_S)
                wake.wait(KEEP_ALIVE_S)
        finally:
            for kind in KINDS:
                self._hub.stop_waiting(kind, wake)

    def _tell(self) -> None:
        changed = [entry for kind in KINDS for entry in self._changes(kind)]
        if not changed:
            return
        message = b"data: [" + b",".join(changed) + b"]\n\n"
        for viewer in self._viewers:
            try:
                viewer.put_nowait(message)
            except Full:
                _drop(viewer)

    def _changes(self, kind: str) -> list[bytes]:
        """The last state of each object that has changed, as `["pods","uid",{…}]`; null: gone."""
        latest: dict[str, bytes] = {}
        upto = self._hub.revision
        while happened := self._hub.changes_after(self._store, kind, self._read[kind]):
            for change in happened:
                self._note(kind, change, latest)
            self._read[kind] = happened[-1].rv
        self._read[kind] = max(self._read[kind], upto)
        head = orjson.dumps(kind)
        return [b"[%b,%b,%b]" % (head, orjson.dumps(uid), body) for uid, body in latest.items()]

    def _note(self, kind: str, change: Change, latest: dict[str, bytes]) -> None:
        known = self._known[kind]
        uid = change.object["metadata"]["uid"]
        known.pop(uid, None)
        if change.type == "DELETED":
            latest[uid] = b"null"
            return
        latest[uid] = known[uid] = orjson.dumps(record(kind, change.object))
        if kind == "events" and len(known) > EVENTS_KEPT:
            del known[next(iter(known))]


def _nudge(viewer: Viewer) -> None:
    """Let it look whether its browser is still there."""
    if viewer.empty():
        viewer.put_nowait(_STILL_HERE)


def _drop(viewer: Viewer) -> None:
    """End a viewer's stream: what waits for it is thrown away."""
    while not viewer.empty():
        viewer.get_nowait()
    viewer.put_nowait(_END)
