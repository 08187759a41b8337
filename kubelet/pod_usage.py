"""What Pods use of their node: memory and processes by the kernel's accounts, disk by looking.

Room kubelet; called by eviction.py. A Pod's disk is what its containers have written, their logs
and its emptyDirs on disk. Looking at all of it can take long, so it is done only for Pods with a
limit, and for all when the disk is short.
Source: Kubernetes docs "Local ephemeral storage"; kubelet `pkg/kubelet/eviction/helpers.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kubelet.container_config import ContainerConfigs
from kubelet.eviction_plan import Candidate, Need
from kubelet.resources import pod_request, request
from kubelet.runtime.disk_usage import DiskUsage, disk_usage
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Runtime
from kubelet.volumes import Volumes

Object = dict[str, Any]

EPHEMERAL = "ephemeral-storage"


@dataclass(frozen=True)
class PodDisk:
    """By container, and by name of the emptyDirs that are on disk."""

    containers: dict[str, DiskUsage]
    empty_dirs: dict[str, DiskUsage]

    @property
    def whole(self) -> DiskUsage:
        found = DiskUsage()
        for usage in (*self.containers.values(), *self.empty_dirs.values()):
            found += usage
        return found


class PodUsage:
    """Reads; keeps nothing."""

    def __init__(self, runtime: Runtime, volumes: Volumes, configs: ContainerConfigs) -> None:
        self._runtime, self._volumes, self._configs = runtime, volumes, configs

    def disk(self, pod: Object) -> PodDisk:
        uid = pod["metadata"]["uid"]
        statuses = self._runtime.list_containers(uid)
        containers = {}
        for container in _containers(pod):
            name = container["name"]
            found = disk_usage(str(self._configs.log_dir(pod) / name))
            found += disk_usage(str(self._volumes.pod_dir(uid) / "image-volumes" / name))
            for status in (s for s in statuses if s.name == name):
                found += self._written(status)
            containers[name] = found
        return PodDisk(containers, {name: self.empty_dir(uid, name) for name in _on_disk(pod)})

    def empty_dir(self, uid: str, volume: str) -> DiskUsage:
        return disk_usage(str(self._volumes.pod_dir(uid) / "volumes" / volume))

    def _written(self, status: ContainerStatus) -> DiskUsage:
        try:
            return disk_usage(self._runtime.writable_layer(status.id))
        except RuntimeFailure:
            return DiskUsage()  # it is gone

    def candidate(self, pod: Object, *, with_disk: bool) -> Candidate:
        """What counts when it comes to who is evicted."""
        uid = pod["metadata"]["uid"]
        disk = self.disk(pod) if with_disk else None
        needs, containers = {}, {}
        stats = self._sandbox_stats(uid)
        needs["memory"] = Need(stats[0], pod_request(pod, "memory"))
        needs["pids"] = Need(stats[1])
        if disk is not None:
            whole = disk.whole
            needs[EPHEMERAL] = Need(whole.bytes, pod_request(pod, EPHEMERAL))
            needs["inodes"] = Need(whole.inodes)
        memory = self._container_memory(uid)
        for container in _containers(pod):
            name = container["name"]
            own = {"memory": Need(memory.get(name, 0), request(container, "memory"))}
            if disk is not None:
                usage = disk.containers.get(name, DiskUsage())
                own[EPHEMERAL] = Need(usage.bytes, request(container, EPHEMERAL))
                own["inodes"] = Need(usage.inodes)
            containers[name] = own
        priority = pod["spec"].get("priority") or 0
        return Candidate(uid, priority, needs, containers)

    def _sandbox_stats(self, uid: str) -> tuple[int, int]:
        """Working set and processes; 0 of what is gone."""
        try:
            found = self._runtime.sandbox_stats(uid)
        except (RuntimeFailure, OSError):
            return 0, 0
        return found.memory_working_set_bytes, found.pids

    def _container_memory(self, uid: str) -> dict[str, int]:
        found = {}
        for status in self._runtime.list_containers(uid):
            if status.state == "running":
                try:
                    stats = self._runtime.container_stats(status.id)
                except (RuntimeFailure, OSError):
                    continue  # it has ended
                found[status.name] = stats.memory_working_set_bytes
        return found


def _containers(pod: Object) -> Iterator[Object]:
    for kind in ("initContainers", "containers"):
        yield from pod["spec"].get(kind) or ()


def _on_disk(pod: Object) -> Iterator[str]:
    for volume in pod["spec"].get("volumes") or ():
        source = volume.get("emptyDir")
        if source is not None and source.get("medium") in (None, ""):
            yield volume["name"]
