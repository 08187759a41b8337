"""What Pods request, QoS classes, places in the cgroup tree, who is killed first."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import resources
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]


def with_resources(name: str = "main", **kinds: dict[str, str]) -> Object:
    return a_container(name, resources=kinds)


def test_a_pod_needs_what_its_hungriest_init_container_needs_alone() -> None:
    main = with_resources(requests={"cpu": "100m"})
    hungry = with_resources("init", requests={"cpu": "1"})
    assert resources.pod_request(a_kubelet_pod(main, main, inits=(hungry,)), "cpu") == 1000
    assert resources.pod_request(a_kubelet_pod(main, main), "cpu") == 200


def test_sidecars_count_beside_the_containers_and_beside_later_init_containers() -> None:
    sidecar = with_resources("proxy", requests={"cpu": "200m"}) | {"restartPolicy": "Always"}
    init = with_resources("init", requests={"cpu": "500m"})
    main = with_resources(requests={"cpu": "100m"})
    after = a_kubelet_pod(main, inits=(sidecar, init))
    before = a_kubelet_pod(main, inits=(init, sidecar))
    assert resources.pod_request(after, "cpu") == 700
    assert resources.pod_request(before, "cpu") == 500


def test_a_request_of_nothing_is_not_replaced_by_the_limit() -> None:
    container = with_resources(requests={"cpu": "0"}, limits={"cpu": "1"})
    assert resources.request(container, "cpu") == 0


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


def test_a_sidecar_is_not_killed_before_those_that_it_serves() -> None:
    sidecar = with_resources("proxy", requests={"memory": "1Mi"}) | {"restartPolicy": "Always"}
    main = with_resources(requests={"memory": "512Mi"})
    pod = a_kubelet_pod(main, inits=(sidecar,))
    assert resources.oom_score_adj(pod, sidecar, 1 << 30) == 500
    plain_init = with_resources("init", requests={"memory": "1Mi"})
    assert resources.oom_score_adj(pod, plain_init, 1 << 30) == 999


def test_a_node_critical_pod_is_among_the_last_to_be_killed_whatever_it_requests() -> None:
    pod = a_kubelet_pod()
    pod["spec"] |= {"priority": 2_000_001_000, "priorityClassName": "system-node-critical"}
    assert resources.oom_score_adj(pod, pod["spec"]["containers"][0], 1 << 30) == -997
    pod["spec"]["priorityClassName"] = "system-cluster-critical"
    assert resources.oom_score_adj(pod, pod["spec"]["containers"][0], 1 << 30) == 1000
