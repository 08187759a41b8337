"""The cgroups above the Pods': `kubepods`, `kubepods/burstable`, `kubepods/besteffort`.

Room kubelet; made by agent.py. `kubepods` is what Pods may have together; the two below it share
among each other as the requests in them say, so that a Pod with a request gets its part however
many there are without. A Guaranteed Pod stands directly below `kubepods`.
Source: kubelet `pkg/kubelet/cm/{qos_container_manager,node_container_manager}_linux.go`.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubelet.cgroup_values import shares
from kubelet.configuration import KubeletConfiguration
from kubelet.hardware import Hardware
from kubelet.resources import amount, pod_request, qos_class
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Resources

log = logging.getLogger("qos-cgroups")
Object = dict[str, Any]

KUBEPODS = "kubepods"
BURSTABLE, BEST_EFFORT = f"{KUBEPODS}/burstable", f"{KUBEPODS}/besteffort"


@dataclass(frozen=True)
class _Asked:
    is_burstable: bool
    cpu_millicores: int
    memory_bytes: int


class QosCgroups:
    """Follows which Pods are admitted. Thread-safe; everything may be said twice."""

    def __init__(
        self, cgroups: Cgroups, hardware: Hardware, settings: KubeletConfiguration
    ) -> None:
        self._cgroups = cgroups
        self._lock = threading.Lock()
        self._asked: dict[str, _Asked] = {}
        self._written: dict[str, Resources | int] = {}
        self._is_started = False
        self._whole = _whole(hardware, settings)

    def start(self) -> None:
        """Make them, before there are new Pods and after those that run already were told of."""
        with self._lock:
            self._is_started = True
            self._set(KUBEPODS, self._whole)
            self._set(BEST_EFFORT, Resources(cpu_shares=shares(0)))
            self._follow()

    def admitted(self, pod: Object) -> None:
        """It is there, or requests something else than before."""
        asked = _Asked(
            qos_class(pod) == "Burstable", pod_request(pod, "cpu"), pod_request(pod, "memory")
        )
        with self._lock:
            if self._asked.get(pod["metadata"]["uid"]) != asked:
                self._asked[pod["metadata"]["uid"]] = asked
                self._follow()

    def released(self, uid: str) -> None:
        with self._lock:
            if self._asked.pop(uid, None):
                self._follow()

    def _follow(self) -> None:
        if not self._is_started:
            return
        burstable = [one for one in self._asked.values() if one.is_burstable]
        cpu = sum(one.cpu_millicores for one in burstable)
        self._set(BURSTABLE, Resources(cpu_shares=shares(cpu)))
        whole_bytes = sum(one.memory_bytes for one in self._asked.values())
        self._protect(BURSTABLE, sum(one.memory_bytes for one in burstable))
        self._protect(KUBEPODS, whole_bytes)
        self._protect("", whole_bytes)

    def _set(self, path: str, resources: Resources) -> None:
        if self._written.get(path) != resources:
            with self._trying(path):
                self._cgroups.create_parent(path, resources)
                self._written[path] = resources

    def _protect(self, path: str, memory_bytes: int) -> None:
        """What is kept back for a Pod counts only as far as it is kept back above it as well."""
        key = f"{path} memory"
        if self._written.get(key, 0) != memory_bytes:
            with self._trying(path):
                self._cgroups.protect_memory(path, memory_bytes)
                self._written[key] = memory_bytes

    @contextlib.contextmanager
    def _trying(self, path: str) -> Iterator[None]:
        """Pods run without it, only less fairly."""
        try:
            yield
        except (OSError, RuntimeFailure) as failure:
            log.warning("cgroup %s: %s", path, failure)


def _whole(hardware: Hardware, settings: KubeletConfiguration) -> Resources:
    """What is reserved for the system and the kubelet is kept from Pods; not what they are evicted
    for, so that eviction comes first."""

    def left(name: str, there: int) -> int:
        reserved = (settings.kube_reserved, settings.system_reserved)
        return max(there - sum(amount(name, r[name]) for r in reserved if name in r), 1)

    millicores = left("cpu", 1000 * len(hardware.cpus))
    if "pods" not in settings.enforce_node_allocatable:
        return Resources(cpu_shares=shares(millicores))
    return Resources(
        cpu_shares=shares(millicores),
        memory_bytes=left("memory", hardware.memory_bytes),
        swap_bytes=hardware.swap_bytes,
    )
