"""One engine for all tests that leave it alive; `own_engine` for those that kill parts of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.node.runtime.containerd_engine import ContainerdEngine
from tests.node.runtime.engine import Engine, Pods
from tests.support.disk import Disk, loop_disk


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = Engine(tmp_path_factory.mktemp("engine"), f"podium-t{os.getpid()}")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerdEngine]:
    engine = ContainerdEngine(
        tmp_path_factory.mktemp("containerd") / "root", f"podium-c{os.urandom(3).hex()}"
    )
    yield engine
    engine.close()


@pytest.fixture
def pods(engine: Engine, tmp_path: Path) -> Iterator[Pods]:
    pods = Pods(engine.runtime, tmp_path)
    yield pods
    pods.close()


@pytest.fixture
def own_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = Engine(tmp_path / "engine", f"podium-o{os.getpid()}")
    yield engine
    engine.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with loop_disk(tmp_path / "disk.img") as disk:
        yield disk
