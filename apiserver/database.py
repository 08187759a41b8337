"""Opens the database: engine, pragmas, migrations, and clear words when it cannot be used.

Runs in the API server at its start. SQLite is opened with WAL and synchronous=FULL: an acknowledged
write survives power loss (`sqlite.org/pragma.html`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, inspect, select
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.sql import text

from apiserver.errors import DatabaseFull, DatabaseUnusable, StorageError
from apiserver.models import SCHEMA_HEAD, meta

LOCK_WAIT_S = 5


def open_database(url: str) -> Engine:
    """An engine on a database at the newest schema; raises DatabaseUnusable and changes nothing when
    the file is no database, is locked by another program, or comes from a newer Podium."""
    engine = create_engine(url, pool_size=4, max_overflow=12, **_options(url))
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _sqlite_connect)
        event.listen(engine, "begin", _sqlite_begin)
    try:
        with engine.connect() as connection:
            _migrate(engine, _schema_version(connection))
    except (DatabaseError, OperationalError) as failure:
        engine.dispose()
        raise explain(failure, url) from failure
    return engine


def _options(url: str) -> dict[str, Any]:
    if not url.startswith("sqlite"):
        return {"pool_pre_ping": True}
    return {"connect_args": {"check_same_thread": False, "timeout": LOCK_WAIT_S}}


def _sqlite_connect(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not by the driver
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA cache_size=-8000")  # KiB
    cursor.close()


def _sqlite_begin(connection: Any) -> None:
    """A writer takes the lock at once, so that it never finds its snapshot stale in the middle."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _schema_version(connection: Any) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    connection.execute(select(meta.c.v)).first()  # a damaged file shows itself here, not later
    return str(version) if version else None


def _migrate(engine: Engine, version: str | None) -> None:
    if version == SCHEMA_HEAD:
        return
    if version is not None and version > SCHEMA_HEAD:
        raise DatabaseUnusable(
            f"the database has schema {version}, newer than this podium's {SCHEMA_HEAD}; nothing was changed"
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parents[1] / "migrations"))
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def explain(failure: Exception, url: str) -> StorageError:
    """A database driver's error in words that say what to do."""
    where = url.removeprefix("sqlite:///")
    said = str(getattr(failure, "orig", failure)).splitlines()[0]
    lowered = said.lower()
    if "full" in lowered or "disk i/o" in lowered or "no space" in lowered:
        return DatabaseFull(f"the disk of the database {where} is full or failing ({said}); the write was not done")
    if "locked" in lowered:
        return DatabaseUnusable(f"the database {where} is locked by another program ({said}); nothing was changed")
    if "not a database" in lowered or "malformed" in lowered:
        return DatabaseUnusable(
            f"the database {where} is corrupt ({said}); nothing was changed. Move it away to start empty"
        )
    return DatabaseUnusable(f"cannot use the database {where}: {said}")
