"""Requests, limits and annotations as the values of cgroups."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.cgroup_values import CgroupValues
from kubelet.configuration import KubeletConfiguration
from kubelet.hardware import Hardware
from kubelet.runtime.protocol import IoLimit
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]

MI, GI = 1 << 20, 1 << 30
MACHINE = Hardware(8 * GI, 4 * GI, frozenset(range(4)), {2 * MI: 64 * MI, GI: 0})
VALUES = CgroupValues(MACHINE, KubeletConfiguration())
DISKS = ((8, 0), (7, 1))


def with_resources(name: str = "main", **kinds: dict[str, str]) -> Object:
    return a_container(name, resources=kinds)


def annotated(container: Object, **annotations: str) -> Object:
    pod = a_kubelet_pod(container)
    pod["metadata"]["annotations"] = annotations
    return pod


def test_requests_become_shares_and_limits_become_a_quota() -> None:
    container = with_resources(requests={"cpu": "250m"}, limits={"cpu": "500m", "memory": "64Mi"})
    found = VALUES.of_container(a_kubelet_pod(container), container)
    assert (found.cpu_shares, found.cpu_quota_us) == (256, 50_000)
    assert (found.memory_bytes, found.memory_soft_bytes) == (64 * MI, 64 * MI)


def test_a_container_that_asks_for_nothing_gets_the_least_shares_and_no_limit() -> None:
    found = VALUES.of_container(a_kubelet_pod(), a_container())
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_bytes) == (2, None, None)
    assert (found.memory_soft_bytes, found.swap_bytes) == (None, 0)


@pytest.mark.parametrize(
    ("kinds", "shares", "quota_us"),
    [
        ({"limits": {"cpu": "1"}}, 1024, 100_000),
        ({"limits": {"cpu": "1m"}}, 2, 1000),
        ({"requests": {"cpu": "0"}, "limits": {"cpu": "1"}}, 2, 100_000),
    ],
)
def test_limits_without_requests_and_tiny_ones(kinds: Object, shares: int, quota_us: int) -> None:
    container = with_resources(**kinds)
    found = VALUES.of_container(a_kubelet_pod(container), container)
    assert (found.cpu_shares, found.cpu_quota_us) == (shares, quota_us)


def test_one_container_without_a_limit_leaves_the_pod_without_one() -> None:
    limited = with_resources(limits={"cpu": "1", "memory": "1Mi"})
    whole = VALUES.of_pod(a_kubelet_pod(limited, limited))
    assert (whole.cpu_quota_us, whole.memory_bytes) == (200_000, 2 * MI)
    half = VALUES.of_pod(a_kubelet_pod(limited, a_container("other")))
    assert (half.cpu_quota_us, half.memory_bytes) == (None, None)
    assert half.memory_soft_bytes == MI


@pytest.mark.parametrize(("limit", "pids"), [(100, 100), (-1, None)])
def test_a_pod_has_the_nodes_limit_of_processes(limit: int, pids: int | None) -> None:
    values = CgroupValues(MACHINE, KubeletConfiguration(pod_pids_limit=limit))
    assert values.of_pod(a_kubelet_pod()).pids == pids


def test_a_container_is_pinned_and_has_a_limit_of_processes_by_annotation() -> None:
    pod = annotated(a_container(), **{
        "cpuset.podium.dev/main": "3,1-2", "pids.podium.dev/main": "40",
        "cpuset.podium.dev/other": "0",
    })  # fmt: skip
    found = VALUES.of_container(pod, pod["spec"]["containers"][0])
    assert (found.cpuset_cpus, found.pids) == ("1-3", 40)


def test_cpus_that_the_node_does_not_have_are_named() -> None:
    pod = annotated(a_container(), **{"cpuset.podium.dev/main": "2-9"})
    assert list(VALUES.cpuset_problems(pod)) == [
        "cpuset.podium.dev/main: CPUs 2-9 were asked for, and this node has 0-3"
    ]
    pod = annotated(a_container(), **{"cpuset.podium.dev/main": "0,3"})
    assert list(VALUES.cpuset_problems(pod)) == []


def test_the_pods_disk_limits_are_the_pods_and_its_containers_are_counted_in_it() -> None:
    pod = annotated(a_container(), **{"io.podium.dev/read-bps": "1Mi"})
    limits = (IoLimit(7, 1, read_bps=MI), IoLimit(8, 0, read_bps=MI))
    assert VALUES.of_pod(pod, DISKS).io == limits
    container = VALUES.of_container(pod, pod["spec"]["containers"][0], DISKS)
    assert (container.io, container.io_of_sandbox) == ((), True)


def test_a_containers_own_disk_limits_are_never_above_the_pods() -> None:
    pod = annotated(a_container(), **{
        "io.podium.dev/write-iops": "50", "write-iops.io.podium.dev/main": "90",
        "read-bps.io.podium.dev/main": "2Mi", "weight.io.podium.dev/main": "300",
    })  # fmt: skip
    found = VALUES.of_container(pod, pod["spec"]["containers"][0], [(8, 0)])
    assert found.io == (IoLimit(8, 0, read_bps=2 * MI, write_iops=50),)
    assert (found.io_weight, found.io_of_sandbox) == (300, False)


def test_huge_pages_are_what_is_asked_for_and_else_none_where_there_are_some() -> None:
    asking = with_resources(limits={"hugepages-2Mi": "4Mi", "memory": "1Mi"})
    pod = a_kubelet_pod(asking, a_container("other"))
    assert VALUES.of_container(pod, asking).hugepages == (("2MB", 4 * MI),)
    assert VALUES.of_container(pod, pod["spec"]["containers"][1]).hugepages == (("2MB", 0),)
    assert VALUES.of_pod(pod).hugepages == (("2MB", 4 * MI),)


SWAPPING = CgroupValues(MACHINE, KubeletConfiguration(memory_swap_behavior="LimitedSwap"))


@pytest.mark.parametrize(
    ("kinds", "swap"),
    [
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}, GI // 2),
        ({"requests": {"memory": "1Gi"}}, GI // 2),
        ({"requests": {"cpu": "1"}}, 0),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "1Gi"}}, 0),
        ({}, 0),
    ],
)
def test_burstable_containers_swap_as_much_of_the_swap_as_they_request_of_the_memory(
    kinds: Object, swap: int
) -> None:
    container = with_resources(**kinds)
    pod = a_kubelet_pod(container)
    assert SWAPPING.of_container(pod, container).swap_bytes == swap
    assert VALUES.of_container(pod, container).swap_bytes == 0
    pod["spec"]["priority"] = 2_000_000_000
    assert SWAPPING.of_container(pod, container).swap_bytes == 0


def test_a_pod_has_room_for_what_its_containers_may_swap() -> None:
    limited = with_resources(requests={"memory": "1Gi"}, limits={"memory": "2Gi"})
    assert SWAPPING.of_pod(a_kubelet_pod(limited, limited)).swap_bytes == GI
    assert SWAPPING.of_pod(a_kubelet_pod(limited, a_container("other"))).swap_bytes is None
