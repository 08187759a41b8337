"""Which Pods go, and what a ReplicaSet's status is; without a cluster."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from controllers import replicaset_plan as plan
from tests.support.builders import CREATED, a_pod, a_replicaset

NOW = datetime(2026, 11, 24, 2, 2, 3, tzinfo=UTC)
FRESH = "2026-11-24T02:02:01Z"

Pod = dict[str, Any]


def first_to_go(*pods: Pod, related: list[Pod] | None = None) -> str:
    related = list(pods) if related is None else related
    return str(plan.pods_to_delete(list(pods), 1, related, NOW)[0]["metadata"]["name"])


def restarted(pod: Pod, times: int) -> Pod:
    pod["status"]["containerStatuses"] = [{"name": "main", "restartCount": times}]
    return pod


def costing(pod: Pod, cost: str) -> Pod:
    pod["metadata"]["annotations"] = {plan.DELETION_COST: cost}
    return pod


RUNNING = {"node": "n", "ready": True}
IN_ORDER = {
    "unassigned before assigned": (a_pod("a"), a_pod("b", node="n")),
    "Pending before Unknown": (
        a_pod("a", node="n", phase="Pending"),
        a_pod("b", node="n", phase="Unknown"),
    ),
    "Unknown before Running": (
        a_pod("a", node="n", phase="Unknown"),
        a_pod("b", node="n", ready=False),
    ),
    "not ready before ready": (a_pod("a", node="n", ready=False), a_pod("b", **RUNNING)),
    "cheap before dear": (costing(a_pod("a", **RUNNING), "-5"), a_pod("b", **RUNNING)),
    "a cost that is no number is none": (
        costing(a_pod("a", **RUNNING), "-1"),
        costing(a_pod("b", **RUNNING), "-99999999999"),
    ),
    "ready since a moment before ready since long": (
        a_pod("a", node="n", ready=True, ready_since=FRESH),
        a_pod("b", node="n", ready=True, ready_since=CREATED),
    ),
    "restarted often before seldom": (
        restarted(a_pod("a", **RUNNING), 3),
        restarted(a_pod("b", **RUNNING), 1),
    ),
    "young before old": (
        a_pod("a", **RUNNING, meta={"creationTimestamp": FRESH}),
        a_pod("b", **RUNNING),
    ),
}


@pytest.mark.parametrize("pair", IN_ORDER.values(), ids=IN_ORDER.keys())
def test_pods_are_deleted_in_kubernetes_order(pair: tuple[Pod, Pod]) -> None:
    assert first_to_go(*pair) == "a"
    assert first_to_go(*reversed(pair)) == "a"


def test_a_pod_with_relatives_on_its_node_goes_first() -> None:
    alone, crowded = a_pod("alone", node="n1", ready=True), a_pod("crowded", node="n2", ready=True)
    relative = a_pod("other-7", node="n2", ready=True)
    assert first_to_go(alone, crowded, related=[alone, crowded, relative]) == "crowded"


def test_the_status_counts_what_pods_are() -> None:
    replicaset = a_replicaset(replicas=3)
    pods = [a_pod("a", ready=True), a_pod("b", ready=False), a_pod("c", labels={"app": "x"})]
    assert plan.next_status(replicaset, pods, None, NOW) == {
        "replicas": 3,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 1,
        "availableReplicas": 1,
        "observedGeneration": 1,
    }


def test_a_pod_is_available_only_after_min_ready_seconds() -> None:
    pod = a_pod(ready=True, ready_since=FRESH)
    assert plan.is_available(pod, 0, NOW)
    assert not plan.is_available(pod, 10, NOW)
    assert plan.seconds_until_available([pod], 10, NOW) == pytest.approx(8.001)
    assert plan.seconds_until_available([pod], 1, NOW) is None


def test_a_failure_is_shown_until_it_is_over() -> None:
    replicaset = a_replicaset()
    failed = plan.next_status(replicaset, [], ("FailedCreate", "quota exceeded"), NOW)
    condition = failed["conditions"][0]
    assert (condition["type"], condition["reason"]) == ("ReplicaFailure", "FailedCreate")
    replicaset["status"] = failed
    assert "conditions" not in plan.next_status(replicaset, [], None, NOW)


def test_a_change_that_a_replicaset_does_not_look_at_does_not_wake_it() -> None:
    pod = a_pod(ready=True)
    moved = a_pod(ready=True, node="n")
    moved["metadata"] |= {"labels": pod["metadata"]["labels"]}
    assert plan.what_matters(pod) == plan.what_matters(moved)
    assert plan.what_matters(pod) != plan.what_matters(a_pod(ready=False))
