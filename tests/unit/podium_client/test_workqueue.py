"""What a controller may rely on in its queue."""

from __future__ import annotations

import threading

import pytest

from podium.client.workqueue import WorkQueue
from tests.support.fake_clock import FakeClock
from tests.support.waiting import eventually


def test_a_key_added_often_is_handed_out_once() -> None:
    queue = WorkQueue()
    for _ in range(3):
        queue.add("a")
    queue.add("b")
    assert [queue.get(), queue.get()] == ["a", "b"]
    assert len(queue) == 0


def test_a_key_added_while_it_is_worked_on_comes_again_afterwards() -> None:
    queue = WorkQueue()
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert queue.get() == "a"


def test_a_delayed_key_comes_when_it_is_due_and_the_earliest_wish_counts() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add_after("a", 60)
    queue.add_after("a", 5)
    clock.step(4.9)
    assert len(queue) == 0
    clock.step(0.2)
    assert queue.get() == "a"
    queue.done("a")
    clock.step(60)
    assert len(queue) == 0


def test_a_retry_that_falls_due_while_its_key_waits_loses_no_later_retry() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    queue.add("a")
    assert queue.get() == "a"
    queue.add("a")
    queue.add_rate_limited("a")
    queue.done("a")
    clock.step(1)  # due, and wanted already
    assert queue.get() == "a"
    queue.add_rate_limited("a")
    queue.done("a")
    clock.step(1)
    assert len(queue) == 1


def test_whoever_waits_for_a_key_is_woken_when_one_is_due() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    got: list[str | None] = []
    thread = threading.Thread(target=lambda: got.append(queue.get()))
    thread.start()
    queue.add_after("a", 10)
    eventually(clock.is_waited_on)
    clock.step(10)
    thread.join(10)
    assert got == ["a"]


def test_failures_back_off_up_to_a_bound_and_are_forgotten_after_a_success() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock, last_retry_s=1.0)
    waited = []
    for _ in range(10):
        queue.add_rate_limited("a")
        before = clock.monotonic()
        while not len(queue):
            clock.step(0.005)
        waited.append(round(clock.monotonic() - before, 3))
        queue.done(queue.get() or "")
    assert waited[:4] == [0.005, 0.01, 0.02, 0.04]
    assert waited[-1] == pytest.approx(1.0, abs=0.01)
    queue.forget("a")
    assert queue.failures("a") == 0


def test_a_shut_queue_wakes_all_who_wait_and_takes_nothing() -> None:
    queue = WorkQueue()
    got: list[str | None] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get())) for _ in range(2)]
    for thread in threads:
        thread.start()
    queue.shut_down()
    for thread in threads:
        thread.join(10)
    queue.add("a")
    assert got == [None, None]
    assert len(queue) == 0


def test_wishes_that_no_longer_count_take_no_room() -> None:
    clock = FakeClock()
    queue = WorkQueue(clock)
    for _ in range(1000):
        queue.add_after("a", 600)
        queue.add("a")
        queue.done(queue.get() or "")
    assert len(queue._heap) < 100
