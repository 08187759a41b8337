"""The loop: retries what fails, forgets what works, comes back when asked to."""

from __future__ import annotations

import threading

import pytest

from podium.client.errors import Unreachable
from podium.client.reconcile_loop import ReconcileLoop
from tests.support.fake_clock import FakeClock
from tests.support.waiting import eventually


def test_a_key_that_fails_is_tried_again_until_it_works(caplog: pytest.LogCaptureFixture) -> None:
    outcomes: list[Exception] = [ValueError("no"), Unreachable("no")]
    done = threading.Event()

    def reconcile(key: str) -> None:
        if outcomes:
            raise outcomes.pop(0)
        done.set()

    loop = ReconcileLoop("test", reconcile)
    loop.add("a")
    loop.start()
    assert done.wait(10)
    eventually(lambda: (loop.reconciled, loop.failed) == (1, 2))
    loop.stop()
    assert loop.queue.failures("a") == 0
    assert "reconcile failed" in caplog.text


def test_a_key_comes_back_after_the_seconds_that_reconcile_returns() -> None:
    clock = FakeClock()
    seen: list[float] = []

    def reconcile(key: str) -> float:
        seen.append(clock.monotonic())
        return 30.0

    loop = ReconcileLoop("test", reconcile, clock=clock)
    loop.add("a")
    loop.start()
    eventually(lambda: loop.reconciled == 1 and clock.is_waited_on())
    clock.step(29)
    clock.step(1)
    eventually(lambda: loop.reconciled == 2)
    loop.stop()
    assert seen[1] - seen[0] == 30.0


def test_one_key_is_never_reconciled_twice_at_the_same_time() -> None:
    busy, most = threading.Semaphore(1), threading.Event()
    rounds = threading.Semaphore(0)

    def reconcile(key: str) -> None:
        if not busy.acquire(blocking=False):
            most.set()
            return
        rounds.release()
        busy.release()

    loop = ReconcileLoop("test", reconcile, workers=4)
    loop.start()
    for _ in range(50):
        loop.add("a")
        assert rounds.acquire(timeout=10)
    loop.stop()
    assert not most.is_set()


def test_stop_ends_the_threads_even_if_they_never_started() -> None:
    loop = ReconcileLoop("never", lambda _: None)
    loop.stop()
    loop = ReconcileLoop("idle", lambda _: None, workers=3)
    loop.start()
    loop.stop()
    assert not [t for t in threading.enumerate() if t.name.startswith("idle")]


def test_while_a_worker_waits_another_takes_its_place_and_then_goes() -> None:
    may_go_on, seen = threading.Event(), list[str]()

    def reconcile(key: str) -> None:
        if key == "held":
            with loop.relieved():
                may_go_on.wait(10)
        seen.append(key)

    loop = ReconcileLoop("relief", reconcile, workers=1)
    loop.start()
    for key in ("held", "a", "b"):
        loop.add(key)
    eventually(lambda: seen == ["a", "b"])
    may_go_on.set()
    eventually(lambda: seen[-1] == "held")
    for number in range(3):
        loop.add(f"later-{number}")
    eventually(lambda: len(seen) == 6)
    eventually(lambda: sum(t.name.startswith("relief-") for t in threading.enumerate()) == 1)
    loop.stop()
