"""A process's limits as both cgroup versions tell them, read from a directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from podium.lessons import kernel, world
from podium.lessons.kernel import Process


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /proc and a /sys/fs/cgroup of our own, with process 7 in them."""
    monkeypatch.setattr(kernel, "PROC", tmp_path / "proc")
    monkeypatch.setattr(kernel, "CGROUPS", tmp_path / "cgroup")
    (tmp_path / "proc" / "7").mkdir(parents=True)
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n")


def test_limits_are_read_from_version_2(machine: Path) -> None:
    write(machine / "proc/7/cgroup", "0::/kubepods/pod1/c1")
    write(machine / "cgroup/kubepods/pod1/c1/memory.max", "33554432")
    write(machine / "cgroup/kubepods/pod1/c1/cpu.max", "20000 100000")
    write(machine / "cgroup/kubepods/pod1/c1/cpu.stat", "nr_periods 9\nnr_throttled 4")
    process = Process(7)
    assert (process.memory_limit(), process.cpu_limit()) == (32 * 2**20, 0.2)
    assert process.cgroup_figures("cpu.stat", "cpu.stat")["nr_throttled"] == 4


def test_limits_are_read_from_version_1(machine: Path) -> None:
    write(machine / "proc/7/cgroup", "5:memory:/c1\n4:cpu,cpuacct:/c1\n0::/")
    write(machine / "cgroup/memory/c1/memory.limit_in_bytes", "33554432")
    write(machine / "cgroup/cpu/c1/cpu.cfs_quota_us", "20000")
    write(machine / "cgroup/cpu/c1/cpu.cfs_period_us", "100000")
    process = Process(7)
    assert (process.memory_limit(), process.cpu_limit()) == (32 * 2**20, 0.2)


@pytest.mark.parametrize("text", ["max 100000", "max"])
def test_no_limit_is_none(machine: Path, text: str) -> None:
    write(machine / "proc/7/cgroup", "0::/")
    write(machine / "cgroup/cpu.max", text)
    assert Process(7).cpu_limit() is None


def test_a_container_is_found_by_its_process_1(machine: Path) -> None:
    for pid, inner in ((7, 1), (8, 5)):
        write(machine / f"proc/{pid}/cgroup", "0::/kubepods/pod1/c1")
        write(machine / f"proc/{pid}/status", f"Name:\tsleep\nNSpid:\t{pid}\t{inner}")
    found = kernel.first_process("c1")
    assert found is not None
    assert found.pid == 7
    assert kernel.first_process("c2") is None


def test_who_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(world.NotRoot, match="run it as root, on the node"):
        world.require_root()
