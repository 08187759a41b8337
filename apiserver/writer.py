"""The one writer: group commit in a native thread of the API server. Called by storage.py only.

Jobs that wait while a commit is under way share the next one; each is answered after its own
commit. The revision counter is locked first, so commits come in rv order without gaps, also when
several API servers share a database; a job that loses its compare-and-swap takes no revision.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, bindparam, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from apiserver import cause_log
from apiserver.models import changes, meta
from apiserver.packing import Packer
from apiserver.sql import Prepared

MAX_BATCH = 256  # jobs in one commit


class Transaction:
    """What a job may do inside the shared transaction."""

    def __init__(self, connection: Connection, revision: int, compacted: int) -> None:
        self.connection = connection
        self.revision = revision
        self.compacted = compacted  # the log has every change after this revision
        self.log: list[dict[str, Any]] = []
        self.causes: list[dict[str, Any]] = []  # of the same changes
        self.upkeep: list[Callable[[], object]] = []  # run when all else is written

    def next_revision(self) -> int:
        """Take the next revision. Only after the job's own compare-and-swap has won."""
        self.revision += 1
        return self.revision


class Job(Protocol):
    """One unit of a batch. `error` is set instead of raising when only this job has lost."""

    error: BaseException | None

    def apply(self, transaction: Transaction) -> None: ...


class Writer:
    """`finished(jobs)` is called in the writer's thread after each commit or failure, in rv
    order."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        engine: Engine,
        finished: Callable[[Sequence[Job]], None],
    ) -> None:
        self._connect = connect
        self._finished = finished
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock_revision = Prepared(
            update(meta).where(meta.c.k == "rv").values(v=meta.c.v).returning(meta.c.v), engine
        )
        self._set_revision = Prepared(
            update(meta).where(meta.c.k == "rv").values(v=bindparam("revision")), engine
        )
        self._read_revision = Prepared(select(meta.c.v).where(meta.c.k == "rv"), engine)
        self._read_compacted = Prepared(select(meta.c.v).where(meta.c.k == "compact_rv"), engine)
        self._log_change = Prepared(insert(changes), engine)
        self._log_cause = Prepared(cause_log.insertion(), engine)
        self._packer = Packer()
        self._needs_lock = engine.dialect.name != "sqlite"  # there BEGIN IMMEDIATE has locked all
        self.delay_s = 0.0  # a fault that slows the store down
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, job: Job) -> None:
        """From any thread; never blocks."""
        self._jobs.put(job)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Commit what was submitted, then end. Safe to call twice."""
        self._jobs.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        connection = self._connect()
        try:
            while (batch := self._next_batch()) is not None:
                if self.delay_s:
                    time.sleep(self.delay_s)
                connection = self._commit_all(connection, batch)
        finally:
            connection.close()

    def _next_batch(self) -> list[Job] | None:
        batch: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) >= MAX_BATCH:
                break
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                break
        else:
            self._jobs.put(None)  # the end, seen behind other jobs: for the next round
            return batch or None
        return batch

    def _commit_all(self, connection: Connection, batch: list[Job]) -> Connection:
        """One commit for all; when that fails each gets its own, so that none fails for another."""
        try:
            self._commit(connection, batch)
        except SQLAlchemyError as error:
            if self._needs_lock:  # a database behind a network: the connection may be gone
                connection.close()
                connection = self._connect()
            if len(batch) > 1:
                for job in batch:
                    job.error = None
                    connection = self._commit_all(connection, [job])
                return connection
            batch[0].error = error
        self._finished(batch)
        return connection

    def _commit(self, connection: Connection, batch: Sequence[Job]) -> None:
        with connection.begin():
            lock = self._lock_revision if self._needs_lock else self._read_revision
            before = lock.rows(connection)[0][0]
            compacted = self._read_compacted.rows(connection)[0][0]
            transaction = Transaction(connection, before, compacted)
            for job in batch:
                job.apply(transaction)
            if transaction.log:
                self._packer.pack_all(transaction.log)
                self._log_change.change_many(connection, transaction.log)
                if cause_log.IS_KEPT:
                    self._log_cause.change_many(connection, transaction.causes)
            if transaction.revision != before:
                self._set_revision.change(connection, revision=transaction.revision)
            for task in transaction.upkeep:
                task()
