"""One kubelet's server for each test, and no volume that stays mounted after one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.mount_points import unmount_below
from podium.cli import pki
from tests.integration.kubelet.served import Served


@pytest.fixture(autouse=True)
def _no_mount_stays(tmp_path: Path) -> Iterator[None]:
    """A kubelet that ends leaves its Pods' volumes to the next one."""
    yield
    unmount_below(str(tmp_path))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("cluster")
    pki.create_pki(data_dir, ["node-1"], "127.0.0.1", 6443)
    return data_dir / "pki"


@pytest.fixture
def served(keys: Path, tmp_path: Path) -> Iterator[Served]:
    found = Served(keys, tmp_path)
    yield found
    found.server.stop()
