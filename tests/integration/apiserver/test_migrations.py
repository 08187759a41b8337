"""A database of an older version is brought to the newest schema with everything that is in it."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from apiserver import cause_log, listing
from apiserver.database import open_database
from apiserver.models import SCHEMA_HEAD
from apiserver.sql import open_engine
from apiserver.storage import Store
from apiserver.watch import WatchHub
from podium.api.scheme import resource

MIGRATIONS = Path(__file__).resolve().parents[3] / "migrations"
BODY = (
    b'{"kind":"Secret","apiVersion":"v1",'
    b'"metadata":{"name":"a","namespace":"ns","uid":"u","resourceVersion":"%d"}}'
)


def migrate(path: Path, version: str) -> None:
    """A new database, by Alembic."""
    engine = open_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection, connection.begin():
        config.attributes["connection"] = connection
        command.upgrade(config, version)
    engine.dispose()


def make_old(path: Path, version: str) -> None:
    """A database as that version left it: an object that was made at 2 and changed at 3."""
    migrate(path, version)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET v = 3 WHERE k = 'rv'")
        database.execute("INSERT INTO object VALUES ('secrets','ns','a','u',3,2,?)", (BODY % 3,))
        changes = [(2, "ADDED", None, BODY % 2, None), (3, "MODIFIED", 2, BODY % 3, BODY % 2)]
        database.executemany(
            "INSERT INTO change (rv,resource,namespace,name,type,prev_rv,body,prev)"
            " VALUES (?,'secrets','ns','a',?,?,?,?)",
            changes,
        )
        database.execute("INSERT INTO moment VALUES (1000, 3)")
    database.close()


def schema_of(path: Path) -> dict[str, object]:
    """Tables with their columns, and indexes with theirs."""
    with sqlite3.connect(path) as database:
        names = database.execute("SELECT type, name FROM sqlite_master ORDER BY name").fetchall()
        found = {
            name: database.execute(
                f"PRAGMA {'table_info' if kind == 'table' else 'index_xinfo'}({name})"
            ).fetchall()
            for kind, name in names
        }
        found["meta"] = [
            found["meta"],
            database.execute("SELECT * FROM meta ORDER BY k").fetchall(),
        ]
    database.close()
    return found


def test_a_new_database_is_what_the_migrations_make_of_nothing(tmp_path: Path) -> None:
    open_database(f"sqlite:///{tmp_path}/new.db").dispose()
    migrate(tmp_path / "migrated.db", "head")
    made, migrated = schema_of(tmp_path / "new.db"), schema_of(tmp_path / "migrated.db")
    assert made == migrated
    assert len(made) > 10


@pytest.mark.parametrize("version", ["0001", "0002"])
def test_an_older_database_opens_with_its_objects_and_their_past(
    tmp_path: Path, version: str
) -> None:
    path = tmp_path / "podium.db"
    make_old(path, version)
    hub = WatchHub()
    store = Store(open_database(f"sqlite:///{path}"), hub.publish)
    hub.begin(store.revisions()[0])
    store.start()
    try:
        before = store.get("secrets", "ns", "a")
        assert before is not None
        assert before.body == BODY % 3
        store.write("secrets", before.object, before, is_delete=True)
        for revision, bodies in ((1, []), (2, [BODY % 2]), (3, [BODY % 3]), (4, [])):
            found = listing.select(store, resource("secrets"), listing.Filter("ns"), 0, at=revision)
            assert [record.body for record in found.records] == bodies
    finally:
        store.stop()
    with sqlite3.connect(path) as database:
        (version_now,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
    database.close()
    assert version_now == SCHEMA_HEAD


def test_a_change_from_before_causes_were_kept_has_none_and_that_is_no_error(
    tmp_path: Path,
) -> None:
    path = tmp_path / "podium.db"
    make_old(path, "0001")
    engine = open_database(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert cause_log.of_revisions(connection, [2, 3]) == b"{}"
    engine.dispose()
