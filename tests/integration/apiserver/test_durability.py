"""The store on bad days: kill -9, a full disk, a corrupt or locked file, compaction."""

from __future__ import annotations

import json
import resource
import sqlite3
import threading
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.integration.apiserver.plain_http import Api, a_config_map
from tests.support.api_server import ApiServerProcess, running_api_server

PATH = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[ApiServerProcess]:
    """A server that the test may break."""
    with running_api_server(tmp_path) as server:
        yield server


class Writer(threading.Thread):
    """Creates and changes until the server dies; remembers what was acknowledged."""

    def __init__(self, server: ApiServerProcess, number: int) -> None:
        super().__init__()
        self.acknowledged: dict[str, int] = {}
        self._server, self._number = server, number

    def run(self) -> None:
        with Api(self._server) as api:
            try:
                for count in range(100_000):
                    name = f"w{self._number}-{count // 2}"
                    if count % 2 == 0:
                        answer = api.post(PATH, a_config_map(name))
                    else:
                        answer = api.patch(f"{PATH}/{name}", {"data": {"n": str(count)}})
                    assert answer.code < 300, answer.raw
                    self.acknowledged[name] = int(answer.json["metadata"]["resourceVersion"])
            except (OSError, json.JSONDecodeError, HTTPException):
                return  # it is dead: what was not answered may be there or not


def test_nothing_acknowledged_is_lost_by_a_kill_and_no_revision_is_missing(
    own: ApiServerProcess,
) -> None:
    writers = [Writer(own, number) for number in range(6)]
    for writer in writers:
        writer.start()
    while sum(len(w.acknowledged) for w in writers) < 400:
        assert all(w.is_alive() for w in writers)
    own.kill()
    for writer in writers:
        writer.join(20)
    own.start()
    with Api(own) as api:
        listed = api.get(f"{PATH}?limit=100000").json
    found = {o["metadata"]["name"]: int(o["metadata"]["resourceVersion"]) for o in listed["items"]}
    for writer in writers:
        for name, rv in writer.acknowledged.items():
            assert found[name] >= rv
    own.stop()
    with sqlite3.connect(own.data_dir / "podium.db") as database:
        revisions = [rv for (rv,) in database.execute("SELECT rv FROM change ORDER BY rv")]
        (last,) = database.execute("SELECT v FROM meta WHERE k = 'rv'").fetchone()
    database.close()
    assert revisions == list(range(revisions[0], last + 1))


def test_a_watch_goes_on_across_a_restart(own: ApiServerProcess) -> None:
    with Api(own) as api:
        rv = api.revision()
        api.post(PATH, a_config_map("before"))
    own.kill()
    own.start()
    with Api(own) as api:
        api.post(PATH, a_config_map("after"))
        with api.watch(PATH, f"resourceVersion={rv}") as watch:
            assert watch.take(2) == [("ADDED", "before"), ("ADDED", "after")]


def test_a_full_disk_refuses_writes_and_goes_on_reading(own: ApiServerProcess) -> None:
    assert own.process is not None
    with Api(own) as api:
        api.post(PATH, a_config_map("kept", a="1"))
        size = max(p.stat().st_size for p in own.data_dir.glob("podium.db*"))
        before = resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, (size + 50_000, before[1]))
        answers = [api.post(PATH, a_config_map(f"big{n}", a="x" * 30_000)) for n in range(20)]
        refused = [a for a in answers if a.code != 201]
        assert refused
        assert all((a.code, a.reason) == (500, "InternalError") for a in refused)
        assert "the database did not take the write" in refused[0].message
        assert api.get(f"{PATH}/kept").json["data"] == {"a": "1"}
        resource.prlimit(own.process.pid, resource.RLIMIT_FSIZE, before)
        stored = set(api.get(PATH).names)
        assert stored >= {f"big{n}" for n, a in enumerate(answers) if a.code == 201} | {"kept"}
        assert api.post(PATH, a_config_map("again")).code == 201


def test_a_corrupt_database_is_told_and_left_alone(tmp_path: Path) -> None:
    server = ApiServerProcess(tmp_path)
    path = tmp_path / "podium.db"
    path.write_bytes(b"this is no database at all, not even close" * 100)
    with pytest.raises(AssertionError, match="it is corrupt"):
        server.start()
    assert path.read_bytes().startswith(b"this is no database")


def test_a_newer_schema_is_told_and_left_alone(own: ApiServerProcess) -> None:
    own.stop()
    with sqlite3.connect(own.data_dir / "podium.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    with pytest.raises(AssertionError, match="newer than this Podium"):
        own.start()


def test_a_locked_database_is_told_and_left_alone(tmp_path: Path) -> None:
    server = ApiServerProcess(tmp_path)
    database = sqlite3.connect(tmp_path / "podium.db", isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN EXCLUSIVE")
    with pytest.raises(AssertionError, match="it is locked by another program"):
        server.start()
    database.execute("ROLLBACK")
    database.close()


def test_a_second_server_on_the_same_data_is_refused(own: ApiServerProcess) -> None:
    second = ApiServerProcess(own.data_dir)
    with pytest.raises(AssertionError, match="another API server"):
        second.start()
