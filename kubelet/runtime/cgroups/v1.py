"""cgroup v1: a tree for each controller (kernel: Documentation/admin-guide/cgroup-v1)."""

from __future__ import annotations

import contextlib
import errno
import os

from kubelet.runtime import operations
from kubelet.runtime.cgroups.hierarchy import Hierarchy, read, read_keyed, write
from kubelet.runtime.errors import HostUnsupported
from kubelet.runtime.protocol import IoLimit, Resources

_IO_WEIGHTS = ("blkio.bfq.weight", "blkio.weight")
_NO_SWAP = 0  # memory.swappiness


class HierarchyV1(Hierarchy):
    """One v1 tree with one or more of the controllers cpu, cpuacct, cpuset, memory, pids, blkio,
    hugetlb, devices. `options` are the words that mount it again: "cpu,cpuacct"."""

    def __init__(self, mount_point: str, controllers: frozenset[str], options: str = "") -> None:
        super().__init__(mount_point, controllers)
        self.options = options or ",".join(sorted(controllers))

    def create(self, path: str, *, is_leaf: bool) -> None:
        if "cpuset" in self.controllers:
            self._create_cpuset(path)
        else:
            os.makedirs(self.directory(path), exist_ok=True)
            operations.note("make_cgroup", self.directory(path))

    def _create_cpuset(self, path: str) -> None:
        """Without CPUs and memory nodes no process can enter: hand on the parents'."""
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            directory = self.directory("/".join(parts[:depth]))
            with contextlib.suppress(FileExistsError):
                os.mkdir(directory)
            operations.note("make_cgroup", directory)
            for name in ("cpuset.cpus", "cpuset.mems"):
                if not read(f"{directory}/{name}").strip():
                    write(f"{directory}/{name}", read(f"{os.path.dirname(directory)}/{name}"))

    def apply(self, path: str, resources: Resources) -> None:
        directory = self.directory(path)
        if "cpu" in self.controllers:
            _apply_cpu(directory, resources)
        if "cpuset" in self.controllers and resources.cpuset_cpus:
            write(f"{directory}/cpuset.cpus", resources.cpuset_cpus)
        if "memory" in self.controllers:
            _apply_memory(directory, resources)
        if "pids" in self.controllers and resources.pids:
            write(f"{directory}/pids.max", str(resources.pids))
        if "blkio" in self.controllers and not resources.io_of_sandbox:
            _apply_io(directory, resources)
        if "hugetlb" in self.controllers:
            self.limit_hugepages(directory, "limit_in_bytes", resources)

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


def _apply_memory(directory: str, resources: Resources) -> None:
    if resources.memory_soft_bytes is not None:
        write(f"{directory}/memory.soft_limit_in_bytes", str(resources.memory_soft_bytes))
    if resources.memory_bytes:
        _limit_memory(directory, resources.memory_bytes, resources.swap_bytes or 0)
    elif resources.swap_bytes == 0:  # v1 limits only both together; this is the next best
        write(f"{directory}/memory.swappiness", str(_NO_SWAP))


def _limit_memory(directory: str, memory_bytes: int, swap_bytes: int) -> None:
    """Memory plus swap has a limit of its own, which must never be below memory's: which is written
    first depends on the limits that were there."""
    limit, with_swap = (
        f"{directory}/memory.limit_in_bytes",
        f"{directory}/memory.memsw.limit_in_bytes",
    )
    values = {limit: memory_bytes}
    if os.path.exists(with_swap):
        values[with_swap] = memory_bytes + swap_bytes
    try:
        for file, value in values.items():
            write(file, str(value))
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        for file, value in reversed(values.items()):
            write(file, str(value))


def _apply_io(directory: str, resources: Resources) -> None:
    for limit in resources.io:
        for name, value in _throttles(limit).items():
            write(f"{directory}/blkio.throttle.{name}", f"{limit.major}:{limit.minor} {value}")
    if resources.io_weight:
        for name in _IO_WEIGHTS:
            if os.path.exists(f"{directory}/{name}"):
                write(f"{directory}/{name}", str(resources.io_weight))
                return
        raise HostUnsupported("the kernel offers no I/O weight: it has no BFQ scheduler")


def _throttles(limit: IoLimit) -> dict[str, int]:
    """0 is the kernel's word for "no limit" as well."""
    return {
        "read_bps_device": limit.read_bps,
        "write_bps_device": limit.write_bps,
        "read_iops_device": limit.read_iops,
        "write_iops_device": limit.write_iops,
    }


def count_io_v1(directory: str, disks: str = "/sys/block") -> None:
    """Have the kernel count what is read from and written to each disk. Since Linux 6.10 it begins
    to only when somebody has configured a limit for the disk; 0, which is none, is enough."""
    for name in os.listdir(disks) if os.path.isdir(disks) else []:
        with contextlib.suppress(OSError):
            if int(read(f"{disks}/{name}/size")):  # a loop device without a file has no size
                number = read(f"{disks}/{name}/dev").strip()
                write(f"{directory}/blkio.throttle.write_bps_device", f"{number} 0")
