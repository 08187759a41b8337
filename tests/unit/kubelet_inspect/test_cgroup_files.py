"""Where a process's cgroups are, and what their files say, on v1, v2 and hybrid hosts."""

from __future__ import annotations

from pathlib import Path

from kubelet.inspect import cgroup_files
from kubelet.inspect.cgroup_files import CgroupMount, Place
from kubelet.inspect.enforced import Enforced

HYBRID = """\
32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
"""


def everything(field: Enforced) -> tuple[str, str]:
    return f"{field.row}.{field.key}", "asked"


def limits_only(field: Enforced) -> tuple[str, str]:
    return (f"{field.row}.{field.key}", "") if field.row == "limits" else ("", "")


def test_a_process_is_found_in_each_tree_of_a_hybrid_host() -> None:
    mounts = cgroup_files.read_mounts(HYBRID.splitlines())
    places = cgroup_files.places_of("3:memory:/a/b\n2:cpu:/a/c\n0::/d\n", mounts)
    assert places == {
        "cpu": Place("v1", "/sys/fs/cgroup/cpu/a/c"),
        "memory": Place("v1", "/sys/fs/cgroup/memory/a/b"),
        "": Place("v2", "/sys/fs/cgroup/unified/d"),
    }


def test_a_mount_that_shows_only_a_part_of_the_tree_shortens_the_path() -> None:
    mounts = [CgroupMount("/sys/fs/cgroup", "/docker/x", frozenset())]
    assert cgroup_files.places_of("0::/docker/x/pod\n", mounts)[""].directory.endswith("cgroup/pod")


def test_v1_files_are_read_from_their_own_tree(tmp_path: Path) -> None:
    (tmp_path / "cpu.cfs_quota_us").write_text("50000\n")
    (tmp_path / "cpu.stat").write_text("nr_periods 9\nnr_throttled 4\nthrottled_time 77\n")
    (tmp_path / "cpuacct.usage").write_text("123\n")
    places = {name: Place("v1", str(tmp_path)) for name in ("cpu", "cpuacct")}
    row = next(cgroup_files.rows(places, limits_only))
    assert (row["field"], row["live"], row["hierarchy"]) == ("limits.cpu", "50000", "v1")
    assert row["usage"] == {
        "usedNs": 123, "periods": 9, "throttledPeriods": 4, "throttledNs": 77,
    }  # fmt: skip


def test_v2_files_are_all_in_one_tree_with_what_is_used_and_waited(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("67108864\n")
    (tmp_path / "memory.current").write_text("4096\n")
    (tmp_path / "memory.events").write_text("max 3\noom_kill 1\n")
    (tmp_path / "cpu.pressure").write_text("some avg10=1.50 avg60=0.00 avg300=0.00 total=9\n")
    memory, pressure = cgroup_files.rows({"": Place("v2", str(tmp_path))}, limits_only)
    assert (memory["live"], memory["usage"]["usedBytes"]) == ("67108864", 4096)
    assert (memory["usage"]["limitHits"], memory["usage"]["oomKills"]) == (3, 1)
    assert pressure["usage"]["pressure"]["some"]["avg10"] == 1.5


def test_a_cgroup_that_vanishes_leaves_no_rows(tmp_path: Path) -> None:
    places = {"": Place("v2", str(tmp_path / "gone"))}
    assert list(cgroup_files.rows(places, everything)) == []
