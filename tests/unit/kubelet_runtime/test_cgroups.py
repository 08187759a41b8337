"""The cgroup drivers on a temporary directory that looks like a mounted hierarchy."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from kubelet.runtime.cgroups import NEEDED, Cgroups, Leaf, devices, hierarchy, v1, v2
from kubelet.runtime.cgroups.v1 import HierarchyV1
from kubelet.runtime.cgroups.v2 import HierarchyV2, cpu_weight
from kubelet.runtime.errors import HostUnsupported
from kubelet.runtime.protocol import Device, IoLimit, Resources

LIMITS = Resources(
    cpu_shares=512, cpu_quota_us=25_000, cpu_period_us=100_000, memory_bytes=1 << 20, pids=9
)


@pytest.fixture(autouse=True)
def files_that_need_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    """On cgroupfs every file is there already; here `write` makes it."""

    def write(path: str, value: str) -> None:
        Path(path).write_text(value)

    for module in (hierarchy, v1, v2, devices):
        monkeypatch.setattr(module, "write", write)


def written(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir() if path.is_file()}


def test_v1_writes_what_its_controllers_know(tmp_path: Path) -> None:
    tree = HierarchyV1(str(tmp_path), frozenset({"cpu", "cpuacct"}))
    tree.create("podium-x/kubepods/pod1/abc", is_leaf=True)
    tree.apply("podium-x/kubepods/pod1/abc", LIMITS)
    assert written(tmp_path / "podium-x/kubepods/pod1/abc") == {
        "cpu.shares": "512", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "25000",
    }  # fmt: skip


def test_v1_limits_memory_and_swap_together_where_swap_is_counted(tmp_path: Path) -> None:
    tree = HierarchyV1(str(tmp_path), frozenset({"memory"}))
    tree.create("a", is_leaf=True)
    tree.apply("a", LIMITS)
    assert written(tmp_path / "a") == {"memory.limit_in_bytes": "1048576"}
    (tmp_path / "a" / "memory.memsw.limit_in_bytes").touch()
    tree.apply("a", LIMITS)
    assert written(tmp_path / "a")["memory.memsw.limit_in_bytes"] == "1048576"


def test_v1_raises_the_limit_with_swap_first_when_the_kernel_wants_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []

    def refuse_first(path: str, value: str) -> None:
        order.append(os.path.basename(path))
        if len(order) == 1:
            raise OSError(errno.EINVAL, "Invalid argument", path)

    monkeypatch.setattr(v1, "write", refuse_first)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "memory.memsw.limit_in_bytes").touch()
    HierarchyV1(str(tmp_path), frozenset({"memory"})).apply("a", LIMITS)
    limit, with_swap = "memory.limit_in_bytes", "memory.memsw.limit_in_bytes"
    assert order == [limit, with_swap, limit]


def test_limits_that_are_not_given_are_left_alone(tmp_path: Path) -> None:
    for tree in (
        HierarchyV1(str(tmp_path), frozenset({"cpu", "memory", "pids"})),
        HierarchyV2(str(tmp_path), frozenset()),
    ):
        (tmp_path / "a").mkdir(exist_ok=True)
        tree.apply("a", Resources(memory_bytes=0))
        assert written(tmp_path / "a") == {}


def test_v1_has_soft_limits_and_room_for_swap(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "memory.memsw.limit_in_bytes").touch()
    wanted = Resources(memory_bytes=1000, memory_soft_bytes=600, swap_bytes=50)
    HierarchyV1(str(tmp_path), frozenset({"memory"})).apply("a", wanted)
    assert written(tmp_path / "a") == {
        "memory.soft_limit_in_bytes": "600", "memory.limit_in_bytes": "1000",
        "memory.memsw.limit_in_bytes": "1050",
    }  # fmt: skip


def test_v1_keeps_what_has_no_limit_from_swapping_as_far_as_it_can(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    HierarchyV1(str(tmp_path), frozenset({"memory"})).apply("a", Resources(swap_bytes=0))
    assert written(tmp_path / "a") == {"memory.swappiness": "0"}


def test_v1_cpusets_inherit_down_to_the_leaf_that_is_pinned(tmp_path: Path) -> None:
    for path in ("", "r", "r/pod1", "r/pod1/c"):
        (tmp_path / path).mkdir(exist_ok=True)
        (tmp_path / path / "cpuset.cpus").write_text("" if path else "0-3\n")
        (tmp_path / path / "cpuset.mems").write_text("" if path else "0\n")
    tree = HierarchyV1(str(tmp_path), frozenset({"cpuset"}))
    tree.create("r/pod1/c", is_leaf=True)
    tree.apply("r/pod1/c", Resources(cpuset_cpus="1-2"))
    assert written(tmp_path / "r/pod1") == {"cpuset.cpus": "0-3\n", "cpuset.mems": "0\n"}
    assert written(tmp_path / "r/pod1/c") == {"cpuset.cpus": "1-2", "cpuset.mems": "0\n"}


IO = Resources(io=(IoLimit(8, 16, read_bps=1024, write_iops=7),), io_weight=300)


def test_v1_throttles_each_device_and_weighs_with_bfq(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "blkio.bfq.weight").touch()
    HierarchyV1(str(tmp_path), frozenset({"blkio"})).apply("a", IO)
    assert written(tmp_path / "a") == {
        "blkio.throttle.read_bps_device": "8:16 1024",
        "blkio.throttle.write_bps_device": "8:16 0",
        "blkio.throttle.read_iops_device": "8:16 0",
        "blkio.throttle.write_iops_device": "8:16 7",
        "blkio.bfq.weight": "300",
    }


def test_v2_throttles_each_device_and_weighs_with_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "io.weight").touch()
    HierarchyV2(str(tmp_path), frozenset({"io"})).apply("a", IO)
    assert written(tmp_path / "a") == {
        "io.max": "8:16 rbps=1024 wbps=max riops=max wiops=7", "io.weight": "300",
    }  # fmt: skip


@pytest.mark.parametrize(
    "tree", [HierarchyV1("/x", frozenset({"blkio"})), HierarchyV2("/x", frozenset({"io"}))]
)
def test_a_weight_that_no_scheduler_heeds_is_refused(tree: hierarchy.Hierarchy) -> None:
    with pytest.raises(HostUnsupported, match="no I/O weight"):
        tree.apply("a", Resources(io_weight=10))


SLOW = IoLimit(8, 16, read_bps=1024, write_bps=1024)


def test_all_below_a_cgroup_shares_an_io_limit_on_v2(tmp_path: Path) -> None:
    (tmp_path / "r/kubepods/pod1").mkdir(parents=True)
    cgroups = Cgroups("r", [HierarchyV2(str(tmp_path), NEEDED | {"io"})])
    cgroups.limit_io_below("kubepods", SLOW, spared=["kubepods/pod1"])
    limit = "8:16 rbps=1024 wbps=1024 riops=max wiops=max"
    assert written(tmp_path / "r/kubepods") == {"io.max": limit}
    assert written(tmp_path / "r/kubepods/pod1") == {}


def test_on_v1_each_cgroup_below_has_an_io_limit_but_those_that_are_spared(tmp_path: Path) -> None:
    for path in ("pod1/c", "pod10/c", "pod2/c"):
        (tmp_path / "blkio/r/kubepods" / path).mkdir(parents=True)
    (tmp_path / "all/r/kubepods").mkdir(parents=True)
    trees: list[hierarchy.Hierarchy] = [
        HierarchyV1(str(tmp_path / "all"), NEEDED),
        HierarchyV1(str(tmp_path / "blkio"), frozenset({"blkio"})),
    ]
    Cgroups("r", trees).limit_io_below("kubepods", SLOW, spared=["kubepods/pod1"])
    limited = {
        str(file.parent.relative_to(tmp_path / "blkio/r/kubepods"))
        for file in tmp_path.rglob("blkio.throttle.write_bps_device")
        if file.read_text() == "8:16 1024"
    }
    assert limited == {".", "pod10", "pod10/c", "pod2", "pod2/c"}


def test_io_cannot_be_limited_where_the_kernel_has_no_controller(tmp_path: Path) -> None:
    cgroups = Cgroups("r", [HierarchyV1(str(tmp_path), NEEDED)])
    with pytest.raises(HostUnsupported, match="no cgroup controller for: io"):
        cgroups.limit_io_below("kubepods", SLOW)


def test_on_v1_a_container_is_held_to_its_sandboxs_throttles_by_being_in_its_cgroup(
    tmp_path: Path,
) -> None:
    trees: list[hierarchy.Hierarchy] = [
        HierarchyV1(str(tmp_path / "all"), NEEDED),
        HierarchyV1(str(tmp_path / "blkio"), frozenset({"blkio"})),
    ]
    cgroups = Cgroups("r", trees)
    leaf = Leaf("pod1/c", Resources(io_of_sandbox=True))
    cgroups.create_leaf(leaf)
    assert cgroups.procs_files(leaf) == [
        f"{tmp_path}/all/r/pod1/c/cgroup.procs", f"{tmp_path}/blkio/r/pod1/cgroup.procs",
    ]  # fmt: skip
    assert not (tmp_path / "blkio/r/pod1/c").exists()


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        (HierarchyV1("", frozenset({"hugetlb"})), "limit_in_bytes"),
        (HierarchyV2("", frozenset({"hugetlb"})), "max"),
    ],
)
def test_huge_pages_are_limited_when_used_and_when_reserved(
    tree: hierarchy.Hierarchy, name: str, tmp_path: Path
) -> None:
    (tmp_path / f"hugetlb.2MB.rsvd.{name}").touch()
    tree.apply(str(tmp_path), Resources(hugepages=(("2MB", 4 << 20), ("1GB", 0))))
    assert written(tmp_path) == {
        f"hugetlb.2MB.{name}": "4194304", f"hugetlb.2MB.rsvd.{name}": "4194304",
        f"hugetlb.1GB.{name}": "0",
    }  # fmt: skip


def test_a_cpu_limit_can_be_taken_away_again(tmp_path: Path) -> None:
    for tree in (
        HierarchyV1(str(tmp_path), frozenset({"cpu"})), HierarchyV2(str(tmp_path), NEEDED),
    ):  # fmt: skip
        tree.apply("", Resources(cpu_quota_us=-1))
    assert (tmp_path / "cpu.cfs_quota_us").read_text() == "-1"
    assert (tmp_path / "cpu.max").read_text() == "max 100000"


def test_v2_keeps_memory_back_from_reclaim_and_swaps_as_much_as_it_may(tmp_path: Path) -> None:
    (tmp_path / "memory.swap.max").touch()
    wanted = Resources(memory_soft_bytes=600, swap_bytes=50)
    HierarchyV2(str(tmp_path), NEEDED).apply("", wanted)
    assert written(tmp_path) == {"memory.low": "600", "memory.swap.max": "50"}


def test_a_v2_tree_writes_only_what_its_controllers_know(tmp_path: Path) -> None:
    wanted = Resources(cpu_shares=9, memory_bytes=9, pids=9, cpuset_cpus="0")
    HierarchyV2(str(tmp_path), frozenset({"hugetlb"})).apply("", wanted)
    assert written(tmp_path) == {}
    HierarchyV2(str(tmp_path), frozenset({"cpuset"})).apply("", wanted)
    assert written(tmp_path) == {"cpuset.cpus": "0"}


def test_v2_hands_controllers_down_to_the_leaf_but_not_in_it(tmp_path: Path) -> None:
    tree = HierarchyV2(str(tmp_path), frozenset({"cpu", "memory", "pids"}))
    tree.create("podium-x/kubepods/pod1/abc", is_leaf=True)
    handed = "+cpu +memory +pids"
    for path in ("", "podium-x", "podium-x/kubepods", "podium-x/kubepods/pod1"):
        assert (tmp_path / path / "cgroup.subtree_control").read_text() == handed, path
    assert not (tmp_path / "podium-x/kubepods/pod1/abc/cgroup.subtree_control").exists()


def test_v2_hands_down_from_the_top_what_the_root_has_not_handed_down_yet(tmp_path: Path) -> None:
    """systemd's root hands on cpu, memory and pids, so pids.max alone proves nothing."""
    (tmp_path / "podium-x").mkdir()
    (tmp_path / "podium-x" / "cgroup.controllers").write_text("cpu memory pids\n")
    tree = HierarchyV2(str(tmp_path), frozenset({"cpu", "cpuset", "pids"}))
    tree.create("podium-x", is_leaf=False)
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu +cpuset +pids"


def test_v2_writes_weight_max_and_no_swap(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "memory.swap.max").touch()
    HierarchyV2(str(tmp_path), frozenset({"cpu", "memory", "pids"})).apply("a", LIMITS)
    assert written(tmp_path / "a") == {
        "cpu.weight": "20", "cpu.max": "25000 100000", "memory.max": "1048576",
        "memory.swap.max": "0", "pids.max": "9",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("shares", "weight"),
    [(2, 1), (102, 4), (1024, 39), (262_144, 10_000), (0, 1), (999_999, 10_000)],
)
def test_shares_become_weight_as_the_oci_runtimes_do_it(shares: int, weight: int) -> None:
    assert cpu_weight(shares) == weight


V1_MOUNTS = """\
30 25 0:26 / {0}/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / {0}/memory rw - cgroup cgroup rw,memory
32 25 0:28 / {0}/pids rw - cgroup cgroup rw,pids
33 25 0:29 / {0}/devices rw - cgroup cgroup rw,devices
34 25 0:30 / {0}/systemd rw - cgroup cgroup rw,xattr,name=systemd
35 25 0:31 / {0}/unified rw - cgroup2 cgroup2 rw
"""


@pytest.fixture
def unified(tmp_path: Path) -> Path:
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text("\n")
    return tmp_path / "unified"


@pytest.mark.usefixtures("unified")
def test_a_hybrid_host_is_found_to_be_v1(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(V1_MOUNTS.format(tmp_path))
    found = Cgroups.detect("podium-x", str(tmp_path / "mountinfo"))
    assert [(type(h), h.mount_point.removeprefix(str(tmp_path))) for h in found.hierarchies] == [
        (HierarchyV1, "/cpu,cpuacct"), (HierarchyV1, "/memory"), (HierarchyV1, "/pids"),
    ]  # fmt: skip
    assert isinstance(found.hierarchies[0], HierarchyV1)
    assert found.hierarchies[0].options == "cpu,cpuacct"
    assert found.devices_v1 is not None
    assert found.devices_v1.mount_point == f"{tmp_path}/devices"


def test_a_unified_host_is_found_to_be_v2(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(f"29 25 0:25 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    found = Cgroups.detect("podium-x", str(tmp_path / "mountinfo"))
    assert [(type(h), h.controllers) for h in found.hierarchies] == [
        (HierarchyV2, frozenset({"cpu", "cpuset", "hugetlb", "io", "memory", "pids"}))
    ]
    assert found.devices_v1 is None


def test_each_controller_is_taken_from_where_it_is(tmp_path: Path, unified: Path) -> None:
    lines = V1_MOUNTS.format(tmp_path).splitlines(keepends=True)
    (tmp_path / "mountinfo").write_text("".join(line for line in lines if "/pids" not in line))
    (unified / "cgroup.controllers").write_text("pids hugetlb\n")
    found = Cgroups.detect("podium-x", str(tmp_path / "mountinfo"))
    assert found.hierarchies[-1].controllers == frozenset({"hugetlb", "pids"})
    assert isinstance(found.hierarchies[-1], HierarchyV2)


def test_trees_of_few_users_are_entered_only_by_those_who_need_them(
    tmp_path: Path, unified: Path
) -> None:
    mounts = V1_MOUNTS + "36 25 0:32 / {0}/cpuset rw - cgroup cgroup rw,cpuset\n"
    (tmp_path / "mountinfo").write_text(mounts.format(tmp_path))
    (unified / "cgroup.controllers").write_text("hugetlb\n")
    found = Cgroups.detect("podium-x", str(tmp_path / "mountinfo"))
    plain, pinned, huge = (
        [os.path.relpath(file, tmp_path).split("/")[0] for file in found.procs_files(leaf)]
        for leaf in (
            Leaf("a/b", Resources()),
            Leaf("a/b", Resources(cpuset_cpus="0")),
            Leaf("a/b", Resources(hugepages=(("2MB", 0),))),
        )
    )
    assert plain == ["cpu,cpuacct", "memory", "pids"]
    assert (pinned, huge) == ([*plain, "cpuset"], [*plain, "unified"])


def test_what_no_controller_can_do_is_refused(tmp_path: Path) -> None:
    cgroups = Cgroups("r", [HierarchyV1(str(tmp_path), NEEDED)])
    with pytest.raises(HostUnsupported, match="no cgroup controller for: io"):
        cgroups.create_leaf(Leaf("a", Resources(io=(IoLimit(8, 0, read_bps=1),))))
    with pytest.raises(HostUnsupported, match="no cgroup controller for: hugetlb"):
        cgroups.create_parent("a", Resources(hugepages=(("2MB", 2 << 20),)))
    cgroups.create_parent("a", Resources(hugepages=(("2MB", 0),)))


def test_a_missing_controller_is_named(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(f"29 25 0:25 / {tmp_path} rw - cgroup2 cgroup2 rw\n")
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    with pytest.raises(HostUnsupported, match="no cgroup controller for: pids"):
        Cgroups.detect("podium-x", str(tmp_path / "mountinfo"))


def test_v1_is_asked_to_count_the_io_of_each_disk_that_there_is(tmp_path: Path) -> None:
    for name, size in (("vda", "1024"), ("loop0", "0")):
        (tmp_path / "block" / name).mkdir(parents=True)
        (tmp_path / "block" / name / "size").write_text(f"{size}\n")
        (tmp_path / "block" / name / "dev").write_text("254:0\n" if size != "0" else "7:0\n")
    (tmp_path / "cgroup").mkdir()
    v1.count_io_v1(str(tmp_path / "cgroup"), str(tmp_path / "block"))
    assert written(tmp_path / "cgroup") == {"blkio.throttle.write_bps_device": "254:0 0"}


def test_v1_devices_are_denied_first_and_then_allowed_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, str]] = []
    monkeypatch.setattr(
        devices, "write", lambda path, value: order.append((os.path.basename(path), value))
    )
    devices.restrict_v1(str(tmp_path))
    assert order[0] == ("devices.deny", "a")
    assert ("devices.allow", "c 1:3 rwm") in order
    assert ("devices.allow", "c 136:* rwm") in order
    assert ("devices.allow", "b *:* m") in order
    assert not [value for _, value in order if value.startswith("b") and value != "b *:* m"]


def run_bpf(program: bytes, access: int, kind: int, major: int, minor: int) -> int:
    """What the kernel would do: just the instructions that `device_program` uses."""
    memory = {0: access << 16 | kind, 4: major, 8: minor}
    registers, at = [0] * 11, 0
    while True:
        code, both, raw_off, imm = (
            program[at], program[at + 1], program[at + 2 : at + 4], program[at + 4 : at + 8],
        )  # fmt: skip
        dst, src = both & 15, both >> 4
        off, value = int.from_bytes(raw_off, "little"), int.from_bytes(imm, "little")
        at += 8
        match code:
            case 0x61:
                registers[dst] = memory[off]
            case 0xBF:
                registers[dst] = registers[src]
            case 0xB7:
                registers[dst] = value
            case 0x77:
                registers[dst] >>= value
            case 0x57:
                registers[dst] &= value
            case 0x55:
                at += 8 * off if registers[dst] != value else 0
            case 0x15:
                at += 8 * off if registers[dst] == value else 0
            case 0x95:
                return registers[0]
            case _:
                raise AssertionError(f"instruction {code:#x}")


BLOCK, CHAR = 1, 2
MKNOD, READ, WRITE = 1, 2, 4


@pytest.mark.parametrize(
    ("access", "kind", "major", "minor", "verdict"),
    [
        (READ | WRITE, CHAR, 1, 3, 1), (READ, CHAR, 1, 9, 1), (WRITE, CHAR, 136, 77, 1),
        (READ, CHAR, 5, 2, 1), (READ, CHAR, 1, 1, 0), (READ, BLOCK, 1, 3, 0),
        (READ, BLOCK, 8, 0, 0), (MKNOD, BLOCK, 8, 0, 1), (MKNOD | READ, BLOCK, 8, 0, 0),
        (READ, CHAR, 5, 1, 0), (READ, CHAR, 10, 229, 0),
    ],
)  # fmt: skip
def test_the_v2_program_judges_like_the_v1_list(
    access: int, kind: int, major: int, minor: int, verdict: int
) -> None:
    assert run_bpf(devices.device_program(), access, kind, major, minor) == verdict


@pytest.mark.parametrize(
    ("access", "kind", "major", "minor", "verdict"),
    [
        (READ, BLOCK, 8, 1, 1), (WRITE, BLOCK, 8, 1, 0), (READ | WRITE, BLOCK, 8, 1, 0),
        (READ, CHAR, 8, 1, 0), (READ, BLOCK, 8, 2, 0), (READ | WRITE, CHAR, 10, 229, 1),
        (READ, BLOCK, 10, 229, 0), (READ | WRITE, CHAR, 1, 3, 1),
    ],
)  # fmt: skip
def test_the_v2_program_knows_the_devices_that_a_container_was_given(
    access: int, kind: int, major: int, minor: int, verdict: int
) -> None:
    given = [Device("/dev/xvda", "b", 8, 1, "r"), Device("/dev/fuse", "c", 10, 229, "rw")]
    assert run_bpf(devices.device_program(given), access, kind, major, minor) == verdict


def test_a_container_with_devices_of_its_own_has_a_v1_list_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_to: list[tuple[str, str]] = []
    monkeypatch.setattr(devices, "write", lambda *wrote: written_to.append(wrote))
    trees: list[hierarchy.Hierarchy] = [HierarchyV1(str(tmp_path / "all"), NEEDED)]
    cgroups = Cgroups("r", trees, HierarchyV1(str(tmp_path / "devices"), frozenset({"devices"})))
    leaf = Leaf("pod1/abc", Resources(), (Device("/dev/xvda", "b", 8, 1, "r"),))
    cgroups.create_leaf(leaf)
    assert (f"{tmp_path}/devices/r/pod1/abc/devices.allow", "b 8:1 r") in written_to
    assert cgroups.procs_files(leaf)[-1] == f"{tmp_path}/devices/r/pod1/abc/cgroup.procs"
    assert cgroups.procs_files(Leaf("pod1/def", Resources())) == [
        f"{tmp_path}/all/r/pod1/def/cgroup.procs"
    ]


def test_whether_devices_are_controlled_is_known(tmp_path: Path) -> None:
    trees: list[hierarchy.Hierarchy] = [
        HierarchyV1(str(tmp_path), frozenset({"cpu", "cpuacct", "memory", "pids"}))
    ]
    assert not Cgroups("r", trees).controls_devices
    assert Cgroups("r", trees, HierarchyV1(str(tmp_path), frozenset({"devices"}))).controls_devices
