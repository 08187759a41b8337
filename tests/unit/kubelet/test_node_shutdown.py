"""A machine that goes down: whose Pods end when, and what is said of them."""

from __future__ import annotations

import threading
from typing import Any

from kubelet.configuration import KubeletConfiguration, ShutdownStep
from kubelet.early_end import EarlyEnd
from kubelet.node_shutdown import NodeShutdown, grouped, steps_of
from tests.unit.kubelet.containers import a_kubelet_pod

Object = dict[str, Any]

SETTINGS = KubeletConfiguration(shutdown_grace_s=30, shutdown_grace_critical_s=10)


def of_priority(priority: int, **spec: Any) -> Object:
    return a_kubelet_pod(priority=priority, **spec)


def test_critical_pods_have_the_last_part_of_the_grace_period() -> None:
    assert steps_of(SETTINGS) == (ShutdownStep(0, 20), ShutdownStep(2_000_000_000, 10))
    assert steps_of(KubeletConfiguration()) == ()


def test_each_pod_belongs_to_the_highest_step_that_it_reaches() -> None:
    steps = (ShutdownStep(0, 1), ShutdownStep(1000, 2))
    pods = [of_priority(n) for n in (-5, 0, 999, 1000, 5000)]
    found = [[pod["spec"]["priority"] for pod in pods] for _, pods in grouped(steps, pods)]
    assert found == [[-5, 0, 999], [1000, 5000]]


def test_pods_end_by_priority_each_with_no_more_than_its_own_grace() -> None:
    pods = [of_priority(2_000_000_000), of_priority(0, terminationGracePeriodSeconds=2)]
    ended: list[tuple[int, float | None]] = []
    by_uid = {pod["metadata"]["uid"]: pod for pod in pods}

    def end(uid: str, how: EarlyEnd) -> None:
        assert how.reason == "Terminated"
        assert how.message == "Pod was terminated in response to imminent node shutdown."
        ended.append((by_uid[uid]["spec"]["priority"], how.grace_s))

    node = NodeShutdown(
        SETTINGS, pods=lambda: pods, end=end, is_over=lambda uid: True, changed=lambda: None
    )
    node.begin()
    assert ended == [(0, 2.0), (2_000_000_000, 10.0)]


def test_a_node_that_is_shutting_down_says_so_and_takes_no_more() -> None:
    told = threading.Event()
    node = NodeShutdown(
        SETTINGS, pods=list, end=lambda *_: None, is_over=lambda _: True, changed=told.set
    )
    assert node.rejection(a_kubelet_pod()) is None
    node.begin()
    assert told.is_set()
    assert node.why_not_ready() == "node is shutting down"
    rejection = node.rejection(a_kubelet_pod())
    assert rejection is not None
    assert rejection.reason == "NodeShutdown"
    assert rejection.message == "Pod was rejected as the node is shutting down."
    node.cancel()
    assert node.rejection(a_kubelet_pod()) is None


def test_nothing_happens_where_no_grace_is_asked_for() -> None:
    node = NodeShutdown(
        KubeletConfiguration(), pods=lambda: [a_kubelet_pod()], end=lambda *_: None,
        is_over=lambda _: False, changed=lambda: None,
    )  # fmt: skip
    node.begin()
    assert not node.is_on
