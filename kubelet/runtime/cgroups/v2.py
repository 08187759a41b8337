"""cgroup v2: one tree for all controllers (kernel: Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import contextlib
import os

from kubelet.runtime import operations
from kubelet.runtime.cgroups.hierarchy import Hierarchy, read, read_keyed, write
from kubelet.runtime.errors import HostUnsupported
from kubelet.runtime.protocol import IoLimit, Resources

_IO_WEIGHTS = ("io.weight", "io.bfq.weight")


class HierarchyV2(Hierarchy):
    """The unified tree.

    A controller works in a cgroup only if every ancestor hands it down in
    `cgroup.subtree_control`. systemd may change the root's, but the kernel refuses to take back a
    controller that a child hands on, and ours do.
    """

    def create(self, path: str, *, is_leaf: bool) -> None:
        directory = self.directory(path)
        try:
            os.mkdir(directory)
        except FileNotFoundError:
            self.create(os.path.dirname(path), is_leaf=False)
            os.mkdir(directory)
        except FileExistsError:
            pass
        operations.note("make_cgroup", directory)
        if not self.controllers <= _handed(directory):
            self._hand_down_from_the_top(path)
        if is_leaf:
            self._kill_as_one(directory)
        else:
            self._hand_down(directory)

    def _hand_down_from_the_top(self, path: str) -> None:
        parts = os.path.dirname(path).split("/") if "/" in path else []
        for depth in range(len(parts) + 1):
            self._hand_down(self.directory("/".join(parts[:depth])).rstrip("/"))

    def _hand_down(self, directory: str) -> None:
        write(
            f"{directory}/cgroup.subtree_control",
            " ".join(f"+{name}" for name in sorted(self.controllers)),
        )

    def _kill_as_one(self, directory: str) -> None:
        """For want of memory a container ends as a whole, as Kubernetes has it since 1.28."""
        group_file = f"{directory}/memory.oom.group"
        if os.path.exists(group_file):
            write(group_file, "1")

    def apply(self, path: str, resources: Resources) -> None:
        directory = self.directory(path)
        if "cpu" in self.controllers:
            _apply_cpu(directory, resources)
        if "cpuset" in self.controllers and resources.cpuset_cpus:
            write(f"{directory}/cpuset.cpus", resources.cpuset_cpus)
        if "memory" in self.controllers:
            _apply_memory(directory, resources)
        if resources.pids and "pids" in self.controllers:
            write(f"{directory}/pids.max", str(resources.pids))
        if "io" in self.controllers:
            _apply_io(directory, resources)
        if "hugetlb" in self.controllers:
            self.limit_hugepages(directory, "max", resources)

    def oom_kills(self, path: str) -> int:
        return read_keyed(f"{self.directory(path)}/memory.events", "oom_kill")

    def end_forking(self, path: str) -> None:
        """Kills at once what is in it and below (since Linux 5.14); new forks die with it."""
        file = f"{self.directory(path)}/cgroup.kill"
        if os.path.exists(file):
            write(file, "1")


def _handed(directory: str) -> frozenset[str]:
    """The controllers that the parent hands to this cgroup; systemd's root hands on only some."""
    with contextlib.suppress(FileNotFoundError):
        return frozenset(read(f"{directory}/cgroup.controllers").split())
    return frozenset()


def _apply_cpu(directory: str, resources: Resources) -> None:
    if resources.cpu_shares:
        write(f"{directory}/cpu.weight", str(cpu_weight(resources.cpu_shares)))
    if resources.cpu_quota_us:
        quota = "max" if resources.cpu_quota_us < 0 else resources.cpu_quota_us
        write(f"{directory}/cpu.max", f"{quota} {resources.cpu_period_us}")


def _apply_memory(directory: str, resources: Resources) -> None:
    if resources.memory_soft_bytes is not None:
        write(f"{directory}/memory.low", str(resources.memory_soft_bytes))
    if resources.memory_bytes:
        write(f"{directory}/memory.max", str(resources.memory_bytes))
    if resources.memory_bytes or resources.swap_bytes is not None:
        swap = f"{directory}/memory.swap.max"
        if os.path.exists(swap):  # a kernel without swap accounting has no such file
            write(swap, str(resources.swap_bytes or 0))


def _apply_io(directory: str, resources: Resources) -> None:
    for limit in resources.io:
        words = " ".join(f"{name}={value or 'max'}" for name, value in _limits(limit).items())
        write(f"{directory}/io.max", f"{limit.major}:{limit.minor} {words}")
    if resources.io_weight:
        files = [f"{directory}/{name}" for name in _IO_WEIGHTS]
        there = [file for file in files if os.path.exists(file)]
        for file in there:
            write(file, str(resources.io_weight))
        if not there:
            raise HostUnsupported("the kernel offers no I/O weight: no iocost and no BFQ scheduler")


def _limits(limit: IoLimit) -> dict[str, int]:
    return {
        "rbps": limit.read_bps,
        "wbps": limit.write_bps,
        "riops": limit.read_iops,
        "wiops": limit.write_iops,
    }


def cpu_weight(shares: int) -> int:
    """v1's scale 2…262144 on v2's scale 1…10000, converted as the OCI runtimes do."""
    return 1 + (max(2, min(shares, 262_144)) - 2) * 9999 // 262_142
