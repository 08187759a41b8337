"""One look at all that runs on this node: the Snapshot that every page of statistics is made from.

Room kubelet; called by server.py in a connection's thread. A snapshot is shared by all who ask
within a second.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet.machine import read
from kubelet.resources import cgroup_parent
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStats, ContainerStatus, Runtime, SandboxStatus
from kubelet.stats import host
from kubelet.stats.cpu_rates import SHORTEST_S, CpuRates, Rates, Reading
from kubelet.stats.disk_usage import DiskUsage, FileSystem, Usage, file_system

Object = dict[str, Any]

FRESH_S = 1.0
_NODE = "node"  # its name in a Reading, which no container's id and no Pod's uid can be
_KUBELET = "kubelet"


@dataclass(frozen=True)
class ContainerSample:
    status: ContainerStatus
    image: str
    cgroup: str  # "/kubepods/burstable/pod<uid>/<id>"
    stats: ContainerStats
    nano_cores: int
    rootfs: Usage
    logs: Usage


@dataclass(frozen=True)
class VolumeSample:
    name: str
    claim: str  # "" unless it is a PersistentVolumeClaim's
    is_ephemeral: bool  # on the node's disk and gone with the Pod
    file_system: FileSystem
    usage: Usage


@dataclass(frozen=True)
class PodSample:
    pod: Object
    sandbox: SandboxStatus
    cgroup: str
    stats: ContainerStats
    nano_cores: int
    interfaces: tuple[host.Interface, ...]
    containers: tuple[ContainerSample, ...]
    volumes: tuple[VolumeSample, ...]


@dataclass(frozen=True)
class NodeSample:
    name: str
    cpus: int
    booted_at: float
    cpu_used_ns: int
    nano_cores: int
    memory: host.Memory
    interfaces: tuple[host.Interface, ...]
    default_interface: str
    file_system: FileSystem
    image_file_system: FileSystem
    images_bytes: int
    processes: int
    processes_limit: int
    kubelet: host.Own
    kubelet_nano_cores: int


@dataclass(frozen=True)
class Snapshot:
    at: float  # seconds since the epoch
    window_s: float  # that the CPU averages are over
    node: NodeSample
    pods: tuple[PodSample, ...]


@dataclass(frozen=True)
class _Look:
    """What the kernel has counted at one moment, by Pod uid and container id."""

    at: float
    node_ns: int
    kubelet_ns: int
    stats: dict[str, ContainerStats]

    def reading(self) -> Reading:
        used = {name: stats.cpu_usage_ns for name, stats in self.stats.items()}
        return Reading(self.at, {**used, _NODE: self.node_ns, _KUBELET: self.kubelet_ns})


class Sampler:
    """`pods` lists this node's Pods, `log_dir(pod)` says where its logs lie, `volume_dirs(pod)`
    where its volumes do, by name, and `images_bytes` what all images take."""

    def __init__(
        self, node_name: str, node_dir: str, runtime: Runtime, *,
        pods: Callable[[], list[Object]], log_dir: Callable[[Object], Path],
        volume_dirs: Callable[[Object], dict[str, str]], images_bytes: Callable[[], int],
    ) -> None:  # fmt: skip
        self._node_name, self._node_dir = node_name, node_dir
        self._runtime = runtime
        self._pods, self._images_bytes = pods, images_bytes
        self._log_dir, self._volume_dirs = log_dir, volume_dirs
        self._lock = threading.Lock()  # one look at a time
        self._rates = CpuRates()
        self._disk = DiskUsage()
        self._last: Snapshot | None = None
        self._last_at = float("-inf")  # monotonic

    def snapshot(self) -> Snapshot:
        """At most a second old. The first one in a while takes half a second: CPU use is the
        difference of two readings."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last_at > FRESH_S:
                self._last = self._take()
                self._last_at = time.monotonic()
            return self._last

    def _take(self) -> Snapshot:
        base = self._rates.base(time.time())
        if base is None:
            base = self._look(self._sandboxes()).reading()
            time.sleep(SHORTEST_S)  # the thing measured is time itself
        found = self._sandboxes()
        look = self._look(found)
        now = look.reading()
        self._rates.keep(now)
        rates = Rates(base, now)
        pods = (self._pod(pod, sandbox, look, rates) for pod, sandbox in found)
        snapshot = Snapshot(
            look.at, look.at - base.at, self._node(look, rates), tuple(p for p in pods if p)
        )
        self._disk.forget_old()
        return snapshot

    def _sandboxes(self) -> list[tuple[Object, SandboxStatus]]:
        pods = {pod["metadata"]["uid"]: pod for pod in self._pods()}
        ready = (s for s in self._runtime.list_pod_sandboxes() if s.state == "ready")
        return [(pods[s.id], s) for s in ready if s.id in pods]

    def _look(self, found: Iterable[tuple[Object, SandboxStatus]]) -> _Look:
        """What ends while we look is left out."""
        look = _Look(time.time(), host.cpu_used_ns(), time.process_time_ns(), {})
        for _, sandbox in found:
            with contextlib.suppress(RuntimeFailure):
                look.stats[sandbox.id] = self._runtime.sandbox_stats(sandbox.id)
            for status in self._running(sandbox.id):
                with contextlib.suppress(RuntimeFailure):
                    look.stats[status.id] = self._runtime.container_stats(status.id)
        return look

    def _running(self, sandbox_id: str) -> list[ContainerStatus]:
        return [c for c in self._runtime.list_containers(sandbox_id) if c.state == "running"]

    # ---- the parts ----

    def _node(self, look: _Look, rates: Rates) -> NodeSample:
        processes, processes_limit = host.processes()
        return NodeSample(
            name=self._node_name,
            cpus=os.cpu_count() or 1,
            booted_at=host.booted_at(),
            cpu_used_ns=look.node_ns,
            nano_cores=rates.nano_cores(_NODE),
            memory=host.memory(),
            interfaces=host.interfaces(read("/proc/self/net/dev")),
            default_interface=host.default_interface(),
            file_system=file_system(self._node_dir),
            image_file_system=file_system(f"{self._node_dir}/images"),
            images_bytes=self._images_bytes(),
            processes=processes,
            processes_limit=processes_limit,
            kubelet=host.own(),
            kubelet_nano_cores=rates.nano_cores(_KUBELET),
        )

    def _pod(
        self, pod: Object, sandbox: SandboxStatus, look: _Look, rates: Rates
    ) -> PodSample | None:
        if sandbox.id not in look.stats:
            return None
        has_own_network = not pod["spec"].get("hostNetwork")
        network = read(f"/proc/{sandbox.shim_pid}/net/dev") if has_own_network else ""
        return PodSample(
            pod=pod,
            sandbox=sandbox,
            cgroup=f"/{cgroup_parent(pod)}",
            stats=look.stats[sandbox.id],
            nano_cores=rates.nano_cores(sandbox.id, sandbox.created_at),
            interfaces=host.interfaces(network),
            containers=tuple(
                self._container(pod, status, look.stats[status.id], rates)
                for status in self._running(sandbox.id)
                if status.id in look.stats
            ),
            volumes=tuple(self._volumes(pod)),
        )

    def _container(
        self, pod: Object, status: ContainerStatus, stats: ContainerStats, rates: Rates
    ) -> ContainerSample:
        return ContainerSample(
            status=status,
            image=_image_of(pod, status.name),
            cgroup=f"/{cgroup_parent(pod)}/{status.id}",
            stats=stats,
            nano_cores=rates.nano_cores(status.id, status.started_at),
            rootfs=self._disk.of(self._runtime.writable_layer(status.id)),
            logs=self._disk.of(str(self._log_dir(pod) / status.name)),
        )

    def _volumes(self, pod: Object) -> Iterable[VolumeSample]:
        paths = self._volume_dirs(pod)
        for volume in pod["spec"].get("volumes") or ():
            if path := paths.get(volume["name"]):
                with contextlib.suppress(OSError):  # not there yet, or not any more
                    empty_dir = volume.get("emptyDir")
                    on_disk = empty_dir is not None and empty_dir.get("medium") != "Memory"
                    claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
                    yield VolumeSample(
                        volume["name"], claim, on_disk, file_system(path), self._disk.of(path)
                    )


def _image_of(pod: Object, name: str) -> str:
    spec = pod["spec"]
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            if container["name"] == name:
                return str(container.get("image", ""))
    return ""
