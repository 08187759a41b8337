"""Opens the database: makes a new one, migrates one whose schema is behind, says in clear words why
one cannot be used.

Room apiserver; called by __main__.py at the start. Alembic is imported only when there is something
to migrate: it costs more than everything else that a start does.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import text

from apiserver.errors import DatabaseUnusable
from apiserver.models import SCHEMA_HEAD, meta, metadata
from apiserver.sql import open_engine, sqlite_path, what_is_wrong

_ALEMBIC_VERSION = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def hold_database(url: str) -> IO[str] | None:
    """Keep other API servers off a SQLite file, for two would not see each other's changes. The
    lock is held while the returned file is open, and ends with the process however it ends."""
    path = sqlite_path(url)
    if path is None:
        return None
    file = open(f"{path}.lock", "a+")  # noqa: SIM115 - held, not read
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise DatabaseUnusable(
            f"another API server serves the database {path}; nothing was changed"
        ) from None
    return file


def open_database(url: str) -> Engine:
    """An engine on a database at the newest schema; DatabaseUnusable, with nothing changed, when
    it is no database, is locked by another program, or comes from a newer Podium."""
    engine = open_engine(url)
    try:
        with engine.connect().execution_options(podium_reads=True) as connection:
            version = _schema_version(connection)
            is_new = version is None and not connection.dialect.has_table(connection, meta.name)
        if is_new:
            _create(engine)
        elif version != SCHEMA_HEAD:
            _migrate(engine, version)
    except SQLAlchemyError as error:
        engine.dispose()
        where = url.removeprefix("sqlite:///")
        raise DatabaseUnusable(
            f"cannot use the database {where}: {what_is_wrong(error)}; nothing was changed"
        ) from error
    except DatabaseUnusable:
        engine.dispose()
        raise
    return engine


def _schema_version(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    connection.execute(select(meta.c.v)).all()  # a damaged file shows itself here, not later
    return str(version) if version else None


def _create(engine: Engine) -> None:
    """The newest schema at once: what the migrations would make of nothing, without the 0.3 s that
    Alembic takes for it."""
    with engine.connect() as connection, connection.begin():
        metadata.create_all(connection)
        connection.execute(insert(meta), [{"k": "rv", "v": 1}, {"k": "compact_rv", "v": 0}])
        connection.execute(text(_ALEMBIC_VERSION))
        stamp = text("INSERT INTO alembic_version (version_num) VALUES (:head)")
        connection.execute(stamp, {"head": SCHEMA_HEAD})


def _migrate(engine: Engine, version: str | None) -> None:
    if version is not None and version > SCHEMA_HEAD:
        raise DatabaseUnusable(
            f"the database has schema {version}, newer than this Podium's {SCHEMA_HEAD}; "
            f"nothing was changed"
        )
    if threading.active_count() == 1:
        _in_child_process(lambda: _upgrade(engine))
    else:
        _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _in_child_process(work: Callable[[], None]) -> None:
    """Run `work` where its imports are forgotten: Alembic would cost the server 11 MB for good."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        except SQLAlchemyError as error:
            os.write(write_fd, what_is_wrong(error).encode())
        finally:
            os._exit(code)
    os.close(write_fd)
    with os.fdopen(read_fd) as told:
        message = told.read()
    _, status = os.waitpid(pid, 0)
    if status != 0:
        raise DatabaseUnusable(
            f"cannot bring the database to its newest schema: {message or status}"
        )
