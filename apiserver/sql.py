"""Statements written in SQLAlchemy Core, compiled once for the dialect and run on the driver.

Room apiserver; used by storage.py and writer.py. Building and compiling a Core statement costs more
than SQLite needs to run it, and the API server's dozen statements never change.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.sql.expression import ClauseElement

BUSY_TIMEOUT_MS = 5_000  # how long SQLite waits for another process's lock


class Prepared:
    """One compiled statement. Parameters are given by name, rows come back as the driver's tuples.

    Transactions are begun and ended by the SQLAlchemy connection; errors are SQLAlchemy's."""

    def __init__(self, statement: ClauseElement, engine: Engine) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._sql = str(compiled)
        self._order: Sequence[str] | None = getattr(compiled, "positiontup", None)
        self._fixed = {k: v for k, v in compiled.params.items() if v is not None}
        self._driver: Any = engine.dialect.dbapi

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """All rows of a query."""
        cursor = self._execute(connection, self._ordered(values))
        try:
            found: list[Any] = cursor.fetchall()
            return found
        except self._driver.Error as error:
            raise self._wrapped(error) from error
        finally:
            cursor.close()

    def change(self, connection: Connection, **values: Any) -> int:
        """How many rows a statement has changed."""
        cursor = self._execute(connection, self._ordered(values))
        count: int = cursor.rowcount
        cursor.close()
        return count

    def change_many(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        cursor = connection.connection.cursor()
        try:
            cursor.executemany(self._sql, [self._ordered(row) for row in rows])
        except self._driver.Error as error:
            raise self._wrapped(error) from error
        finally:
            cursor.close()

    def _execute(self, connection: Connection, parameters: Any) -> Any:
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self._sql, parameters)
        except self._driver.Error as error:
            cursor.close()
            raise self._wrapped(error) from error
        return cursor

    def _wrapped(self, error: Exception) -> SQLAlchemyError:
        return DatabaseError(self._sql, None, error)

    def _ordered(self, values: dict[str, Any]) -> Any:
        if self._order is None:
            return {**self._fixed, **values}
        fixed = self._fixed
        return tuple([values[name] if name in values else fixed[name] for name in self._order])


def open_engine(url: str) -> Engine:
    """An engine whose connections are kept by who opened them (no pool)."""
    engine = create_engine(url, poolclass=NullPool, connect_args=_connect_args(url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _connect_args(url: str) -> dict[str, Any]:
    return {"check_same_thread": False} if make_url(url).get_backend_name() == "sqlite" else {}


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """WAL and synchronous=FULL: readers never wait, an acknowledged write survives power loss."""
    connection.isolation_level = None  # BEGIN is said by _begin_sqlite, not guessed by the driver
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "cache_size = -2000",  # KiB
        "journal_size_limit = 33554432",  # bytes the WAL keeps after a checkpoint
        "temp_store = MEMORY",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    options = connection.get_execution_options()
    if options.get("isolation_level") == "AUTOCOMMIT":
        return
    is_reader = options.get("podium_reads", False)
    connection.exec_driver_sql("BEGIN" if is_reader else "BEGIN IMMEDIATE")


def sqlite_path(url: str) -> str | None:
    """The file of a SQLite URL; None for another database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return None
    return os.path.abspath(parsed.database) if parsed.database else None


def what_is_wrong(error: SQLAlchemyError) -> str:
    """A driver's error in words that say what to do, without the statement and its parameters."""
    cause = str(error.orig) if isinstance(error, DBAPIError) and error.orig else str(error)
    cause = cause.splitlines()[0] if cause else type(error).__name__
    lowered = cause.lower()
    if "is full" in lowered or "no space left" in lowered:
        return "the disk is full, free some space and try again"
    if "is locked" in lowered:
        return "it is locked by another program"
    if "malformed" in lowered or "not a database" in lowered:
        return f"it is corrupt ({cause}); move it away to start with an empty one"
    return cause
