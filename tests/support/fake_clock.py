"""Time that stands still until a test steps it. A `podium.client.clock.Clock`."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from tests.support.waiting import PATIENCE

START = datetime(2026, 11, 24, 1, 2, 3, tzinfo=UTC)
BOUND_S = 10.0 * PATIENCE  # real seconds that a waiter waits at most for a step


class FakeClock:
    """`step(5)` makes it five seconds later and wakes whoever waits on it."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 1000.0
        self._waiting: list[threading.Condition] = []
        self._lock = threading.Lock()

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def wait(self, condition: threading.Condition, timeout_s: float | None) -> None:
        with self._lock:
            self._waiting.append(condition)
        try:
            condition.wait(BOUND_S)
        finally:
            with self._lock:
                self._waiting.remove(condition)

    def is_waited_on(self) -> bool:
        """Whether a thread waits for a step."""
        with self._lock:
            return bool(self._waiting)

    def step(self, seconds: float) -> None:
        """Let time pass."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds
        with self._lock:
            waiting = list(self._waiting)
        for condition in waiting:
            with condition:
                condition.notify_all()
