"""A real API server for the session, a namespace for each test, and controllers in this process."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.lab import Lab

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("api")) as server:
        yield server


@pytest.fixture
def lab(api_server: ApiServerProcess) -> Iterator[Lab]:
    """A namespace with the verbs that these tests are written in."""
    lab = Lab(api_server.client(), api_server.client("controllers"), f"t{next(_numbers)}")
    yield lab
    lab.close()
