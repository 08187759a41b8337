"""cgroup v1: a tree for each controller (kernel: Documentation/admin-guide/cgroup-v1)."""

from __future__ import annotations

import contextlib
import errno
import os

from kubelet.runtime.cgroups.hierarchy import Hierarchy, read, read_keyed, write
from kubelet.runtime.protocol import Resources


class HierarchyV1(Hierarchy):
    """One v1 tree with one or more of the controllers cpu, cpuacct, memory, pids, blkio,
    devices.
    `options` are the words that mount it again: "cpu,cpuacct"."""

    def __init__(self, mount_point: str, controllers: frozenset[str], options: str = "") -> None:
        super().__init__(mount_point, controllers)
        self.options = options or ",".join(sorted(controllers))

    def create(self, path: str, *, is_leaf: bool) -> None:
        os.makedirs(self.directory(path), exist_ok=True)

    def apply(self, path: str, resources: Resources) -> None:
        directory = self.directory(path)
        if "cpu" in self.controllers:
            _apply_cpu(directory, resources)
        if "memory" in self.controllers and resources.memory_bytes:
            _apply_memory(directory, resources.memory_bytes)
        if "pids" in self.controllers and resources.pids:
            write(f"{directory}/pids.max", str(resources.pids))

    def oom_kills(self, path: str) -> int:
        return read_keyed(f"{self.directory(path)}/memory.oom_control", "oom_kill")

    def end_forking(self, path: str) -> None:
        if "pids" in self.controllers:
            for below in self.walk(path):
                with contextlib.suppress(FileNotFoundError):
                    write(f"{self.directory(below)}/pids.max", "0")


def _apply_cpu(directory: str, resources: Resources) -> None:
    if resources.cpu_shares:
        write(f"{directory}/cpu.shares", str(resources.cpu_shares))
    if resources.cpu_quota_us:
        write(f"{directory}/cpu.cfs_period_us", str(resources.cpu_period_us))
        write(f"{directory}/cpu.cfs_quota_us", str(resources.cpu_quota_us))


def _apply_memory(directory: str, limit_bytes: int) -> None:
    """Memory, and memory plus swap, get the same limit: no swapping around it. The second must
    never be below the first, so which is written first depends on the limit that was there."""
    limit, with_swap = (
        f"{directory}/memory.limit_in_bytes",
        f"{directory}/memory.memsw.limit_in_bytes",
    )
    files = [limit, with_swap] if os.path.exists(with_swap) else [limit]
    try:
        for file in files:
            write(file, str(limit_bytes))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        for file in reversed(files):
            write(file, str(limit_bytes))


def count_io_v1(directory: str, disks: str = "/sys/block") -> None:
    """Have the kernel count what is read from and written to each disk. Since Linux 6.10 it begins
    to only when somebody has configured a limit for the disk; 0, which is none, is enough."""
    for name in os.listdir(disks) if os.path.isdir(disks) else []:
        with contextlib.suppress(OSError):
            if int(read(f"{disks}/{name}/size")):  # a loop device without a file has no size
                number = read(f"{disks}/{name}/dev").strip()
                write(f"{directory}/blkio.throttle.write_bps_device", f"{number} 0")
