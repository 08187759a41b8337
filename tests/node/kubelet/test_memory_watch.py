"""The kernel tells when memory is used: a cgroup of the test's own stands for the machine's."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.memory_watch import MemoryWatch

V1 = Path("/sys/fs/cgroup/memory")
MI = 1 << 20
EAT = "x = bytearray(40 << 20); input()"


@pytest.fixture
def cgroup() -> Iterator[Path]:
    if not (V1 / "cgroup.event_control").exists():
        pytest.skip("cgroup v1 has no memory hierarchy here")
    path = V1 / f"memory-watch-{os.getpid()}"
    path.mkdir()
    yield path
    path.rmdir()


def test_use_beyond_the_threshold_is_told(cgroup: Path, tmp_path: Path) -> None:
    told = threading.Event()
    watch = MemoryWatch(
        80 * MI, 100 * MI, told.set, pressure=tmp_path / "none", root_v1=cgroup
    )  # more than 20 MiB used
    thread = threading.Thread(target=watch.run)
    thread.start()
    enter = f"echo $$ > {cgroup}/cgroup.procs; exec python3 -c '{EAT}'"
    with subprocess.Popen(["sh", "-c", enter], stdin=subprocess.PIPE) as eater:
        assert told.wait(30)
        eater.communicate(b"\n")
    watch.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_kernel_that_offers_nothing_ends_the_watch(tmp_path: Path) -> None:
    MemoryWatch(1, 2, lambda: None, pressure=tmp_path / "none", root_v1=tmp_path).run()
