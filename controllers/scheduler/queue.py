"""Room controllers/scheduler: the Pods that have no node, and in which order they get one.

    add ──► active ──pop──► decided ──(seen bound)──► remove
              ▲                │
              │                ├─ no node would do ──► park ──(wake: the world has changed)─┐
              │                └─ binding failed ───► back_off ──(a while later)───────────┤
              └────────────────────────────────────────────────────────────────────────────┘

Higher priority first, then who came first; a Pod keeps its turn however often it is tried. Parked
Pods are woken by what could help them and never by the clock. Pure; not thread-safe.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from controllers.scheduler.pod_info import PodInfo

FIRST_BACK_OFF_S, LAST_BACK_OFF_S = 0.05, 10.0


class Stage(Enum):
    """Where a Pod stands; see the drawing above."""

    ACTIVE = "active"
    DECIDED = "decided"
    PARKED = "parked"
    BACKING_OFF = "backing off"


@dataclass(slots=True)
class Waiting:
    """A Pod in the queue."""

    pod: PodInfo
    turn: int
    stage: Stage = Stage.ACTIVE
    failures: int = 0
    due: float = field(default=0.0)  # monotonic; of one that backs off

    @property
    def rank(self) -> tuple[int, int]:
        return -self.pod.priority, self.turn


class SchedulingQueue:
    """Keys are unique; times are those of a monotonic clock."""

    def __init__(self) -> None:
        self._waiting: dict[str, Waiting] = {}
        self._heap: list[tuple[tuple[int, int], str]] = []  # counts if the entry is ACTIVE
        self._turns = itertools.count()
        self._backing_off: set[str] = set()  # keys that may be BACKING_OFF

    def __len__(self) -> int:
        """Those that wait for a decision now."""
        return sum(one.stage is Stage.ACTIVE for one in self._waiting.values())

    def get(self, key: str) -> PodInfo | None:
        found = self._waiting.get(key)
        return found.pod if found else None

    def stage(self, key: str) -> Stage | None:
        found = self._waiting.get(key)
        return found.stage if found else None

    def add(self, pod: PodInfo) -> None:
        """Have the Pod decided on; it keeps its turn if it has one."""
        found = self._waiting.get(pod.key)
        if found is None or found.pod.uid != pod.uid:
            found = self._waiting[pod.key] = Waiting(pod, next(self._turns))
        found.pod = pod
        self._activate(found)

    def refresh(self, pod: PodInfo) -> None:
        """The Pod has changed in a way that does not matter here; keep the newer object."""
        if pod.key in self._waiting:
            self._waiting[pod.key].pod = pod

    def remove(self, key: str) -> None:
        """It has a node, or is gone. Safe to repeat."""
        self._waiting.pop(key, None)

    def pop(self, now: float) -> PodInfo | None:
        """The next Pod to decide on, None if none waits; then call one of those below."""
        self._collect_due(now)
        while self._heap:
            rank, key = heapq.heappop(self._heap)
            found = self._waiting.get(key)
            if found is not None and found.stage is Stage.ACTIVE and found.rank == rank:
                found.stage = Stage.DECIDED
                return found.pod
        return None

    def park(self, key: str) -> None:
        """No node would do: wait for the world to change."""
        if key in self._waiting:
            self._waiting[key].stage = Stage.PARKED

    def back_off(self, key: str, now: float) -> None:
        """Something went wrong: try again in 50 ms, 100, 200, … up to 10 s."""
        found = self._waiting.get(key)
        if found is None:
            return
        delay_s = min(FIRST_BACK_OFF_S * 2 ** min(found.failures, 20), LAST_BACK_OFF_S)
        found.failures += 1
        found.stage, found.due = Stage.BACKING_OFF, now + delay_s
        self._backing_off.add(key)

    def wake(self, may_fit: Callable[[PodInfo], bool] | None = None) -> int:
        """Make parked Pods active, those for which `may_fit` holds; how many."""
        woken = 0
        for found in list(self._waiting.values()):
            if found.stage is Stage.PARKED and (may_fit is None or may_fit(found.pod)):
                self._activate(found)
                woken += 1
        return woken

    def next_due(self) -> float | None:
        """When the next Pod that backs off is to be tried; None if none does."""
        return min((found.due for found in self._those_backing_off()), default=None)

    def _activate(self, found: Waiting) -> None:
        found.stage = Stage.ACTIVE
        heapq.heappush(self._heap, (found.rank, found.pod.key))

    def _collect_due(self, now: float) -> None:
        for found in self._those_backing_off():
            if found.due <= now:
                self._activate(found)

    def _those_backing_off(self) -> list[Waiting]:
        found = {key: self._waiting.get(key) for key in self._backing_off}
        still = {k: one for k, one in found.items() if one and one.stage is Stage.BACKING_OFF}
        self._backing_off.intersection_update(still)
        return list(still.values())
