"""The kernel's accounts, read from temporary directories that look like cgroups of v1 and v2."""

from __future__ import annotations

from pathlib import Path

import pytest

from kubelet.runtime.cgroups import Cgroups, accounts
from kubelet.runtime.cgroups.hierarchy import Hierarchy
from kubelet.runtime.cgroups.v1 import HierarchyV1
from kubelet.runtime.cgroups.v2 import HierarchyV2, cpu_weight
from kubelet.runtime.protocol import ContainerStats, DeviceIo, Pressure

V1_FILES = {
    "cpuacct.usage": "123456\n",
    "cpuacct.stat": "user 3\nsystem 2\n",
    "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 900\nnr_bursts 0\n",
    "memory.usage_in_bytes": "5000\n",
    "memory.max_usage_in_bytes": "7000\n",
    "memory.limit_in_bytes": "8192\n",
    "memory.memsw.limit_in_bytes": "10240\n",
    "memory.failcnt": "6\n",
    "memory.stat": "cache 1\ntotal_cache 2500\ntotal_rss 2000\ntotal_mapped_file 100\n"
    "total_pgfault 77\ntotal_pgmajfault 7\ntotal_swap 512\ntotal_inactive_file 2000\n",
    "pids.current": "4\n",
    "pids.max": "100\n",
    "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n"
    "253:1 Write 1\n8:0 Total 12288\nTotal 12289\n",
    "blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\n253:1 Write 1\nTotal 4\n",
}
V2_FILES = {
    "cpu.stat": "usage_usec 7\nuser_usec 5\nsystem_usec 2\nnr_periods 10\nnr_throttled 4\n"
    "throttled_usec 9\n",
    "memory.current": "5000\n",
    "memory.peak": "7000\n",
    "memory.max": "max\n",
    "memory.swap.current": "512\n",
    "memory.swap.max": "0\n",
    "memory.events": "low 0\nmax 6\noom 1\noom_kill 1\n",
    "memory.stat": "anon 2000\nfile 2500\nfile_mapped 100\ninactive_file 2000\npgfault 77\n"
    "pgmajfault 7\n",
    "pids.current": "4\n",
    "pids.max": "max\n",
    "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 \n",
    "cpu.pressure": "some avg10=1.50 avg60=0.20 avg300=0.00 total=99\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\n"
    "full avg10=0.00 avg60=0.00 avg300=0.25 total=2\n",
}


def tree_of(files: dict[str, str], kind: type[Hierarchy], at: Path, *names: str) -> Hierarchy:
    at.mkdir(exist_ok=True)
    for name, text in files.items():
        (at / name).write_text(text)
    return kind(str(at.parent), frozenset(names))


@pytest.fixture
def v1(tmp_path: Path) -> ContainerStats:
    names = ("cpu", "cpuacct", "memory", "pids", "blkio")
    return accounts.stats([tree_of(V1_FILES, HierarchyV1, tmp_path / "c", *names)], "c")


@pytest.fixture
def v2(tmp_path: Path) -> ContainerStats:
    names = ("cpu", "memory", "pids", "io")
    return accounts.stats([tree_of(V2_FILES, HierarchyV2, tmp_path / "c", *names)], "c")


def test_v1_accounts_of_the_cpu(v1: ContainerStats) -> None:
    assert (v1.cpu_usage_ns, v1.cpu_user_ns, v1.cpu_system_ns) == (123_456, 30_000_000, 20_000_000)
    assert (v1.cpu_periods, v1.cpu_throttled_periods, v1.cpu_throttled_ns) == (10, 4, 900)


def test_v2_accounts_of_the_cpu(v2: ContainerStats) -> None:
    assert (v2.cpu_usage_ns, v2.cpu_user_ns, v2.cpu_system_ns) == (7000, 5000, 2000)
    assert (v2.cpu_periods, v2.cpu_throttled_periods, v2.cpu_throttled_ns) == (10, 4, 9000)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_accounts_of_memory_are_the_same_in_both(
    version: str, request: pytest.FixtureRequest
) -> None:
    found: ContainerStats = request.getfixturevalue(version)
    assert (found.memory_usage_bytes, found.memory_working_set_bytes) == (5000, 3000)
    assert (found.memory_rss_bytes, found.memory_cache_bytes) == (2000, 2500)
    assert (found.memory_peak_bytes, found.memory_mapped_file_bytes) == (7000, 100)
    assert (found.page_faults, found.major_page_faults, found.memory_limit_hits) == (77, 7, 6)
    assert (found.swap_usage_bytes, found.pids) == (512, 4)


def test_limits_that_there_are_and_are_not(v1: ContainerStats, v2: ContainerStats) -> None:
    assert (v1.memory_limit_bytes, v1.swap_limit_bytes, v1.pids_limit) == (8192, 2048, 100)
    assert (v2.memory_limit_bytes, v2.swap_limit_bytes, v2.pids_limit) == (None, 0, None)


def test_v1_shows_no_limit_as_a_huge_one(tmp_path: Path) -> None:
    files = V1_FILES | {"memory.limit_in_bytes": "9223372036854771712\n"}
    tree = tree_of(files, HierarchyV1, tmp_path / "c", "memory", "cpuacct", "pids")
    found = accounts.stats([tree], "c")
    assert (found.memory_limit_bytes, found.swap_limit_bytes) == (None, None)


def test_accounts_of_the_disks_are_by_device(v1: ContainerStats, v2: ContainerStats) -> None:
    disk = DeviceIo(8, 0, read_bytes=4096, write_bytes=8192, reads=1, writes=2)
    assert v1.io == (disk, DeviceIo(253, 1, write_bytes=1, writes=1))
    assert v2.io == (disk,)


def test_pressure_is_told_where_the_kernel_measures_it(
    v1: ContainerStats, v2: ContainerStats
) -> None:
    assert v1.memory_pressure is None
    assert v2.cpu_pressure == Pressure((1.5, 0.2, 0.0, 99), (0.0, 0.0, 0.0, 0))
    assert v2.memory_pressure == Pressure((0.0, 0.0, 0.0, 1), (0.0, 0.0, 0.25, 2))
    assert v2.io_pressure is None


def test_the_accounts_of_several_trees_are_joined(tmp_path: Path) -> None:
    trees: list[Hierarchy] = []
    for name in ("cpu", "cpuacct", "memory", "pids"):
        (tmp_path / name / "r").mkdir(parents=True)
        files = {file: text for file, text in V1_FILES.items() if file.startswith(f"{name}.")}
        at = tmp_path / name / "r" / "c"
        tree_of(files, HierarchyV1, at, name)
        trees.append(HierarchyV1(str(tmp_path / name), frozenset({name})))
    (tmp_path / "memory/r/c/memory.stat").write_text("total_inactive_file 70000\n")
    found = Cgroups("r", trees).stats("c")
    assert (found.cpu_usage_ns, found.memory_usage_bytes, found.pids) == (123_456, 5000, 4)
    assert found.memory_working_set_bytes == 0  # never below, though the two files differ in age


def test_limits_are_read_back_as_they_were_written(tmp_path: Path) -> None:
    v1_files = {
        "cpu.shares": "153\n", "cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n",
        "memory.limit_in_bytes": "8192\n",
    }  # fmt: skip
    v2_files = {"cpu.weight": "6\n", "cpu.max": "max 100000\n", "memory.max": "8192\n"}
    v1 = tree_of(v1_files, HierarchyV1, tmp_path / "v1", "cpu", "memory")
    v2 = tree_of(v2_files, HierarchyV2, tmp_path / "v2", "cpu", "memory")
    exact, rough = accounts.limits([v1], "v1"), accounts.limits([v2], "v2")
    assert (exact.cpu_shares, exact.cpu_quota_us, exact.memory_bytes) == (153, -1, 8192)
    assert (rough.cpu_quota_us, rough.memory_bytes) == (-1, 8192)
    assert abs((rough.cpu_shares or 0) - 153) < 27


@pytest.mark.parametrize("weight", [1, 2, 39, 4000, 10_000])
def test_shares_read_back_from_a_weight_make_that_weight_again(weight: int) -> None:
    assert cpu_weight(accounts.cpu_shares(weight)) == weight
