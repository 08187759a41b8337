"""Whether a Pod uses more local storage than it may: emptyDirs, the whole Pod, each container.

Room kubelet; called by eviction.py. Pure but for the measuring, which it asks PodUsage to do, and
only for Pods that have a limit.
Source: kubelet `pkg/kubelet/eviction/eviction_manager.go` (localStorageEviction), v1.32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubelet import eviction_plan
from kubelet.pod_usage import EPHEMERAL, PodDisk, PodUsage
from podium.api import quantity

Object = dict[str, Any]


def excess(pod: Object, usage: PodUsage) -> str | None:
    """The message of its eviction; None for a Pod that keeps to its limits."""
    if not any(True for _ in _limited_dirs(pod)) and not any(True for _ in _limits(pod)):
        return None
    disk = usage.disk(pod)
    return _over_empty_dir(pod, disk, usage) or _over_pod(pod, disk) or _over_container(pod, disk)


def _limited_dirs(pod: Object) -> Iterator[tuple[str, str]]:
    """(volume, limit)."""
    for volume in pod["spec"].get("volumes") or ():
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit is not None and quantity.parse(limit) > 0:
            yield volume["name"], str(limit)


def _limits(pod: Object) -> Iterator[tuple[str, str]]:
    """(container, limit)."""
    for container in pod["spec"]["containers"]:
        limit = ((container.get("resources") or {}).get("limits") or {}).get(EPHEMERAL)
        if limit is not None:
            yield container["name"], str(limit)


def _over_empty_dir(pod: Object, disk: PodDisk, usage: PodUsage) -> str | None:
    for name, limit in _limited_dirs(pod):
        used = disk.empty_dirs.get(name)
        if used is None:  # in memory
            used = usage.empty_dir(pod["metadata"]["uid"], name)
        if used.bytes > quantity.memory_bytes(limit):
            return eviction_plan.over_empty_dir(name, quantity.canonical(limit))
    return None


def _over_pod(pod: Object, disk: PodDisk) -> str | None:
    """The limits of its containers together hold for the whole Pod."""
    limits = [quantity.memory_bytes(limit) for _, limit in _limits(pod)]
    if not limits or disk.whole.bytes <= sum(limits):
        return None
    return eviction_plan.over_pod_limit(eviction_plan.binary(sum(limits)))


def _over_container(pod: Object, disk: PodDisk) -> str | None:
    for name, limit in _limits(pod):
        if disk.containers[name].bytes > quantity.memory_bytes(limit):
            return eviction_plan.over_container_limit(name, quantity.canonical(limit))
    return None
