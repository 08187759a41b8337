"""When a node is short of something, which Pod goes first, and what is said of it."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import thresholds
from kubelet.eviction_plan import Candidate, Left, Need, Pressure, eviction_message, rank
from kubelet.thresholds import Amount, Threshold

MI = 1 << 20
HARD = Threshold(thresholds.MEMORY, Amount(number=100 * MI))
SOFT = Threshold(thresholds.MEMORY, Amount(number=200 * MI), grace_s=30)


def memory(available_mi: int) -> dict[str, Left]:
    return {thresholds.MEMORY: Left(available_mi * MI, 1000 * MI)}


def a_candidate(uid: str, used: int, asked: int = 0, priority: int = 0, **other: Any) -> Candidate:
    needs = {"memory": Need(used * MI, asked * MI)}
    return Candidate(uid, priority, needs, other.get("containers", {}))


def test_a_hard_threshold_is_due_at_once_and_the_condition_shows() -> None:
    pressure = Pressure([HARD], transition_s=300)
    assert pressure.update(memory(150), 0) == []
    assert pressure.conditions(0) == frozenset()
    assert pressure.update(memory(99), 1) == [HARD]
    assert pressure.conditions(1) == {"MemoryPressure"}


def test_a_soft_threshold_is_due_after_its_grace_period_without_a_break() -> None:
    pressure = Pressure([SOFT], transition_s=300)
    assert pressure.update(memory(150), 0) == []
    assert pressure.conditions(0) == {"MemoryPressure"}
    pressure.update(memory(250), 20)
    assert pressure.update(memory(150), 25) == []
    assert pressure.update(memory(150), 40) == []
    assert pressure.update(memory(150), 55) == [SOFT]


def test_a_condition_is_shown_for_the_transition_period_more() -> None:
    pressure = Pressure([HARD], transition_s=300)
    pressure.update(memory(50), 0)
    pressure.update(memory(500), 10)
    assert pressure.conditions(299) == {"MemoryPressure"}
    assert pressure.conditions(301) == frozenset()


def test_reclaim_goes_on_until_the_minimum_beyond_the_threshold_is_free() -> None:
    generous = Threshold(thresholds.MEMORY, Amount(number=100 * MI), None, Amount(number=50 * MI))
    pressure = Pressure([generous], transition_s=0)
    assert pressure.update(memory(120), 0) == []
    assert pressure.update(memory(90), 1) == [generous]
    assert pressure.update(memory(120), 2) == [generous]
    assert pressure.update(memory(160), 3) == []


def test_memory_is_more_urgent_than_disk() -> None:
    disk = Threshold(thresholds.DISK, Amount(share=0.1))
    pressure = Pressure([disk, HARD], transition_s=0)
    observed = memory(50) | {thresholds.DISK: Left(5, 100)}
    assert pressure.update(observed, 0) == [HARD, disk]
    assert pressure.conditions(0) == {"MemoryPressure", "DiskPressure"}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (a_candidate("over", 20, asked=10), a_candidate("within", 500, asked=600)),
        (a_candidate("low", 20, priority=-5), a_candidate("high", 500, priority=5)),
        (a_candidate("much", 500, asked=100), a_candidate("little", 350, asked=10)),
        (a_candidate("high but over", 20, priority=9), a_candidate("within", 9, asked=9)),
    ],
)
def test_pods_go_in_kubernetes_order(first: Candidate, second: Candidate) -> None:
    ranked = rank(thresholds.MEMORY, [second, first])
    assert [one.uid for one in ranked] == [first.uid, second.uid]


def test_the_message_is_kubernetes_own() -> None:
    containers = {"main": {"memory": Need(30 * MI, 0)}, "small": {"memory": Need(1 * MI, 5 * MI)}}
    pod = a_candidate("x", 31, containers=containers)
    assert eviction_message(HARD, Left(99 * MI + 1024, 1000 * MI), pod) == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 101377Ki. "
        "Container main was using 30Mi, request is 0, has larger consumption of memory. "
    )


def test_shares_are_shown_as_what_they_amount_to() -> None:
    few = Threshold(thresholds.INODES, Amount(share=0.05))
    said = eviction_message(few, Left(3, 1000), a_candidate("x", 0))
    assert said == ("The node was low on resource: inodes. Threshold quantity: 50, available: 3. ")
