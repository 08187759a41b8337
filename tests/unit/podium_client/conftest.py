"""A real API server for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api_server import ApiServerProcess, running_api_server


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("api")) as server:
        yield server
