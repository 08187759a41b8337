"""One real API server for all tests of a module, spoken to in plain HTTP over TLS."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from apiserver.database import open_database
from apiserver.storage import Store
from apiserver.watch import WatchHub
from tests.integration.apiserver.fake_kubelet import FakeKubelet
from tests.integration.apiserver.plain_http import Api
from tests.support.api_server import ApiServerProcess, running_api_server

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("cluster")) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store of a test's own, in SQLite, without a server."""
    hub = WatchHub()
    store = Store(open_database(f"sqlite:///{tmp_path}/podium.db"), hub.publish)
    hub.begin(store.revisions()[0])
    store.start()
    yield store
    store.stop()


@pytest.fixture
def api(server: ApiServerProcess) -> Iterator[Api]:
    """As system:masters."""
    with Api(server) as api:
        yield api


@pytest.fixture
def ns(api: Api) -> str:
    """The path of a new namespace's core resources: "/api/v1/namespaces/t1"."""
    name = f"t{next(_numbers)}"
    made = api.post(
        "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    assert made.code == 201
    return f"/api/v1/namespaces/{name}"


@pytest.fixture
def kubelet(server: ApiServerProcess, api: Api) -> Iterator[FakeKubelet]:
    """That of node-1, which is made if it is not there."""
    kubelet = FakeKubelet(server.data_dir / "pki")
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
    }
    api.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
    assert api.patch("/api/v1/nodes/node-1/status", {"status": status}).code == 200
    yield kubelet
    kubelet.close()
