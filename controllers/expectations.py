"""Room controllers: writes that our cache has not seen yet.

A controller that creates three Pods and looks at its cache a moment later may still see none, and
would create three more. So it notes what it expects to see, and plans anew only when that has been
seen (or when it has waited so long that the news must have been lost).
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field

from podium.client.clock import Clock

FORGET_AFTER_S = 300.0


@dataclass(slots=True)
class Expected:
    """Of one owner: how many creations, and which deletions, are still to be seen."""

    since: float
    creations: int = 0
    deletions: set[str] = field(default_factory=set)


class Expectations:
    """By the owner's key. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._expected: dict[str, Expected] = {}

    def expect_creations(self, owner: str, count: int) -> None:
        """Call before creating."""
        with self._lock:
            self._expected[owner] = Expected(self._clock.monotonic(), creations=count)

    def expect_deletions(self, owner: str, keys: Iterable[str]) -> None:
        """Call before deleting."""
        with self._lock:
            self._expected[owner] = Expected(self._clock.monotonic(), deletions=set(keys))

    def creations_observed(self, owner: str, count: int = 1) -> None:
        """Seen in the cache, or known not to come."""
        with self._lock:
            if expected := self._expected.get(owner):
                expected.creations -= count

    def deletion_observed(self, owner: str, key: str) -> None:
        """Seen in the cache, or known not to come. Safe to repeat."""
        with self._lock:
            if expected := self._expected.get(owner):
                expected.deletions.discard(key)

    def are_met(self, owner: str) -> bool:
        """Whether the cache shows everything that this owner's controller has done."""
        with self._lock:
            expected = self._expected.get(owner)
            if expected is None or (expected.creations <= 0 and not expected.deletions):
                return True
            return self._clock.monotonic() - expected.since > FORGET_AFTER_S

    def forget(self, owner: str) -> None:
        """The owner is gone."""
        with self._lock:
            self._expected.pop(owner, None)
