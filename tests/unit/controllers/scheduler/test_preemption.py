"""Who has to go for a Pod of higher priority."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.scheduler.filters import first_rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from controllers.scheduler.preemption import Preemption, least_harmful, victims_on
from tests.support.builders import a_node, a_pod


def info(name: str, cpu: str, priority: int = 0, started: str = "", **more: Any) -> PodInfo:
    pod = a_pod(name, cpu=cpu, priority=priority, **more)
    if started:
        pod["status"]["startTime"] = started
    return PodInfo.of(pod)


def names(preemption: Preemption | None) -> list[str] | None:
    if preemption is None:
        return None
    return sorted(one.key.removeprefix("default/") for one in preemption.victims)


def test_no_more_pods_go_than_must() -> None:
    node = NodeInfo.of(a_node(cpu="4"), [info("a", "1"), info("b", "1"), info("c", "2", 5)])
    assert names(victims_on(info("new", "1", 10), node)) in (["a"], ["b"])


def test_of_equals_the_one_that_started_last_goes() -> None:
    old = info("old", "2", started="2026-01-01T00:00:00Z")
    young = info("young", "2", started="2026-01-02T00:00:00Z")
    node = NodeInfo.of(a_node(cpu="4"), [old, young])
    assert names(victims_on(info("new", "2", 10), node)) == ["young"]


def test_pods_of_the_same_or_a_higher_priority_stay() -> None:
    node = NodeInfo.of(a_node(cpu="4"), [info("a", "2", 10), info("b", "2", 11)])
    assert victims_on(info("new", "1", 10), node) is None


def test_nobody_goes_in_vain() -> None:
    node = NodeInfo.of(a_node(cpu="4"), [info("a", "1"), info("b", "3", 20)])
    assert victims_on(info("new", "2", 10), node) is None


def test_the_node_whose_victims_matter_least_is_taken() -> None:
    few = Preemption("a", (info("x", "1", 5),))
    many = Preemption("b", (info("y", "1", 1), info("z", "1", 1)))
    assert least_harmful([few, many]) is many
    assert least_harmful([]) is None


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5)), max_size=8),
    st.integers(1, 30),
    st.integers(0, 6),
)
def test_the_pod_fits_when_they_are_gone_and_not_before(
    there: list[tuple[int, int]], wanted: int, priority: int
) -> None:
    node = NodeInfo.of(a_node(cpu="3"))
    for number, (tenths, rank) in enumerate(there):
        pod = info(f"p{number}", f"{tenths * 100}m", rank)
        if first_rejection(pod, node) is None:
            node.add(pod)
    new = info("new", f"{wanted * 100}m", priority)
    if first_rejection(new, node) is None:
        return
    found = victims_on(new, node)
    if found is None:
        return
    assert all(victim.priority < priority for victim in found.victims)
    assert first_rejection(new, node.without(v.uid for v in found.victims)) is None
    for spared in found.victims:
        rest = [v.uid for v in found.victims if v is not spared]
        assert first_rejection(new, node.without(rest)) is not None
