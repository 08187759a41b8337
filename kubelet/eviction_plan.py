"""When a node is short of something, for how long, and which Pod goes first. Pure.

Room kubelet; called by eviction.py.
Source: Kubernetes docs "Node-pressure Eviction"; kubelet `pkg/kubelet/eviction/helpers.go`, v1.32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kubelet import thresholds
from kubelet.thresholds import CONDITION_OF, Threshold
from podium.api import quantity

RESOURCE_OF = {
    thresholds.MEMORY: "memory",
    thresholds.DISK: "ephemeral-storage",
    thresholds.IMAGE_DISK: "ephemeral-storage",
    thresholds.INODES: "inodes",
    thresholds.IMAGE_INODES: "inodes",
    thresholds.PIDS: "pids",
}
# Memory first: running out of it hurts at once.
_ORDER = (thresholds.MEMORY, *(s for s in thresholds.SIGNALS if s != thresholds.MEMORY))


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of a signal, and what there is."""

    available: int
    capacity: int


Observations = Mapping[str, Left]


@dataclass(frozen=True, slots=True)
class Need:
    """What one container or Pod uses of a resource and what it has asked for."""

    used: int = 0
    requested: int = 0

    @property
    def is_over(self) -> bool:
        return self.used > self.requested


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Pod that could be evicted; `needs` by resource, `containers` the same by name."""

    uid: str
    priority: int
    needs: Mapping[str, Need]
    containers: Mapping[str, Mapping[str, Need]]


@dataclass
class Pressure:
    """Which thresholds are met and since when. Times are monotonic seconds."""

    thresholds: Sequence[Threshold]
    transition_s: float
    _met_since: dict[Threshold, float] = field(default_factory=dict)
    _condition_seen: dict[str, float] = field(default_factory=dict)

    def update(self, observed: Observations, now: float) -> list[Threshold]:
        """Those that must be acted on now, the most urgent first."""
        met = [one for one in self.thresholds if _is_met(one, observed, one in self._met_since)]
        self._met_since = {one: self._met_since.get(one, now) for one in met}
        for one in met:
            self._condition_seen[CONDITION_OF[one.signal]] = now
        due = [one for one in met if now - self._met_since[one] >= (one.grace_s or 0)]
        return sorted(due, key=lambda one: _ORDER.index(one.signal))

    def conditions(self, now: float) -> frozenset[str]:
        """Those that hold: one that has gone is shown for `transition_s` more, so that a node that
        goes up and down around a threshold does not show each turn."""
        current = {CONDITION_OF[one.signal] for one in self._met_since}
        return frozenset(
            condition
            for condition, seen in self._condition_seen.items()
            if condition in current or now - seen < self.transition_s
        )


def _is_met(threshold: Threshold, observed: Observations, was_met: bool) -> bool:
    left = observed.get(threshold.signal)
    if left is None:
        return False
    wanted = threshold.value.of(left.capacity)
    if was_met:
        wanted += threshold.minimum_reclaim.of(left.capacity)
    return left.available < wanted


def rank(signal: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Who goes first: those that use more than they asked for, then the less important, then those
    that use most beyond it. Processes are nothing one asks for."""
    resource = RESOURCE_OF[signal]

    def key(pod: Candidate) -> tuple[bool, int, int]:
        need = pod.needs.get(resource, Need())
        is_within = resource != "pids" and not need.is_over
        return is_within, pod.priority, need.requested - need.used

    return sorted(candidates, key=key)


# ---- words --------------------------------------------------------------------------------------


def eviction_message(threshold: Threshold, left: Left, pod: Candidate) -> str:
    """Kubernetes' own, with its space at the end."""
    resource = RESOURCE_OF[threshold.signal]
    wanted = threshold.value.of(left.capacity)
    message = (
        f"The node was low on resource: {resource}. Threshold quantity: "
        f"{shown(threshold.signal, wanted)}, available: {shown(threshold.signal, left.available)}. "
    )
    for name, needs in pod.containers.items():
        need = needs.get(resource, Need())
        if need.is_over:
            used, asked = (shown(threshold.signal, n) for n in (need.used, need.requested))
            message += (
                f"Container {name} was using {used}, request is {asked}, has larger consumption "
                f"of {resource}. "
            )
    return message


def shown(signal: str, amount: int) -> str:
    """Bytes with a binary suffix; inodes and processes are plain numbers."""
    if RESOURCE_OF[signal] in ("inodes", "pids"):
        return quantity.canonical(str(amount))
    return binary(amount)


def binary(amount: int) -> str:
    """1048576 → "1Mi", 1500 → "1500"."""
    return str(amount) if amount % 1024 else quantity.canonical(f"{amount // 1024}Ki")


def over_empty_dir(volume: str, limit: str) -> str:
    return f'Usage of EmptyDir volume "{volume}" exceeds the limit "{limit}". '


def over_pod_limit(limit: str) -> str:
    return f"Pod ephemeral local storage usage exceeds the total limit of containers {limit}. "


def over_container_limit(container: str, limit: str) -> str:
    return f'Container {container} exceeded its local ephemeral storage limit "{limit}". '
