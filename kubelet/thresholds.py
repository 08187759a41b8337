"""When a node counts as short of something: "memory.available<100Mi", parsed. Pure.

Room kubelet; read by configuration.py, node_status.py and eviction_plan.py.
Source: Kubernetes docs "Node-pressure Eviction"; kubelet `pkg/kubelet/eviction/{api,helpers.go}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from podium.api import quantity

MEMORY = "memory.available"
DISK, INODES = "nodefs.available", "nodefs.inodesFree"
IMAGE_DISK, IMAGE_INODES = "imagefs.available", "imagefs.inodesFree"
PIDS = "pid.available"
# Kubernetes' defaults on Linux.
DEFAULT_HARD = {
    MEMORY: "100Mi",
    DISK: "10%",
    INODES: "5%",
    IMAGE_DISK: "15%",
    IMAGE_INODES: "5%",
}
CONDITION_OF = {
    MEMORY: "MemoryPressure",
    DISK: "DiskPressure",
    INODES: "DiskPressure",
    IMAGE_DISK: "DiskPressure",
    IMAGE_INODES: "DiskPressure",
    PIDS: "PIDPressure",
}
SIGNALS = tuple(CONDITION_OF)


class ThresholdError(ValueError):
    """What is wrong, beginning with the signal's name."""


@dataclass(frozen=True, slots=True)
class Amount:
    """A share of the capacity ("10%") or a number of bytes, inodes or processes ("100Mi")."""

    share: float = 0.0
    number: int = 0

    def of(self, capacity: int) -> int:
        return int(self.share * capacity) if self.share else self.number


@dataclass(frozen=True, slots=True)
class Threshold:
    """Pressure begins when less than `value` of a signal is left: at once if `grace_s` is None (a
    hard threshold), else once that has lasted `grace_s`. What is then reclaimed goes
    `minimum_reclaim` beyond the value."""

    signal: str
    value: Amount
    grace_s: float | None = None
    minimum_reclaim: Amount = Amount()

    @property
    def is_hard(self) -> bool:
        return self.grace_s is None


def parse_amount(text: str) -> Amount:
    """Raises ValueError."""
    if text.endswith("%"):
        share = float(text[:-1]) / 100
        if not 0 <= share <= 1:
            raise ValueError(f"{text} is not between 0% and 100%")
        return Amount(share=share)
    number = quantity.memory_bytes(text)
    if number < 0:
        raise ValueError(f"{text} is negative")
    return Amount(number=number)


def parse_thresholds(
    hard: Mapping[str, str],
    soft: Mapping[str, str],
    grace_s: Mapping[str, float],
    minimum_reclaim: Mapping[str, str],
) -> tuple[Threshold, ...]:
    """Hard ones first. "0%" and "100%" switch a hard threshold off, as in Kubernetes. Raises
    ThresholdError."""
    reclaim = {signal: _amount(signal, text) for signal, text in minimum_reclaim.items()}
    found = [
        Threshold(signal, _amount(signal, text), None, reclaim.get(signal, Amount()))
        for signal, text in hard.items()
        if text not in ("0%", "100%")
    ]
    for signal, text in soft.items():
        if signal not in grace_s:
            raise ThresholdError(f"{signal}: grace period must be specified for the soft eviction")
        value = _amount(signal, text)
        found.append(Threshold(signal, value, grace_s[signal], reclaim.get(signal, Amount())))
    return tuple(found)


def _amount(signal: str, text: str) -> Amount:
    if signal not in SIGNALS:
        raise ThresholdError(f'unsupported eviction signal "{signal}"')
    try:
        return parse_amount(text)
    except ValueError as failure:
        raise ThresholdError(f"{signal}: {failure}") from None
