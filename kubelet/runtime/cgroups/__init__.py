"""Limits and accounts: a container's cgroups in every hierarchy that matters on this host.

Used by the launcher and the shims (make, join), the kubelet's client (stats, update, removal) and
the clean-up. `Cgroups.detect` finds for each controller whether v1 or v2 has it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass

from kubelet.runtime.cgroups import devices
from kubelet.runtime.cgroups.hierarchy import Hierarchy, write
from kubelet.runtime.cgroups.v1 import HierarchyV1, count_io_v1
from kubelet.runtime.cgroups.v2 import HierarchyV2
from kubelet.runtime.errors import HostUnsupported, RuntimeFailure
from kubelet.runtime.protocol import ContainerStats, Device, Resources

_ALL_V1 = frozenset(
    {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "net_cls",
     "net_prio", "perf_event", "pids", "rdma"}
)  # fmt: skip
NEEDED = frozenset({"cpu", "memory", "pids"})
WANTED_V1 = NEEDED | {"cpuacct", "blkio"}
WANTED_V2 = NEEDED | {"io"}
SHIMS = "shims"  # the cgroup of the launcher and of every shim, below the root
KILL_TIMEOUT_S = 10.0
REMOVE_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Leaf:
    """A cgroup that holds processes: a container's. `devices` are beside those that all have."""

    path: str
    resources: Resources
    devices: tuple[Device, ...] = ()
    all_devices: bool = False


class Cgroups:
    """The cgroups below `root` ("podium-a1b2c3") in all hierarchies. Paths given to the methods
    are relative to it ("kubepods/pod…/…"); "" is the root itself."""

    def __init__(
        self, root: str, hierarchies: list[Hierarchy], devices_v1: HierarchyV1 | None = None
    ) -> None:
        self.root = root
        self.hierarchies = hierarchies
        self.devices_v1 = devices_v1
        self.device_program_fd = -1  # -1: none; only for v2
        self._memory = self._with("memory")

    @classmethod
    def detect(cls, root: str, mountinfo: str = "/proc/self/mountinfo") -> Cgroups:
        with open(mountinfo, encoding="utf-8") as file:
            mounts = list(cgroup_mounts(file))
        v1 = [
            HierarchyV1(point, names & WANTED_V1, ",".join(sorted(names & _ALL_V1)))
            for kind, point, names in mounts
            if kind == "cgroup"
        ]
        v1_with_work = [hierarchy for hierarchy in v1 if hierarchy.controllers]
        found: list[Hierarchy] = [*v1_with_work]
        there = {name for h in v1_with_work for name in h.controllers}
        if "blkio" in there:
            there.add("io")
        for point in (point for kind, point, _ in mounts if kind == "cgroup2"):
            with open(f"{point}/cgroup.controllers", encoding="ascii") as file:
                present = (WANTED_V2 - there) & set(file.read().split())
            if present:
                found.append(HierarchyV2(point, frozenset(present)))
                there |= present
                break
        if missing := NEEDED - there:
            names = ", ".join(sorted(missing))
            raise HostUnsupported(f"the kernel offers no cgroup controller for: {names}")
        with_devices = [
            point for kind, point, names in mounts if kind == "cgroup" and "devices" in names
        ]
        device_tree = HierarchyV1(with_devices[0], frozenset({"devices"})) if with_devices else None
        return cls(root, found, device_tree)

    # The launcher's part, once

    def prepare(self) -> None:
        """Make the root, enter the shims' cgroup, and restrict devices for all that comes after."""
        for hierarchy in self.hierarchies:
            hierarchy.create(self.root, is_leaf=False)
            if "blkio" in hierarchy.controllers:
                count_io_v1(hierarchy.directory(self.root))
        if self.devices_v1:
            self._restrict_devices_v1(self.devices_v1)
        elif self._v2():
            with contextlib.suppress(OSError):  # then `controls_devices` says so
                self.device_program_fd = devices.load_program()
        if (tree := self._v2()) and not self.devices_v1:
            tree.create(f"{self.root}/{SHIMS}", is_leaf=True)
            write(tree.procs_file(f"{self.root}/{SHIMS}"), "0")

    def _restrict_devices_v1(self, tree: HierarchyV1) -> None:
        tree.create(f"{self.root}/{SHIMS}", is_leaf=True)
        devices.restrict_v1(tree.directory(f"{self.root}/{SHIMS}"))
        write(tree.procs_file(f"{self.root}/{SHIMS}"), "0")

    @property
    def controls_devices(self) -> bool:
        return self.devices_v1 is not None or self.device_program_fd >= 0

    # One cgroup

    def create_parent(self, path: str, resources: Resources) -> None:
        """A cgroup that only holds others: a sandbox's."""
        for hierarchy in self.hierarchies:
            hierarchy.create(f"{self.root}/{path}", is_leaf=False)
        self.update(path, resources)

    def create_leaf(self, leaf: Leaf) -> None:
        for hierarchy in self.hierarchies:
            hierarchy.create(f"{self.root}/{leaf.path}", is_leaf=True)
        self.update(leaf.path, leaf.resources)
        if leaf.all_devices:
            return
        if self.devices_v1 and leaf.devices:
            self.devices_v1.create(f"{self.root}/{leaf.path}", is_leaf=True)
            directory = self.devices_v1.directory(f"{self.root}/{leaf.path}")
            devices.restrict_v1(directory, leaf.devices)
        elif (tree := self._v2()) and self.device_program_fd >= 0:
            self._attach_program(leaf, tree.directory(f"{self.root}/{leaf.path}"))

    def _attach_program(self, leaf: Leaf, directory: str) -> None:
        if not leaf.devices:
            devices.attach_program(self.device_program_fd, directory)
            return
        program_fd = devices.load_program(leaf.devices)
        try:
            devices.attach_program(program_fd, directory)
        finally:
            os.close(program_fd)  # the cgroup holds it

    def procs_files(self, leaf: Leaf) -> list[str]:
        """A process enters by writing "0" into each of these."""
        files = [hierarchy.procs_file(f"{self.root}/{leaf.path}") for hierarchy in self.hierarchies]
        if self.devices_v1 and leaf.all_devices:
            files.append(self.devices_v1.procs_file(self.root))
        elif self.devices_v1 and leaf.devices:
            files.append(self.devices_v1.procs_file(f"{self.root}/{leaf.path}"))
        return files

    def update(self, path: str, resources: Resources) -> None:
        for hierarchy in self.hierarchies:
            hierarchy.apply(f"{self.root}/{path}", resources)

    def stats(self, path: str) -> ContainerStats:
        from kubelet.runtime.cgroups import accounts

        return accounts.stats(self.hierarchies, f"{self.root}/{path}")

    def oom_kills(self, path: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self._memory.oom_kills(f"{self.root}/{path}")
        return 0

    # The end of it

    def processes(self, path: str = "") -> set[int]:
        """The pids in it and below, in any hierarchy; for "" the launcher's and shims' as well."""
        trees = [*self.hierarchies, *([self.devices_v1] if self.devices_v1 else [])]
        pids = {pid for tree in trees for pid in tree.processes(self._full(path))}
        return pids - {os.getpid()}

    def kill(self, path: str = "") -> None:
        """SIGKILL everything in it and below and wait until it is gone."""
        for hierarchy in self.hierarchies:
            with contextlib.suppress(FileNotFoundError):
                hierarchy.end_forking(self._full(path))
        deadline = time.monotonic() + KILL_TIMEOUT_S
        while pids := self.processes(path):
            if time.monotonic() > deadline:
                raise RuntimeFailure(
                    f"processes of cgroup {self._full(path)} do not end: {sorted(pids)}"
                )
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)

    def remove(self, path: str = "") -> None:
        """Kill what is in it and remove it with all below; fine if there is nothing."""
        self.kill(path)
        deadline = time.monotonic() + REMOVE_TIMEOUT_S
        trees = [*self.hierarchies, *([self.devices_v1] if self.devices_v1 else [])]
        while trees := [tree for tree in trees if not tree.remove_empty(self._full(path))]:
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"cgroup {trees[0].directory(self._full(path))} stays busy")
            time.sleep(0.002)

    def existing(self) -> list[str]:
        """Every directory of ours, in any hierarchy, the deepest first."""
        trees = [*self.hierarchies, *([self.devices_v1] if self.devices_v1 else [])]
        return [tree.directory(path) for tree in trees for path in tree.walk(self.root)]

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _v2(self) -> HierarchyV2 | None:
        return next((h for h in self.hierarchies if isinstance(h, HierarchyV2)), None)

    def _with(self, controller: str) -> Hierarchy:
        return next(h for h in self.hierarchies if controller in h.controllers)


def cgroup_mounts(lines: Iterable[str]) -> Iterable[tuple[str, str, frozenset[str]]]:
    """(file system type, mount point, super options) of each cgroup mount, once per mount point."""
    seen: set[str] = set()
    for line in lines:
        before, _, after = line.rstrip("\n").partition(" - ")
        kind, _source, options = after.split(" ", 2)
        point = before.split(" ")[4]
        if kind in ("cgroup", "cgroup2") and point not in seen:
            seen.add(point)
            yield kind, point, frozenset(options.split(","))
