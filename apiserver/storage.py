"""The store: objects, the undo log and the revision counter. Room apiserver, called by verbs.py,
listing.py and watch.py; runs in the API server's main thread (greenlets), writes through writer.py.

SQLite is read in the main thread: a lookup takes microseconds and WAL readers never wait. Another
database is read in the hub's thread pool, so that the network does not stop everyone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import gevent
from gevent.event import AsyncResult
from sqlalchemy import (
    Connection,
    Engine,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.exc import SQLAlchemyError

from apiserver import cause_log, origins, wire
from apiserver.cause_log import Cause
from apiserver.errors import Conflicted, StoreFailed
from apiserver.models import causes, changes, meta, moments, objects
from apiserver.packing import unpack, unpack_if_any
from apiserver.sql import Prepared, what_is_wrong
from apiserver.undo import NEAR, Page, Record, Span, Undo, before_body, keep_before, with_before
from apiserver.writer import Job, Transaction, Writer
from podium.api import status

__all__ = ["Change", "Compacted", "Page", "Record", "Span", "Store"]

T = TypeVar("T")


class Compacted(Exception):
    """A revision that is no longer kept; `oldest` is the oldest that is."""

    def __init__(self, oldest: int) -> None:
        super().__init__(oldest)
        self.oldest = oldest


@dataclass(slots=True)
class Change:
    """One line of the log, shared by all watches. type: ADDED, MODIFIED, DELETED."""

    rv: int
    type: str
    resource: str
    namespace: str
    name: str
    body: bytes
    prev: bytes | None
    prev_rv: int | None
    cause: Cause | None = None  # None: older than what is kept of causes
    _object: wire.Object | None = None
    _prev_object: wire.Object | None = None
    frames: dict[str, bytes] = field(default_factory=dict)

    @property
    def object(self) -> wire.Object:
        if self._object is None:
            self._object = wire.parse(self.body)
        return self._object

    @property
    def prev_object(self) -> wire.Object | None:
        if self._prev_object is None and self.prev is not None:
            self._prev_object = wire.parse(self.prev)
        return self._prev_object


class ObjectWrite:
    """One object's change, a job for the writer. `before` None: it must not exist yet."""

    __slots__ = ("after", "before", "change", "error", "name", "namespace", "origin", "resource",
                 "result", "statements", "template", "type", "uid")  # fmt: skip

    def __init__(
        self,
        statements: Statements,
        resource: str,
        obj: wire.Object,
        before: Record | None,
        *,
        is_delete: bool,
    ) -> None:
        metadata = obj["metadata"]
        self.statements = statements
        self.resource, self.namespace = resource, metadata.get("namespace", "")
        self.name, self.uid = metadata["name"], metadata["uid"]
        self.template, self.before = wire.template(obj), before
        self.type = "ADDED" if before is None else "DELETED" if is_delete else "MODIFIED"
        self.origin = origins.current.get()
        self.error: BaseException | None = None
        self.after: Record | None = None
        self.change: Change | None = None
        self.result: AsyncResult = AsyncResult()

    def apply(self, transaction: Transaction) -> None:
        self.after = self.change = None  # a batch that failed is applied again, job by job
        rv = transaction.revision + 1
        body = wire.with_revision(self.template, rv)
        if self._execute(transaction.connection, rv, body) != 1:
            self.error = Conflicted()
            return
        transaction.next_revision()
        before = self.before
        created_rv = rv if before is None else before.created_rv
        self.after = Record(self.namespace, self.name, self.uid, rv, created_rv, body)
        prev, prev_rv = (None, None) if before is None else (before.body, before.rv)
        cause, row = cause_log.noted(self, rv, prev_rv)
        self.change = Change(
            rv, self.type, self.resource, self.namespace, self.name, body, prev, prev_rv, cause
        )
        transaction.causes.append(row)
        # The log has `prev` already: it is the body of the change before.
        is_in_log = prev_rv is not None and prev_rv > transaction.compacted
        transaction.log.append({"rv": rv, "resource": self.resource, "namespace": self.namespace,
                                "name": self.name, "type": self.type, "prev_rv": prev_rv,
                                "body": body, "prev": None if is_in_log else prev})  # fmt: skip

    def _execute(self, connection: Connection, rv: int, body: bytes) -> int:
        s = self.statements
        key = {"resource": self.resource, "namespace": self.namespace, "name": self.name}
        if self.before is None:
            return s.insert.change(
                connection,
                **key,
                key_resource=self.resource,
                key_namespace=self.namespace,
                key_name=self.name,
                uid=self.uid,
                rv=rv,
                created_rv=rv,
                body=body,
            )
        if self.type == "DELETED":
            return s.delete.change(connection, **key, expected=self.before.rv)
        return s.update.change(connection, **key, expected=self.before.rv, new_rv=rv, new_body=body)


class Task:
    """Upkeep inside the writer's transaction: compaction, notes of the time."""

    def __init__(self, run: Callable[[Connection], Any]) -> None:
        self._run = run
        self.answer: Any = None
        self.error: BaseException | None = None
        self.result: AsyncResult = AsyncResult()

    def apply(self, transaction: Transaction) -> None:
        transaction.upkeep.append(lambda: self._do(transaction.connection))

    def _do(self, connection: Connection) -> None:
        self.answer = self._run(connection)


def _logged(row: Sequence[Any]) -> Change:
    """A line of `Statements.log`; a change may be older than what is kept of causes."""
    rv, type_, resource, namespace, name, body, prev, prev_rv, *cause = row
    known = Cause(*cause) if cause[0] else None
    return Change(
        rv, type_, resource, namespace, name, unpack(body), unpack_if_any(prev), prev_rv, known
    )


class Statements:
    """Every statement of the store, compiled once."""

    def __init__(self, engine: Engine) -> None:
        def prepared(statement: Any) -> Prepared:
            return Prepared(statement, engine)

        o, c = objects.c, changes.c
        of_resource = o.resource == bindparam("resource")
        keyed = and_(
            of_resource, o.namespace == bindparam("namespace"), o.name == bindparam("name")
        )
        key_taken = exists(literal(1)).where(
            o.resource == bindparam("key_resource"),
            o.namespace == bindparam("key_namespace"),
            o.name == bindparam("key_name"),
        )
        columns = (o.namespace, o.name, o.uid, o.rv, o.created_rv, o.body)
        place = tuple_(o.namespace, o.name)
        after = tuple_(bindparam("after_namespace"), bindparam("after_name"))
        in_namespace = and_(
            of_resource, o.namespace == bindparam("namespace"), o.name > bindparam("after_name")
        )
        everywhere = and_(of_resource, place > after)
        listed = select(*columns).order_by(o.namespace, o.name).limit(bindparam("size"))
        self.lookup = prepared(select(*columns).where(keyed))
        self.insert = prepared(
            insert(objects).from_select(
                [column.name for column in objects.columns],
                select(
                    *(bindparam(column.name, type_=column.type) for column in objects.columns)
                ).where(~key_taken),
            )
        )
        at_expected = and_(keyed, o.rv == bindparam("expected"))
        self.update = prepared(
            update(objects)
            .where(at_expected)
            .values(rv=bindparam("new_rv"), body=bindparam("new_body"))
        )
        self.delete = prepared(delete(objects).where(at_expected))
        self.list_namespace = prepared(listed.where(in_namespace))
        self.list_everywhere = prepared(listed.where(everywhere))
        self.count_namespace = prepared(
            select(func.count()).select_from(objects).where(in_namespace)
        )
        self.count_everywhere = prepared(
            select(func.count()).select_from(objects).where(everywhere)
        )
        self.revisions = prepared(select(meta.c.k, meta.c.v))
        since = and_(c.rv > bindparam("after"), c.resource == bindparam("resource"))
        self.log = prepared(
            with_before(
                select(
                    c.rv,
                    c.type,
                    c.resource,
                    c.namespace,
                    c.name,
                    c.body,
                    before_body(),
                    c.prev_rv,
                    causes.c.trace,
                    causes.c.span,
                    causes.c.subresource,
                )
            )
            .outerjoin(causes, causes.c.rv == c.rv)
            .where(since, c.rv <= bindparam("upto"))
            .order_by(c.rv)
            .limit(bindparam("size"))
        )


class Store:
    """`on_changes` is called in the main thread after each commit, with its changes in rv order."""

    def __init__(self, engine: Engine, on_changes: Callable[[Sequence[Change]], None]) -> None:
        self._engine = engine
        self._on_changes = on_changes
        self._statements = Statements(engine)
        self._undo = Undo(engine)
        self._is_embedded = engine.dialect.name == "sqlite"
        self._done: deque[Sequence[Job]] = deque()
        self._wake = gevent.get_hub().loop.async_()
        self._writer = Writer(engine.connect, engine, self._on_finished)
        self._lookups, self._snapshots = self._read_connections()
        self.failed_writes = 0

    def _read_connections(self) -> tuple[Connection, Connection]:
        once = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        snapshot = self._engine.connect()
        if not self._is_embedded:
            return once, snapshot.execution_options(isolation_level="REPEATABLE READ")
        return once, snapshot.execution_options(podium_reads=True)

    def start(self) -> None:
        self._wake.start(self._deliver)
        self._writer.start()

    def stop(self) -> None:
        """Commit what is under way and close the database."""
        self._writer.stop()
        self._deliver()
        self._wake.stop()
        self._wake.close()
        self._lookups.close()
        self._snapshots.close()
        self._engine.dispose()

    # ---- reading ----------------------------------------------------------------------------

    def get(self, resource: str, namespace: str, name: str) -> Record | None:
        """The object as it is now. The Record is the caller's own."""
        rows = self._read_once(
            lambda connection: self._statements.lookup.rows(
                connection, resource=resource, namespace=namespace, name=name
            )
        )
        return Record(*rows[0]) if rows else None

    def get_past(self, resource: str, namespace: str, name: str, at: int) -> Record | None:
        """The object as it was at revision `at`. Raises Compacted."""

        def read(connection: Connection) -> Record | None:
            _, oldest = self._read_revisions(connection)
            if at < oldest:
                raise Compacted(oldest)
            return self._undo.record(connection, resource, namespace, name, at=at)

        return self.read(read)

    def revisions(self) -> tuple[int, int]:
        """(the last revision given out, the oldest that can still be asked for)."""
        return self._read_once(self._read_revisions)

    def page(self, span: Span, at: int | None) -> Page:
        """The objects of a span as they were at revision `at` (None: now). Raises Compacted."""
        return self._read_snapshot(lambda connection: self._page(connection, span, at))

    def count(self, span: Span) -> int:
        """How many there are behind a span's `after`, now."""
        s = self._statements
        statement = s.count_everywhere if span.namespace is None else s.count_namespace
        rows = self._read_once(lambda connection: statement.rows(connection, **span.values()))
        return int(rows[0][0])

    def changes_after(self, resource: str, rv: int, upto: int, size: int) -> list[Change]:
        """From the log, in rv order, at most `size`. Raises Compacted."""
        return self._read_snapshot(lambda c: self._changes_after(c, resource, rv, upto, size))

    def not_written_since(self, resource: str, rv: int, size: int) -> list[Record]:
        """Objects whose last change is at or before `rv`, at most `size`."""
        o = objects.c
        query = (
            select(o.namespace, o.name, o.uid, o.rv, o.created_rv, o.body)
            .where(o.resource == resource, o.rv <= rv)
            .limit(size)
        )
        return self._read_snapshot(lambda c: [Record(*row) for row in c.execute(query)])

    def read(self, read: Callable[[Connection], T]) -> T:
        """What another module asks of the same database, in one snapshot."""
        return self._read_snapshot(read)

    def _read_once(self, read: Callable[[Connection], T]) -> T:
        if self._is_embedded:
            return read(self._lookups)
        return self._in_thread(read)

    def _read_snapshot(self, read: Callable[[Connection], T]) -> T:
        if self._is_embedded:
            with self._snapshots.begin():
                return read(self._snapshots)
        return self._in_thread(read)

    def _in_thread(self, read: Callable[[Connection], T]) -> T:
        def run() -> T:
            with self._engine.connect() as connection:
                return read(connection.execution_options(isolation_level="REPEATABLE READ"))

        result: T = gevent.get_hub().threadpool.apply(run)
        return result

    def _read_revisions(self, connection: Connection) -> tuple[int, int]:
        found: dict[str, int] = dict(self._statements.revisions.rows(connection))
        return found["rv"], found["compact_rv"]

    def _page(self, connection: Connection, span: Span, at: int | None) -> Page:
        current, oldest = self._read_revisions(connection)
        if at is not None and at < oldest:
            raise Compacted(oldest)
        if at is not None and at < current - NEAR:
            return self._undo.page(connection, span, at)
        s = self._statements
        statement = s.list_everywhere if span.namespace is None else s.list_namespace
        rows = statement.rows(connection, size=span.size, **span.values())
        records = [Record(*row) for row in rows]
        upto = records[-1].place if len(records) >= span.size else None
        page = Page(records, current, upto)
        if at is None or at == current:
            return page
        return self._undo.near_page(connection, span, page, at)

    def _changes_after(
        self, connection: Connection, resource: str, rv: int, upto: int, size: int
    ) -> list[Change]:
        _, oldest = self._read_revisions(connection)
        if rv < oldest:
            raise Compacted(oldest)
        rows = self._statements.log.rows(
            connection, resource=resource, after=rv, upto=upto, size=size
        )
        return [_logged(row) for row in rows]

    # ---- writing ----------------------------------------------------------------------------

    def write(
        self, resource: str, obj: wire.Object, before: Record | None, *, is_delete: bool = False
    ) -> Record:
        """Store `obj` if its key is still as `before` (None: absent); returns it as stored, after
        the commit. Raises Conflicted, StoreFailed."""
        job = ObjectWrite(self._statements, resource, obj, before, is_delete=is_delete)
        self._writer.submit(job)
        record: Record = job.result.get()
        return record

    def slow_down(self, delay_s: float) -> None:
        """Have every commit wait for so long; 0 for none."""
        self._writer.delay_s = delay_s

    def run_task(self, task: Callable[[Connection], T]) -> T:
        """Run upkeep in the writer's transaction and wait for its commit (from a greenlet)."""
        job = Task(task)
        self._writer.submit(job)
        result: T = job.result.get()
        return result

    def compact(self, upto: int) -> None:
        """Forget the log up to and including revision `upto`."""

        def run(connection: Connection) -> None:
            connection.execute(keep_before(upto))
            connection.execute(delete(changes).where(changes.c.rv <= upto))
            connection.execute(
                update(meta).where(meta.c.k == "compact_rv", meta.c.v < upto).values(v=upto)
            )

        self.run_task(run)

    def note_moment(self, at: int) -> None:
        """Remember which revision is the last one now (`at`: seconds since 1970)."""

        def run(connection: Connection) -> None:
            rv = connection.execute(select(meta.c.v).where(meta.c.k == "rv")).scalar_one()
            connection.execute(delete(moments).where(moments.c.at == at))
            connection.execute(insert(moments).values(at=at, rv=rv))

        self.run_task(run)

    def forget_moments(self, before: int) -> None:
        self.run_task(lambda c: c.execute(delete(moments).where(moments.c.at < before)))

    def revision_at(self, at: int) -> int:
        """The last revision of a time in the past; 0 when nothing is known of it."""

        def read(connection: Connection) -> int:
            found = connection.execute(
                select(func.max(moments.c.rv)).where(moments.c.at <= at)
            ).scalar()
            return int(found or 0)

        return self._read_snapshot(read)

    # ---- between the writer's thread and the main one -----------------------------------------

    def _on_finished(self, jobs: Sequence[Job]) -> None:
        self._done.append(jobs)
        self._wake.send()

    def _deliver(self) -> None:
        """Main thread: tell the watches, then answer each writer."""
        while self._done:
            jobs = self._done.popleft()
            happened = [
                j.change for j in jobs if isinstance(j, ObjectWrite) and j.change and not j.error
            ]
            if happened:
                self._on_changes(happened)
            for job in jobs:
                self._answer(job)

    def _answer(self, job: Job) -> None:
        assert isinstance(job, ObjectWrite | Task)
        if job.error is None:
            job.result.set(job.after if isinstance(job, ObjectWrite) else job.answer)
        elif isinstance(job.error, SQLAlchemyError):
            self.failed_writes += 1
            job.result.set_exception(StoreFailed(_not_written(job.error)))
        else:
            job.result.set_exception(job.error)


def _not_written(error: SQLAlchemyError) -> dict[str, Any]:
    return status.internal_error(f"the database did not take the write: {what_is_wrong(error)}")
