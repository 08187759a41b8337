"""In which order Pods are decided on, and what brings them back."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.scheduler.pod_info import PodInfo
from controllers.scheduler.queue import LAST_BACK_OFF_S, SchedulingQueue, Stage
from tests.support.builders import a_pod


def waiting(name: str, priority: int = 0, **more: Any) -> PodInfo:
    return PodInfo.of(a_pod(name, priority=priority, **more))


def drain(queue: SchedulingQueue, now: float = 0.0) -> list[str]:
    found = []
    while (pod := queue.pop(now)) is not None:
        found.append(pod.key.removeprefix("default/"))
    return found


def test_higher_priority_first_then_who_came_first() -> None:
    queue = SchedulingQueue()
    for pod in (waiting("a"), waiting("b", 5), waiting("c"), waiting("d", 5)):
        queue.add(pod)
    assert drain(queue) == ["b", "d", "a", "c"]


@given(st.lists(st.integers(-3, 3), max_size=20))
def test_the_order_is_that_of_a_stable_sort(priorities: list[int]) -> None:
    queue = SchedulingQueue()
    for number, priority in enumerate(priorities):
        queue.add(waiting(str(number), priority))
    expected = sorted(range(len(priorities)), key=lambda n: -priorities[n])
    assert drain(queue) == [str(number) for number in expected]


def test_a_parked_pod_stays_until_it_is_woken_and_keeps_its_turn() -> None:
    queue = SchedulingQueue()
    queue.add(waiting("old"))
    assert drain(queue) == ["old"]
    queue.park("default/old")
    queue.add(waiting("new"))
    assert queue.wake() == 1
    assert drain(queue) == ["old", "new"]


def test_only_those_that_may_fit_are_woken() -> None:
    queue = SchedulingQueue()
    for name in ("a", "b"):
        queue.add(waiting(name))
        queue.pop(0)
        queue.park(f"default/{name}")
    assert queue.wake(lambda pod: pod.key == "default/b") == 1
    assert drain(queue) == ["b"]


def test_a_pod_that_backs_off_comes_back_later_each_time() -> None:
    queue, now = SchedulingQueue(), 0.0
    queue.add(waiting("a"))
    waits = []
    for _ in range(12):
        assert drain(queue, now) == ["a"]
        queue.back_off("default/a", now)
        due = queue.next_due()
        assert due is not None
        assert drain(queue, due - 0.01) == []
        waits.append(round(due - now, 3))
        now = due
    assert waits[:4] == [0.05, 0.1, 0.2, 0.4]
    assert waits[-1] == LAST_BACK_OFF_S


def test_a_pod_that_is_decided_on_or_gone_is_not_handed_out() -> None:
    queue = SchedulingQueue()
    queue.add(waiting("a"))
    queue.add(waiting("b"))
    queue.remove("default/b")
    assert drain(queue) == ["a"]
    assert queue.stage("default/a") is Stage.DECIDED
    assert drain(queue) == []
    assert queue.wake() == 0


def test_a_pod_added_twice_is_handed_out_once() -> None:
    queue = SchedulingQueue()
    pod = waiting("a")
    queue.add(pod)
    queue.add(pod)
    assert drain(queue) == ["a"]


def test_a_priority_that_has_changed_counts() -> None:
    queue = SchedulingQueue()
    low, other = waiting("a"), waiting("b", 1)
    queue.add(low)
    queue.add(other)
    raised = a_pod("a", priority=2, meta={"uid": low.uid})
    queue.add(PodInfo.of(raised))
    assert drain(queue) == ["a", "b"]


def test_a_new_pod_of_the_same_name_starts_at_the_end() -> None:
    queue = SchedulingQueue()
    queue.add(waiting("a"))
    queue.add(waiting("b"))
    queue.add(waiting("a"))
    assert drain(queue) == ["b", "a"]
