"""One API server for all tests of a module; each test leaves it empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.controllers import clean


@pytest.fixture(scope="module")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("cluster")) as server:
        yield server


@pytest.fixture
def server(api_server: ApiServerProcess) -> Iterator[ApiServerProcess]:
    yield api_server
    kinds = ("deployments", "replicasets", "pods", "nodes", "leases", "configmaps", "events")
    clean(api_server, *kinds)
