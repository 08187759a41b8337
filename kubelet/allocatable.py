"""What of a node's capacity Pods may have. Pure.

Room kubelet; called by node_status.py. Allocatable is the capacity less what is reserved for the
system and for the kubelet, less what the kubelet evicts for, and of the memory less huge pages.
Source: Kubernetes docs "Reserve Compute Resources for System Daemons".
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelet import thresholds
from kubelet.configuration import KubeletConfiguration
from kubelet.hardware import HUGE_PAGES
from podium.api import quantity

_EVICTED_FOR = {"memory": thresholds.MEMORY, "ephemeral-storage": thresholds.DISK}


def allocatable(capacity: Mapping[str, str], settings: KubeletConfiguration) -> dict[str, str]:
    """Quantities by resource; what nothing is taken from stays as it was written."""
    hard = {one.signal: one.value for one in settings.thresholds() if one.is_hard}
    found = dict(capacity)
    for name, text in capacity.items():
        whole = _amount(name, text)
        kept = sum(
            _amount(name, reserved[name])
            for reserved in (settings.kube_reserved, settings.system_reserved)
            if name in reserved
        )
        if name == "memory":  # what is set aside for huge pages nobody else can have
            kept += sum(
                _amount(n, text) for n, text in capacity.items() if n.startswith(HUGE_PAGES)
            )
        signal = _EVICTED_FOR.get(name)
        if signal in hard:
            kept += hard[signal].of(whole)
        if kept:
            found[name] = _text(name, max(whole - kept, 0))
    return found


def _amount(name: str, text: str) -> int:
    return quantity.cpu_millicores(text) if name == "cpu" else quantity.memory_bytes(text)


def _text(name: str, amount: int) -> str:
    if name == "cpu":
        return f"{amount}m" if amount % 1000 else str(amount // 1000)
    return f"{amount // 1024}Ki" if name == "memory" else str(amount)
