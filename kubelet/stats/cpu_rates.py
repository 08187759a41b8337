"""How many CPUs are in use: the difference of two readings of counters. Pure.

Room kubelet; used by sampler.py. Readings are kept from one question to the next, so that whoever
asks again and again gets an average over the time between. Nobody reads while nobody asks: who asks
first after a while waits for a second reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

KEPT_S = 60.0  # an older reading says nothing of now
APART_S = 5.0  # between readings that are kept
SHORTEST_S = 0.5  # over which an average is worth something


@dataclass(frozen=True)
class Reading:
    """CPU time used since the beginning, in nanoseconds, by cgroup (or whatever has a name)."""

    at: float
    used_ns: Mapping[str, int]


class CpuRates:
    """Readings of the last minute, the oldest first."""

    def __init__(self) -> None:
        self._kept: list[Reading] = []

    def base(self, now: float) -> Reading | None:
        """The reading to compare with: the newest that is APART_S old, else the oldest that is old
        enough at all; None means that one has to be taken."""
        old_enough = [r for r in self._kept if SHORTEST_S <= now - r.at <= KEPT_S]
        settled = [r for r in old_enough if now - r.at >= APART_S]
        return settled[-1] if settled else old_enough[0] if old_enough else None

    def keep(self, reading: Reading) -> None:
        self._kept = [r for r in self._kept if reading.at - r.at <= KEPT_S]
        if not self._kept or reading.at - self._kept[-1].at >= APART_S:
            self._kept.append(reading)


@dataclass(frozen=True)
class Rates:
    """Averages from one reading to a later one."""

    base: Reading
    now: Reading

    def nano_cores(self, name: str, started_at: float | None = None) -> int:
        """CPUs in use, in billionths; what is younger than `base` has begun at `started_at`."""
        used_ns, began = self.base.used_ns.get(name), self.base.at
        if used_ns is None:
            used_ns, began = 0, self.now.at if started_at is None else started_at
        elapsed_s = self.now.at - began
        used_ns = self.now.used_ns[name] - used_ns
        return max(0, int(used_ns / elapsed_s)) if elapsed_s > 0 else 0
