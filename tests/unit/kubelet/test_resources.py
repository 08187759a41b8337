"""Requests and limits as cgroup values, QoS classes, places in the cgroup tree."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import resources
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]


def with_resources(name: str = "main", **kinds: dict[str, str]) -> Object:
    return a_container(name, resources=kinds)


def test_requests_become_shares_and_limits_become_a_quota() -> None:
    container = with_resources(requests={"cpu": "250m"}, limits={"cpu": "500m", "memory": "64Mi"})
    found = resources.container_resources(container)
    assert (found.cpu_shares, found.cpu_quota_us) == (256, 50_000)
    assert found.memory_bytes == 64 * 1024 * 1024


def test_a_container_that_asks_for_nothing_gets_the_least_shares_and_no_limit() -> None:
    found = resources.container_resources(a_container())
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_bytes) == (2, None, None)


def test_a_limit_without_a_request_counts_as_the_request() -> None:
    assert resources.container_resources(with_resources(limits={"cpu": "1"})).cpu_shares == 1024


def test_a_tiny_limit_becomes_the_smallest_quota_that_the_kernel_takes() -> None:
    assert resources.container_resources(with_resources(limits={"cpu": "1m"})).cpu_quota_us == 1000


def test_one_container_without_a_limit_leaves_the_pod_without_one() -> None:
    limited = with_resources(limits={"cpu": "1", "memory": "1Mi"})
    whole = resources.pod_resources(a_kubelet_pod(limited, limited), -1)
    assert (whole.cpu_quota_us, whole.memory_bytes) == (200_000, 2 * 1024 * 1024)
    half = resources.pod_resources(a_kubelet_pod(limited, a_container("other")), -1)
    assert (half.cpu_quota_us, half.memory_bytes) == (None, None)


def test_a_pod_needs_what_its_hungriest_init_container_needs_alone() -> None:
    main = with_resources(requests={"cpu": "100m"})
    hungry = with_resources("init", requests={"cpu": "1"})
    assert resources.pod_request(a_kubelet_pod(main, main, inits=(hungry,)), "cpu") == 1000
    assert resources.pod_request(a_kubelet_pod(main, main), "cpu") == 200


def test_a_pod_has_the_nodes_limit_of_processes() -> None:
    assert resources.pod_resources(a_kubelet_pod(), 100).pids == 100
    assert resources.pod_resources(a_kubelet_pod(), -1).pids is None


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "0"}}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1"}}, "Burstable"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
        ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}, "Burstable"),
    ],
)
def test_the_qos_class_follows_requests_and_limits(kinds: Object, expected: str) -> None:
    assert resources.qos_class(a_kubelet_pod(with_resources(**kinds))) == expected


def test_guaranteed_pods_stand_directly_below_kubepods() -> None:
    best_effort = a_kubelet_pod()
    guaranteed = a_kubelet_pod(with_resources(limits={"cpu": "1", "memory": "1Gi"}))
    uid = guaranteed["metadata"]["uid"]
    assert resources.cgroup_parent(guaranteed) == f"kubepods/pod{uid}"
    assert resources.cgroup_parent(best_effort).startswith("kubepods/besteffort/pod")


def test_who_asked_for_more_memory_is_killed_later() -> None:
    modest = with_resources(requests={"memory": "100Mi"})
    large = with_resources(requests={"memory": "500Mi"})
    node_bytes = 1000 * 1024 * 1024
    scores = [resources.oom_score_adj(a_kubelet_pod(c), c, node_bytes) for c in (modest, large)]
    assert scores == [900, 500]
    assert resources.oom_score_adj(a_kubelet_pod(), a_container(), node_bytes) == 1000


def test_sidecars_count_beside_all_that_starts_after_them() -> None:
    side = with_resources(requests={"cpu": "100m"}) | {"name": "side", "restartPolicy": "Always"}
    early, late = (
        with_resources(requests={"cpu": "500m"}) | {"name": "i"},
        with_resources(requests={"cpu": "450m"}) | {"name": "j"},
    )
    pod = a_kubelet_pod(with_resources(requests={"cpu": "300m"}), inits=(early, side, late))
    assert resources.pod_request(pod, "cpu") == 550
    assert (
        resources.pod_request(
            a_kubelet_pod(with_resources(requests={"cpu": "1"}), inits=(early, side)), "cpu"
        )
        == 1100
    )


def test_a_sidecar_is_not_killed_before_those_whom_it_serves() -> None:
    side = with_resources(requests={"memory": "10Mi"}) | {"name": "side", "restartPolicy": "Always"}
    pod = a_kubelet_pod(with_resources(requests={"memory": "500Mi"}), inits=(side,))
    scores = [
        resources.oom_score_adj(pod, c, 1000 << 20) for c in (side, pod["spec"]["containers"][0])
    ]
    assert scores == [500, 500]
