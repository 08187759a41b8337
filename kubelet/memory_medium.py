"""emptyDir in memory: what its tmpfs is mounted with. Pure. Room kubelet.

Source: Kubernetes `pkg/volume/emptydir/empty_dir.go` (SizeMemoryBackedVolumes).
"""

from __future__ import annotations

from typing import Any

from podium.api import quantity

Object = dict[str, Any]


def memory_options(size_limit: str | None, pod: Object, node: Object) -> str:
    """ "size=1048576": at most what its containers may have together, and what the node has."""
    sizes = [_limit(size_limit), memory_limit(pod), _allocatable(node)]
    found = [size for size in sizes if size]
    return f"size={min(found)}" if found else ""


def _limit(size_limit: str | None) -> int:
    return quantity.memory_bytes(size_limit) if size_limit else 0


def memory_limit(pod: Object) -> int:
    """Bytes that all containers together may have; 0 if one of them has no limit."""
    limits = [
        ((c.get("resources") or {}).get("limits") or {}).get("memory")
        for c in pod["spec"].get("containers") or ()
    ]
    return 0 if None in limits else sum(quantity.memory_bytes(limit) for limit in limits)


def _allocatable(node: Object) -> int:
    found = ((node.get("status") or {}).get("allocatable") or {}).get("memory")
    return quantity.memory_bytes(found) if found else 0
