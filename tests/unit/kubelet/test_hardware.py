"""What there is on a machine: from directories that look like /proc and /sys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kubelet.disks import disk_below, heeds_weights
from kubelet.hardware import Hardware, page_cgroup_name, page_resource, read_hardware


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_memory_swap_cpus_and_huge_pages_are_read(tmp_path: Path) -> None:
    put(tmp_path / "proc/meminfo", "MemTotal:   8 kB\nHugePages_Total:  0\nSwapTotal: 4 kB\n")
    put(tmp_path / "sys/devices/system/cpu/online", "0-1,4\n")
    put(tmp_path / "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "3\n")
    found = read_hardware(str(tmp_path / "proc"), str(tmp_path / "sys"))
    assert found == Hardware(8192, 4096, frozenset({0, 1, 4}), {2 << 20: 6 << 20})


@pytest.mark.parametrize(
    ("page", "resource", "cgroup"),
    [
        (2 << 20, "hugepages-2Mi", "2MB"), (1 << 30, "hugepages-1Gi", "1GB"),
        (64 << 10, "hugepages-64Ki", "64KB"),
    ],
)  # fmt: skip
def test_a_size_of_pages_has_a_name_in_kubernetes_and_one_in_the_kernel(
    page: int, resource: str, cgroup: str
) -> None:
    assert (page_resource(page), page_cgroup_name(page)) == (resource, cgroup)


@pytest.fixture
def number(tmp_path: Path) -> str:
    device = os.stat(tmp_path).st_dev
    return f"{os.major(device)}:{os.minor(device)}"


def link_block(tmp_path: Path, number: str, directory: str) -> None:
    (tmp_path / "sys/dev/block").mkdir(parents=True, exist_ok=True)
    (tmp_path / "sys/dev/block" / number).symlink_to(tmp_path / "sys" / directory)


def test_a_disk_is_found_below_its_partition(tmp_path: Path, number: str) -> None:
    put(tmp_path / "sys/block/sda/dev", "8:0\n")
    put(tmp_path / "sys/block/sda/sda1/partition", "1\n")
    link_block(tmp_path, number, "block/sda/sda1")
    assert disk_below(str(tmp_path), sys=str(tmp_path / "sys")) == (8, 0)


def test_device_mapper_has_a_queue_of_its_own(tmp_path: Path, number: str) -> None:
    put(tmp_path / "sys/block/dm-0/slaves/sda1/dev", "8:1\n")
    link_block(tmp_path, number, "block/dm-0")
    major, _, minor = number.partition(":")
    assert disk_below(str(tmp_path), sys=str(tmp_path / "sys")) == (int(major), int(minor))


@pytest.mark.parametrize("mount", ["tmpfs tmpfs rw", "nfs server:/x rw", "overlay o rw,lowerdir=/"])
def test_what_lies_on_no_disk_has_none(tmp_path: Path, number: str, mount: str) -> None:
    put(tmp_path / "sys/dev/block/.keep", "")
    put(tmp_path / "mountinfo", f"22 1 {number} / / rw - {mount}\n")
    assert disk_below(
        str(tmp_path), sys=str(tmp_path / "sys"), mountinfo=str(tmp_path / "mountinfo")
    ) is None  # fmt: skip


def test_the_disk_of_a_real_directory_can_be_throttled_or_there_is_none(tmp_path: Path) -> None:
    disk = disk_below(str(tmp_path))
    if disk is not None:
        assert not os.path.exists(f"/sys/dev/block/{disk[0]}:{disk[1]}/partition")


@pytest.mark.parametrize(
    ("scheduler", "costs", "heeds"),
    [
        ("none mq-deadline [bfq]", "", True),
        ("none [mq-deadline] bfq", "", False),
        ("[none]", "8:0 enable=1 ctrl=auto", True),
        ("[none]", "8:16 enable=1 ctrl=auto", False),
    ],
)
def test_weights_are_heeded_by_bfq_and_by_iocost(
    tmp_path: Path, scheduler: str, costs: str, heeds: bool
) -> None:
    put(tmp_path / "sys/dev/block/8:0/queue/scheduler", f"{scheduler}\n")
    put(tmp_path / "costs", f"{costs}\n")
    found = heeds_weights((8, 0), sys=str(tmp_path / "sys"), costs=str(tmp_path / "costs"))
    assert found is heeds
