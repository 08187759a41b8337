"""The Node object: what the machine has, and the heartbeats that say it is alive.

Room kubelet. The first status is written at once; later ones only when something changed or after
REPORT_EVERY_S. The Lease in kube-node-lease is renewed every RENEW_EVERY_S by the kubelet's
scheduler of clock work (`__main__`). Source: Kubernetes docs "Nodes", KEP-0009 (node leases).
"""

from __future__ import annotations

import logging
import os
import platform
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from podium.api import meta
from podium.client.errors import AlreadyExists, ClientError, Conflict, NotFound
from podium.client.http import Client

log = logging.getLogger("node-status")
Object = dict[str, Any]

VERSION = "v1.32.0"
RUNTIME_VERSION = "podium://0.1.0"
RENEW_EVERY_S = 10
REPORT_EVERY_S = 300
LEASE_DURATION_S = 40
LEASE_NAMESPACE = "kube-node-lease"
MAX_PODS = 250
MEMORY_PRESSURE_BYTES = 100 * 1024 * 1024  # kubelet's default memory.available threshold
DISK_PRESSURE_SHARE = 0.10  # nodefs.available
PID_PRESSURE_SHARE = 0.05
MAX_IMAGES = 50


class NodeReporter:
    """Registers the Node and keeps its status and Lease fresh."""

    def __init__(
        self,
        client: Client,
        name: str,
        *,
        pod_cidr: str,
        node_dir: str,
        host: str,
        images: Callable[[], list[Object]],
    ) -> None:
        self._client = client
        self.name = name
        self._pod_cidr = pod_cidr
        self._node_dir = node_dir
        self._host = host
        self._images = images
        self._port = 0
        self._reported_at = datetime.fromtimestamp(0, UTC)
        self.node: Object = {"metadata": {"name": name}, "status": {}}

    def register(self, port: int) -> None:
        """Make or find the Node and write a first status; raises ClientError when it cannot."""
        self._port = port
        self.node = self._node_object()
        try:
            self.node = self._client.create("nodes", self.node)
        except AlreadyExists:
            self.node = self._client.get("nodes", self.name)
            self._refresh_labels()
        self.report(is_forced=True)
        self.renew_lease()

    def _node_object(self) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": self._labels()},
            "spec": {"podCIDR": self._pod_cidr, "podCIDRs": [self._pod_cidr]},
            "status": self.status({}),
        }

    def _labels(self) -> dict[str, str]:
        arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        return {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": arch,
            "node-role.kubernetes.io/control-plane": "",
        }

    def _refresh_labels(self) -> None:
        missing = {
            k: v
            for k, v in self._labels().items()
            if (self.node["metadata"].get("labels") or {}).get(k) != v
        }
        if missing:
            self.node = self._client.patch(
                "nodes", self.name, None, {"metadata": {"labels": missing}}
            )

    def status(self, old: Object) -> Object:
        """What the machine says of itself now."""
        memory = _meminfo()
        disk = os.statvfs(self._node_dir)
        capacity = {
            "cpu": str(os.cpu_count() or 1),
            "memory": f"{memory['MemTotal'] // 1024}Ki",
            "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
            "pods": str(MAX_PODS),
        }
        allocatable = capacity | {
            "memory": f"{(memory['MemTotal'] - MEMORY_PRESSURE_BYTES) // 1024}Ki",
            "ephemeral-storage": str(
                int(disk.f_blocks * disk.f_frsize * (1 - DISK_PRESSURE_SHARE))
            ),
        }
        return {
            "capacity": capacity,
            "allocatable": allocatable,
            "conditions": self._conditions(old, memory, disk),
            "addresses": [
                {"type": "InternalIP", "address": self._host},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": _node_info(),
            "images": self._images()[:MAX_IMAGES],
        }

    def _conditions(
        self, old: Object, memory: dict[str, int], disk: os.statvfs_result
    ) -> list[Object]:
        now = meta.now()
        status: Object = {"conditions": [dict(c) for c in old.get("conditions") or ()]}
        pressures = (
            (
                "MemoryPressure",
                memory["MemAvailable"] < MEMORY_PRESSURE_BYTES,
                "KubeletHasInsufficientMemory",
                "KubeletHasSufficientMemory",
                "kubelet has insufficient memory available",
                "kubelet has sufficient memory available",
            ),
            (
                "DiskPressure",
                disk.f_bavail < disk.f_blocks * DISK_PRESSURE_SHARE,
                "KubeletHasDiskPressure",
                "KubeletHasNoDiskPressure",
                "kubelet has disk pressure",
                "kubelet has no disk pressure",
            ),
            (
                "PIDPressure",
                _pids_left_share() < PID_PRESSURE_SHARE,
                "KubeletHasInsufficientPID",
                "KubeletHasSufficientPID",
                "kubelet has insufficient PID available",
                "kubelet has sufficient PID available",
            ),
        )
        for name, is_bad, bad, good, bad_words, good_words in pressures:
            meta.set_condition(
                status,
                name,
                "True" if is_bad else "False",
                bad if is_bad else good,
                bad_words if is_bad else good_words,
                now,
            )
        meta.set_condition(
            status, "NetworkUnavailable", "False", "RouteCreated", "podium has made the bridge", now
        )
        meta.set_condition(
            status, "Ready", "True", "KubeletReady", "kubelet is posting ready status", now
        )
        for condition in status["conditions"]:
            condition["lastHeartbeatTime"] = now
        found: list[Object] = status["conditions"]
        return found

    def report(self, *, is_forced: bool = False) -> None:
        """Write the status if it changed or has not been written for a while."""
        if not is_forced:
            self.node = self._client.get("nodes", self.name)  # others write to it as well
        old = self.node.get("status") or {}
        fresh = self.status(old)
        is_due = datetime.now(UTC) - self._reported_at > timedelta(seconds=REPORT_EVERY_S)
        if not (is_forced or is_due or _visible(fresh) != _visible(old)):
            return
        self.node = self._client.patch(
            "nodes", self.name, None, {"status": fresh}, subresource="status"
        )
        self._reported_at = datetime.now(UTC)

    def renew_lease(self) -> None:
        """Say that this node is alive."""
        spec = {
            "holderIdentity": self.name,
            "leaseDurationSeconds": LEASE_DURATION_S,
            "renewTime": meta.now_micro(),
        }
        try:
            self._client.patch(
                "leases.coordination.k8s.io", self.name, LEASE_NAMESPACE, {"spec": spec}
            )
        except NotFound:
            owner = {
                "apiVersion": "v1",
                "kind": "Node",
                "name": self.name,
                "uid": self.node["metadata"]["uid"],
            }
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": self.name,
                    "namespace": LEASE_NAMESPACE,
                    "ownerReferences": [owner],
                },
                "spec": spec,
            }
            self._client.create("leases.coordination.k8s.io", lease)

    def heartbeat(self) -> None:
        """Clock work: Lease and status; a server that is away is tried again next time."""
        try:
            self.renew_lease()
            self.report()
        except NotFound:
            self.register(self._port)  # somebody deleted the Node: a living kubelet makes it again
        except (Conflict, ClientError) as failure:
            log.warning("heartbeat: %s", failure)


def _visible(status: Object) -> Object:
    """What makes a write worth while: not the times, nor memory that is a little fuller."""
    conditions = [(c["type"], c["status"], c.get("reason")) for c in status.get("conditions") or ()]
    kept = {
        k: status.get(k) for k in ("capacity", "addresses", "daemonEndpoints", "nodeInfo", "images")
    }
    return kept | {"conditions": sorted(conditions)}


def _meminfo() -> dict[str, int]:
    """Bytes by name of /proc/meminfo."""
    with open("/proc/meminfo", encoding="ascii") as file:
        pairs = (line.split(":") for line in file)
        return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def _pids_left_share() -> float:
    with (
        open("/proc/loadavg", encoding="ascii") as load,
        open("/proc/sys/kernel/pid_max", encoding="ascii") as top,
    ):
        used = int(load.read().split()[3].split("/")[1])
        return 1 - used / int(top.read())


def _file(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""  # a minimal system has no machine-id; Kubernetes shows it empty as well


def _node_info() -> Object:
    release = dict(
        line.split("=", 1) for line in _file("/etc/os-release").splitlines() if "=" in line
    )
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "machineID": _file("/etc/machine-id"),
        "systemUUID": _file("/sys/class/dmi/id/product_uuid"),
        "bootID": _file("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": release.get("PRETTY_NAME", "Linux").strip('"'),
        "containerRuntimeVersion": RUNTIME_VERSION,
        "kubeletVersion": VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": arch,
    }


def host_address(wanted: str) -> str:
    """An address of this machine that the API server can reach: what the cluster listens on, or for
    "any", the address of the default route."""
    if wanted not in ("", "0.0.0.0", "::"):
        return wanted
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel only chooses a source
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
