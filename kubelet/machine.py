"""Facts of the machine that a Node shows: read from /proc, /sys and the disk.

Room kubelet; called by node_status.py.
"""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]

KUBELET_VERSION = "v1.32.0"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}


@dataclass(frozen=True)
class Resources:
    """What there is and what of it is left, in bytes; pids in processes."""

    cpus: int
    memory: int
    memory_left: int
    disk: int
    disk_left: int
    pids: int
    pids_left: int


def resources(directory: str) -> Resources:
    """`directory` says which disk."""
    memory = _meminfo()
    disk = os.statvfs(directory)
    pids = int(read("/proc/sys/kernel/pid_max"))
    used = int(read("/proc/loadavg").split()[3].partition("/")[2])
    return Resources(
        cpus=os.cpu_count() or 1,
        memory=memory["MemTotal"],
        memory_left=memory["MemAvailable"],
        disk=disk.f_blocks * disk.f_frsize,
        disk_left=disk.f_bavail * disk.f_frsize,
        pids=pids,
        pids_left=pids - used,
    )


def _meminfo() -> dict[str, int]:
    pairs = (line.split(":") for line in read("/proc/meminfo").splitlines())
    return {name: int(value.split()[0]) * 1024 for name, value in pairs}


def architecture() -> str:
    """In Go's words."""
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def node_info(runtime_version: str) -> Object:
    """The Node's status.nodeInfo."""
    lines = (line.partition("=") for line in read("/etc/os-release").splitlines())
    release = {name: value.strip('"') for name, _, value in lines}
    return {
        "machineID": read("/etc/machine-id"),
        "systemUUID": read("/sys/class/dmi/id/product_uuid"),
        "bootID": read("/proc/sys/kernel/random/boot_id"),
        "kernelVersion": platform.release(),
        "osImage": release.get("PRETTY_NAME", "Linux"),
        "containerRuntimeVersion": runtime_version,
        "kubeletVersion": KUBELET_VERSION,
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": architecture(),
    }


def read(path: str) -> str:
    """ "" for what a minimal system does not have."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def host_address(wanted: str) -> str:
    """An address of this machine that the API server can reach: what the cluster listens on; if
    that is "any", what the way out uses."""
    if wanted not in ("", "0.0.0.0", "::"):
        return wanted
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: the kernel only chooses a source
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
