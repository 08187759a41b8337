"""The page /stats/summary: a Snapshot in the words of the kubelet's stats/v1alpha1. Pure.

Room kubelet; called by server.py. Source: kubernetes/kubelet `pkg/apis/stats/v1alpha1/types.go`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from kubelet.runtime.protocol import ContainerStats
from kubelet.stats.disk_usage import FileSystem, Usage
from kubelet.stats.host import Interface
from kubelet.stats.sampler import (
    ContainerSample,
    NodeSample,
    PodSample,
    Snapshot,
    VolumeSample,
)
from podium.api import meta

Object = dict[str, Any]


def summary(snapshot: Snapshot, *, only_cpu_and_memory: bool = False) -> Object:
    """`?only_cpu_and_memory=true` leaves out what takes long to count."""
    time = _time(snapshot.at)
    pods = [_pod(pod, snapshot.node, time) for pod in snapshot.pods]
    found: Object = {"node": _node(snapshot, time), "pods": pods}
    if only_cpu_and_memory:
        found["node"] = {k: v for k, v in found["node"].items() if k in _BRIEF}
        found["pods"] = [_brief_pod(pod) for pod in pods]
    return found


_BRIEF = ("nodeName", "name", "podRef", "startTime", "cpu", "memory", "systemContainers")


def _brief_pod(pod: Object) -> Object:
    brief = {name: value for name, value in pod.items() if name in _BRIEF}
    brief["containers"] = [
        {name: value for name, value in container.items() if name in _BRIEF}
        for container in pod["containers"]
    ]
    return brief


def _time(seconds: float) -> str:
    return meta.now(datetime.fromtimestamp(seconds, UTC))


# ---- the node -----------------------------------------------------------------------------------


def _node(snapshot: Snapshot, time: str) -> Object:
    node = snapshot.node
    memory = node.memory
    return {
        "nodeName": node.name,
        "systemContainers": [_kubelet(node, time), _all_pods(snapshot, time)],
        "startTime": _time(node.booted_at),
        "cpu": _cpu(node.nano_cores, node.cpu_used_ns, time),
        "memory": {
            "time": time,
            "availableBytes": memory.available_bytes,
            "usageBytes": memory.usage_bytes,
            "workingSetBytes": memory.working_set_bytes,
            "rssBytes": memory.rss_bytes,
            "pageFaults": memory.page_faults,
            "majorPageFaults": memory.major_page_faults,
        },
        "network": _network(node.interfaces, node.default_interface, time),
        "fs": _file_system(node.file_system, node.file_system.used_bytes, time),
        "runtime": {
            "imageFs": _file_system(node.image_file_system, node.images_bytes, time),
            "containerFs": _file_system(node.file_system, _written(snapshot), time),
        },
        "rlimit": {"time": time, "maxpid": node.processes_limit, "curproc": node.processes},
        "swap": {
            "time": time,
            "swapAvailableBytes": memory.swap_available_bytes,
            "swapUsageBytes": memory.swap_usage_bytes,
        },
    }


def _kubelet(node: NodeSample, time: str) -> Object:
    own = node.kubelet
    return {
        "name": "kubelet",
        "startTime": _time(own.started_at),
        "cpu": _cpu(node.kubelet_nano_cores, own.cpu_used_ns, time),
        "memory": {
            "time": time,
            "usageBytes": own.resident_bytes,
            "workingSetBytes": own.resident_bytes,
            "rssBytes": own.resident_bytes,
            "pageFaults": own.page_faults,
            "majorPageFaults": own.major_page_faults,
        },
    }


def _all_pods(snapshot: Snapshot, time: str) -> Object:
    every = [pod.stats for pod in snapshot.pods]
    used_ns = sum(stats.cpu_usage_ns for stats in every)
    nano_cores = sum(pod.nano_cores for pod in snapshot.pods)
    return {
        "name": "pods",
        "startTime": _time(snapshot.node.booted_at),
        "cpu": _cpu(nano_cores, used_ns, time),
        "memory": {
            "time": time,
            "availableBytes": snapshot.node.memory.available_bytes,
            "usageBytes": sum(stats.memory_usage_bytes for stats in every),
            "workingSetBytes": sum(stats.memory_working_set_bytes for stats in every),
            "rssBytes": sum(stats.memory_rss_bytes for stats in every),
            "pageFaults": sum(stats.page_faults for stats in every),
            "majorPageFaults": sum(stats.major_page_faults for stats in every),
        },
    }


def _written(snapshot: Snapshot) -> int:
    return sum(c.rootfs.used_bytes for pod in snapshot.pods for c in pod.containers)


# ---- a Pod --------------------------------------------------------------------------------------


def _pod(sample: PodSample, node: NodeSample, time: str) -> Object:
    about = sample.pod["metadata"]
    found = {
        "podRef": {"name": about["name"], "namespace": about["namespace"], "uid": about["uid"]},
        "startTime": _time(sample.sandbox.created_at),
        "containers": [_container(container, node, time) for container in sample.containers],
        "cpu": _cpu(sample.nano_cores, sample.stats.cpu_usage_ns, time),
        "memory": _memory(sample.stats, time),
    }
    if sample.interfaces:
        found["network"] = _network(sample.interfaces, sample.interfaces[0].name, time)
    if sample.volumes:
        found["volume"] = [_volume(volume, about["namespace"], time) for volume in sample.volumes]
    found["ephemeral-storage"] = _used_of(node.file_system, _ephemeral(sample), time)
    found["process_stats"] = {"process_count": sample.stats.pids}
    found["swap"] = _swap(sample.stats, time)
    return found


def _ephemeral(sample: PodSample) -> Usage:
    """What the Pod has written that goes with it: roots, logs and emptyDirs on disk."""
    parts = [usage for c in sample.containers for usage in (c.rootfs, c.logs)]
    parts += [volume.usage for volume in sample.volumes if volume.is_ephemeral]
    return Usage(sum(p.used_bytes for p in parts), sum(p.inodes_used for p in parts))


def _volume(sample: VolumeSample, namespace: str, time: str) -> Object:
    found = {**_used_of(sample.file_system, sample.usage, time), "name": sample.name}
    if sample.claim:
        found["pvcRef"] = {"name": sample.claim, "namespace": namespace}
    return found


def _container(sample: ContainerSample, node: NodeSample, time: str) -> Object:
    return {
        "name": sample.status.name,
        "startTime": _time(sample.status.started_at),
        "cpu": _cpu(sample.nano_cores, sample.stats.cpu_usage_ns, time),
        "memory": _memory(sample.stats, time),
        "rootfs": _used_of(node.file_system, sample.rootfs, time),
        "logs": _used_of(node.file_system, sample.logs, time),
        "swap": _swap(sample.stats, time),
    }


# ---- the parts of all ---------------------------------------------------------------------------


def _cpu(nano_cores: int, used_ns: int, time: str) -> Object:
    return {"time": time, "usageNanoCores": nano_cores, "usageCoreNanoSeconds": used_ns}


def _memory(stats: ContainerStats, time: str) -> Object:
    found = {
        "time": time,
        "usageBytes": stats.memory_usage_bytes,
        "workingSetBytes": stats.memory_working_set_bytes,
        "rssBytes": stats.memory_rss_bytes,
        "pageFaults": stats.page_faults,
        "majorPageFaults": stats.major_page_faults,
    }
    if stats.memory_limit_bytes is not None:
        left = stats.memory_limit_bytes - stats.memory_working_set_bytes
        found["availableBytes"] = max(0, left)
    return found


def _swap(stats: ContainerStats, time: str) -> Object:
    found = {"time": time, "swapUsageBytes": stats.swap_usage_bytes}
    if stats.swap_limit_bytes is not None:
        found["swapAvailableBytes"] = max(0, stats.swap_limit_bytes - stats.swap_usage_bytes)
    return found


def _network(interfaces: tuple[Interface, ...], default: str, time: str) -> Object:
    """Every interface, and first of all the one that leads out."""
    every = [
        {
            "name": interface.name,
            "rxBytes": interface.rx_bytes,
            "rxErrors": interface.rx_errors,
            "txBytes": interface.tx_bytes,
            "txErrors": interface.tx_errors,
        }
        for interface in interfaces
    ]
    first = next((found for found in every if found["name"] == default), {})
    return {"time": time, **first, "interfaces": every}


def _file_system(found: FileSystem, used_bytes: int, time: str) -> Object:
    inodes_used = found.inodes - found.inodes_free
    return {
        "time": time,
        "availableBytes": found.available_bytes,
        "capacityBytes": found.capacity_bytes,
        "usedBytes": used_bytes,
        "inodesFree": found.inodes_free,
        "inodes": found.inodes,
        "inodesUsed": inodes_used,
    }


def _used_of(found: FileSystem, usage: Usage, time: str) -> Object:
    """A part of a file system."""
    whole = _file_system(found, usage.used_bytes, time)
    return {**whole, "inodesUsed": usage.inodes_used}
