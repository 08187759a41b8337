"""The one door to the data: objects, revisions, history. Runs in the API server.

Reads run where they are called. Writes go to one native thread, the writer, which takes all that are
waiting into one transaction (group commit) and answers each after that commit. In the transaction
every write is checked against the revision that it expects, then the counter is raised once for all of
them, last, so that commits come in the order of their revisions and without gaps.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import gevent
import gevent.event
from gevent.hub import get_hub
from sqlalchemy import Connection, Engine, and_, bindparam, delete, func, insert, select, tuple_, update
from sqlalchemy.exc import DatabaseError, OperationalError

from apiserver.database import explain
from apiserver.errors import CompareFailed, StorageError
from apiserver.models import changes, meta, objects

MAX_BATCH = 64
RV_PLACEHOLDER = b'"resourceVersion":"@rv"'
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


@dataclass(frozen=True, slots=True)
class Key:
    """Where an object is. ns is "" for what has no namespace."""

    group: str
    resource: str  # plural
    ns: str
    name: str


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it lies there: `body` is its JSON in wire form."""

    key: Key
    uid: str
    rv: int
    body: bytes


@dataclass(slots=True)
class Change:
    """One line of the undo log. `cache` is for whoever parses the bodies."""

    rv: int
    key: Key
    type: ChangeType
    body: bytes
    prev: bytes | None
    prev_rv: int
    cache: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Write:
    """A change to make. `body` carries RV_PLACEHOLDER where its revision goes in. `expected_rv` 0:
    there must be no such object."""

    key: Key
    type: ChangeType
    uid: str
    body: bytes
    expected_rv: int


class _Pending:
    """A write or job on its way through the writer; `done` is set in the hub's thread."""

    __slots__ = ("done", "failure", "job", "result", "write")

    def __init__(self, write: Write | None, job: Callable[[Connection], Any] | None = None) -> None:
        self.write = write
        self.job = job
        self.result: Any = None
        self.failure: Exception | None = None
        self.done = gevent.event.Event()


_KEY = (objects.c.api_group, objects.c.resource, objects.c.ns, objects.c.name)
_BY_KEY = and_(
    objects.c.api_group == bindparam("b_group"),
    objects.c.resource == bindparam("b_resource"),
    objects.c.ns == bindparam("b_ns"),
    objects.c.name == bindparam("b_name"),
)
_GET = select(objects.c.uid, objects.c.rv, objects.c.body).where(_BY_KEY)
_LOCK = select(objects.c.rv, objects.c.created_rv, objects.c.body).where(_BY_KEY).with_for_update()
_UPDATE = update(objects).where(_BY_KEY).values(
    uid=bindparam("n_uid"), rv=bindparam("n_rv"), body=bindparam("n_body")
)  # fmt: skip
_DELETE = delete(objects).where(_BY_KEY)
_RAISE = (
    update(meta).where(meta.c.k == "rv").values(v=meta.c.v + bindparam("count")).returning(meta.c.v)
)
_REVISIONS = select(meta.c.k, meta.c.v)


def _bind(key: Key) -> dict[str, str]:
    return {"b_group": key.group, "b_resource": key.resource, "b_ns": key.ns, "b_name": key.name}


class Store:
    """`on_commit` is called in the hub's thread with the changes of each commit, in order, before
    the writers of them are answered."""

    def __init__(self, engine: Engine, on_commit: Callable[[Sequence[Change]], None]) -> None:
        self._engine = engine
        self._on_commit = on_commit
        self._queue: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._delivered: deque[tuple[list[Change], list[_Pending]]] = deque()
        self._async = get_hub().loop.async_()
        self._async.start(self._deliver)
        self._reader = engine.connect()
        self._reader_lock = threading.Lock()
        self._thread = threading.Thread(target=self._write_loop, name="store-writer", daemon=True)
        self._thread.start()

    # ---- reads ----

    def get(self, key: Key) -> Stored | None:
        with self._reader_lock:
            row = self._reader.execute(_GET, _bind(key)).first()
            self._reader.rollback()
        return Stored(key, row.uid, row.rv, row.body) if row else None

    def revisions(self) -> tuple[int, int]:
        """(current, compacted up to)."""
        with self._engine.connect() as connection:
            return _revisions(connection)

    def list(
        self,
        group: str,
        resource: str,
        ns: str | None = None,
        name: str | None = None,
        *,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
        at_rv: int | None = None,
    ) -> tuple[list[Stored], int, int]:
        """(objects by namespace and name, revision, compacted revision), all of one snapshot.

        `after` is the last (ns, name) of the page before; `at_rv` the revision of that page: objects
        are then given as they were at it.
        """
        with self._engine.connect() as connection:
            revision, compacted = _revisions(connection)
            where = [objects.c.api_group == group, objects.c.resource == resource]
            where += [objects.c.ns == ns] if ns is not None else []
            where += [objects.c.name == name] if name is not None else []
            if after is not None:
                where.append(tuple_(objects.c.ns, objects.c.name) > tuple_(*after))
            if at_rv is not None and at_rv < revision:
                where.append(objects.c.rv <= at_rv)
            query = select(objects.c.ns, objects.c.name, objects.c.uid, objects.c.rv, objects.c.body)
            query = query.where(*where).order_by(objects.c.ns, objects.c.name)
            rows = connection.execute(query.limit(limit) if limit else query).all()
            found = [Stored(Key(group, resource, r.ns, r.name), r.uid, r.rv, r.body) for r in rows]
            if at_rv is not None and at_rv < revision:
                older = _as_they_were(connection, group, resource, ns, at_rv)
                older = [s for s in older if after is None or (s.key.ns, s.key.name) > after]
                older = [s for s in older if name is None or s.key.name == name]
                found = sorted(found + older, key=lambda s: (s.key.ns, s.key.name))
                return found[:limit] if limit else found, at_rv, compacted
            return found, revision, compacted

    def changes_after(self, rv: int, limit: int = 1000) -> Iterator[Change]:
        """The log after a revision, oldest first, in pages of `limit`."""
        while True:
            with self._engine.connect() as connection:
                query = select(changes).where(changes.c.rv > rv).order_by(changes.c.rv).limit(limit)
                rows = connection.execute(query).all()
            for row in rows:
                key = Key(row.api_group, row.resource, row.ns, row.name)
                yield Change(row.rv, key, row.type, row.body, row.prev, row.prev_rv)
            if len(rows) < limit:
                return
            rv = rows[-1].rv

    # ---- writes ----

    def write(self, write: Write) -> Change:
        """The committed change; raises CompareFailed or StorageError. Call it from a greenlet."""
        pending = _Pending(write)
        self._queue.put(pending)
        pending.done.wait()
        if pending.failure is not None:
            raise pending.failure
        change: Change = pending.result
        return change

    def compact(self, keep: int) -> int:
        """Forget all but the last `keep` changes; the number of changes forgotten."""

        def job(connection: Connection) -> int:
            revision, compacted = _revisions(connection)
            until = max(compacted, revision - keep)
            connection.execute(update(meta).where(meta.c.k == "compact_rv").values(v=until))
            return int(connection.execute(delete(changes).where(changes.c.rv <= until)).rowcount)

        pending = _Pending(None, job)
        self._queue.put(pending)
        pending.done.wait()
        if pending.failure is not None:
            raise pending.failure
        return int(pending.result)

    def close(self) -> None:
        """Finish what is queued and close the database."""
        self._queue.put(None)
        self._thread.join(timeout=10)
        self._async.stop()
        self._reader.close()
        self._engine.dispose()

    # ---- the writer's thread ----

    def _write_loop(self) -> None:
        carried: list[_Pending] = []
        while True:
            first = carried.pop(0) if carried else self._queue.get()
            if first is None:
                return
            batch, carried = self._take_batch(first, carried)
            committed: list[Change] = []
            try:
                committed = self._commit(batch)
            except (DatabaseError, OperationalError) as failure:
                said = explain(failure, str(self._engine.url))
                for pending in batch:
                    pending.failure = pending.failure or said
            except Exception as failure:  # noqa: BLE001  # every writer is answered, whatever happened
                for pending in batch:
                    pending.failure = pending.failure or StorageError(repr(failure))
            self._delivered.append((committed, batch))
            self._async.send()

    def _take_batch(
        self, first: _Pending, carried: list[_Pending]
    ) -> tuple[list[_Pending], list[_Pending]]:
        """What is waiting now; a second write to the same key waits for the next batch."""
        batch, later = [first], []
        keys = {first.write.key} if first.write else set()
        waiting = carried
        while len(batch) < MAX_BATCH:
            if waiting:
                pending: _Pending | None = waiting.pop(0)
            else:
                try:
                    pending = self._queue.get_nowait()
                except queue.Empty:
                    break
            if pending is None:
                self._queue.put(None)
                break
            if pending.write is not None and pending.write.key in keys:
                later.append(pending)
                continue
            if pending.write is not None:
                keys.add(pending.write.key)
            batch.append(pending)
        return batch, later + waiting

    def _commit(self, batch: list[_Pending]) -> list[Change]:
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            passed: list[tuple[_Pending, Write, Any]] = []
            for pending in batch:
                if pending.job is not None:
                    pending.result = pending.job(connection)
                elif pending.write is not None:
                    row = connection.execute(_LOCK, _bind(pending.write.key)).first()
                    found = row.rv if row else 0
                    if found != pending.write.expected_rv:
                        pending.failure = CompareFailed(found)
                    else:
                        passed.append((pending, pending.write, row))
            return self._apply(connection, passed) if passed else []

    def _apply(self, connection: Connection, passed: list[tuple[_Pending, Write, Any]]) -> list[Change]:
        top = connection.execute(_RAISE, {"count": len(passed)}).scalar_one()
        committed: list[Change] = []
        inserts, updates, deletes = [], [], []
        for rv, (pending, write, row) in enumerate(passed, top - len(passed) + 1):
            body = write.body.replace(RV_PLACEHOLDER, b'"resourceVersion":"%d"' % rv, 1)
            change = Change(rv, write.key, write.type, body, row.body if row else None, row.rv if row else 0)
            pending.result = change
            committed.append(change)
            if write.type == "ADDED":
                inserts.append({**_columns(write.key), "uid": write.uid, "rv": rv, "created_rv": rv, "body": body})
            elif write.type == "MODIFIED":
                updates.append({**_bind(write.key), "n_uid": write.uid, "n_rv": rv, "n_body": body})
            else:
                deletes.append(_bind(write.key))
        if inserts:
            connection.execute(insert(objects), inserts)
        for row in updates:
            connection.execute(_UPDATE, row)
        for row in deletes:
            connection.execute(_DELETE, row)
        connection.execute(
            insert(changes),
            [{"rv": c.rv, **_columns(c.key), "type": c.type, "body": c.body, "prev": c.prev,
              "prev_rv": c.prev_rv} for c in committed],
        )  # fmt: skip
        return committed

    # ---- the hub's thread ----

    def _deliver(self) -> None:
        while self._delivered:
            committed, batch = self._delivered.popleft()
            if committed:
                self._on_commit(committed)
            for pending in batch:
                pending.done.set()


def _columns(key: Key) -> dict[str, str]:
    return {"api_group": key.group, "resource": key.resource, "ns": key.ns, "name": key.name}


def _revisions(connection: Connection) -> tuple[int, int]:
    found = {row.k: row.v for row in connection.execute(_REVISIONS)}
    return found["rv"], found["compact_rv"]


def _as_they_were(
    connection: Connection, group: str, resource: str, ns: str | None, rv: int
) -> list[Stored]:
    """What `prev` says of the keys changed since `rv`: each one's first change after it."""
    first = (
        select(func.min(changes.c.rv))
        .where(changes.c.rv > rv, changes.c.api_group == group, changes.c.resource == resource)
        .group_by(changes.c.ns, changes.c.name)
    )
    query = select(changes).where(changes.c.rv.in_(first), changes.c.prev_rv > 0)
    if ns is not None:
        query = query.where(changes.c.ns == ns)
    return [
        Stored(Key(group, resource, r.ns, r.name), "", r.prev_rv, r.prev) for r in connection.execute(query)
    ]
