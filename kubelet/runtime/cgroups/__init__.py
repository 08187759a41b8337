"""Limits and accounts: a container's cgroups in every hierarchy that matters on this host.

Used by the launcher and the shims (make, join), the kubelet's client (stats, update, removal) and
the clean-up. `Cgroups.detect` finds for each controller whether v1 or v2 has it. On v1 a tree costs
each container a directory and a move: those of few users (cpuset, hugetlb) are entered on demand.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from kubelet.runtime import operations
from kubelet.runtime.cgroups import devices
from kubelet.runtime.cgroups.hierarchy import Hierarchy, write
from kubelet.runtime.cgroups.v1 import HierarchyV1, count_io_v1
from kubelet.runtime.cgroups.v2 import HierarchyV2
from kubelet.runtime.errors import HostUnsupported, RuntimeFailure
from kubelet.runtime.protocol import ContainerStats, Device, IoLimit, Resources

_ALL_V1 = frozenset(
    {"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory", "net_cls",
     "net_prio", "perf_event", "pids", "rdma"}
)  # fmt: skip
NEEDED = frozenset({"cpu", "memory", "pids"})
WANTED_V1 = NEEDED | {"cpuacct", "blkio"}
WANTED_V2 = NEEDED | {"io"}
ON_DEMAND = frozenset({"cpuset", "hugetlb"})  # on v2 they are handed down with the others
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
        self, root: str, hierarchies: list[Hierarchy], devices_v1: HierarchyV1 | None = None,
        on_demand: Sequence[Hierarchy] = (),
    ) -> None:  # fmt: skip
        self.root = root
        self.hierarchies = hierarchies
        self.devices_v1 = devices_v1
        self.on_demand = on_demand
        self.device_program_fd = -1  # -1: none; only for v2
        self._memory = self._with("memory")

    @classmethod
    def detect(cls, root: str, mountinfo: str = "/proc/self/mountinfo") -> Cgroups:
        with open(mountinfo, encoding="utf-8") as file:
            mounts = list(cgroup_mounts(file))
        v1 = list(_v1_trees(mounts, WANTED_V1 | ON_DEMAND))
        always: list[Hierarchy] = [tree for tree in v1 if tree.controllers & WANTED_V1]
        sometimes: list[Hierarchy] = [tree for tree in v1 if tree not in always]
        there = {name for tree in v1 for name in tree.controllers}
        if "blkio" in there:
            there.add("io")
        later = ON_DEMAND - there
        for point, present in _v2_controllers(mounts):
            if wanted := present & (WANTED_V2 - there):
                always.append(HierarchyV2(point, frozenset(wanted | (present & later))))
                there |= wanted
            elif found := present & later:
                sometimes.append(HierarchyV2(point, frozenset(found)))
        if missing := NEEDED - there:
            names = ", ".join(sorted(missing))
            raise HostUnsupported(f"the kernel offers no cgroup controller for: {names}")
        devices_v1 = next(_v1_trees(mounts, frozenset({"devices"})), None)
        return cls(root, always, devices_v1, sometimes)

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
        for hierarchy in self._trees(resources):
            hierarchy.create(f"{self.root}/{path}", is_leaf=False)
        self.update(path, resources)

    def create_leaf(self, leaf: Leaf) -> None:
        for hierarchy in self._trees(leaf.resources):
            if not _stays_above(hierarchy, leaf.resources):
                hierarchy.create(f"{self.root}/{leaf.path}", is_leaf=True)
        self.update(leaf.path, leaf.resources)
        if leaf.all_devices:
            return
        if self.devices_v1 and leaf.devices:
            self.devices_v1.create(f"{self.root}/{leaf.path}", is_leaf=True)
            directory = self.devices_v1.directory(f"{self.root}/{leaf.path}")
            devices.restrict_v1(directory, leaf.devices)
        elif self.devices_v1:
            shared = self.devices_v1.directory(f"{self.root}/{SHIMS}")
            operations.note("inherit_devices", shared)
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
        files = []
        for tree in self._trees(leaf.resources):
            is_above = _stays_above(tree, leaf.resources)
            path = os.path.dirname(leaf.path) if is_above else leaf.path
            files.append(tree.procs_file(f"{self.root}/{path}"))
        if self.devices_v1 and leaf.all_devices:
            files.append(self.devices_v1.procs_file(self.root))
        elif self.devices_v1 and leaf.devices:
            files.append(self.devices_v1.procs_file(f"{self.root}/{leaf.path}"))
        return files

    def update(self, path: str, resources: Resources) -> None:
        for hierarchy in self._trees(resources):
            hierarchy.apply(f"{self.root}/{path}", resources)

    def limit_io_below(self, path: str, limit: IoLimit, spared: Collection[str] = ()) -> None:
        """Hold `path` and all below it to this, or with 0 to nothing any more. On v2 they share it.
        v1's throttles do not nest: each cgroup has it for itself, but those at and below `spared`,
        which are left as they are. OSError if the kernel does not throttle that device."""
        resources = Resources(io=(limit,))
        self.update(path, resources)
        left = tuple(f"{self._full(one)}/" for one in spared)
        for tree in (one for one in self.hierarchies if "blkio" in one.controllers):
            for below in tree.walk(self._full(path)):
                if not f"{below}/".startswith(left):
                    with contextlib.suppress(OSError):  # it has just ended
                        tree.apply(below, resources)

    def protect_memory(self, path: str, amount_bytes: int) -> None:
        """v2: what is kept back from reclaim below `path`, in all. v1's soft limits need none."""
        if isinstance(self._memory, HierarchyV2):
            write(f"{self._memory.directory(self._full(path))}/memory.low", str(amount_bytes))

    def stats(self, path: str) -> ContainerStats:
        from kubelet.runtime.cgroups import accounts

        below = f"{self.root}/{path}"
        there = [tree for tree in self.hierarchies if os.path.exists(tree.directory(below))]
        return accounts.stats(there, below)

    def limits(self, path: str) -> Resources:
        """What can be resized, read back from the kernel."""
        from kubelet.runtime.cgroups import accounts

        return accounts.limits(self.hierarchies, self._full(path))

    def oom_kills(self, path: str) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self._memory.oom_kills(f"{self.root}/{path}")
        return 0

    # The end of it

    def processes(self, path: str = "") -> set[int]:
        """The pids in it and below, in any hierarchy; for "" the launcher's and shims' as well."""
        trees = self._all_trees()
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
        trees = self._all_trees()
        while trees := [tree for tree in trees if not tree.remove_empty(self._full(path))]:
            if time.monotonic() > deadline:
                raise RuntimeFailure(f"cgroup {trees[0].directory(self._full(path))} stays busy")
            time.sleep(0.002)

    def existing(self) -> list[str]:
        """Every directory of ours, in any hierarchy, the deepest first."""
        trees = self._all_trees()
        return [tree.directory(path) for tree in trees for path in tree.walk(self.root)]

    def _full(self, path: str) -> str:
        return f"{self.root}/{path}" if path else self.root

    def _all_trees(self) -> list[Hierarchy]:
        devices_v1 = [self.devices_v1] if self.devices_v1 else []
        return [*self.hierarchies, *self.on_demand, *devices_v1]

    def _trees(self, resources: Resources) -> list[Hierarchy]:
        """Those that matter for `resources`; HostUnsupported if one would be needed and is not."""
        asked = {
            "cpuset": bool(resources.cpuset_cpus),
            "hugetlb": any(amount for _, amount in resources.hugepages),
            "io": bool(resources.io or resources.io_weight),
        }
        useful = {"cpuset"} if resources.cpuset_cpus else set()
        useful |= {"hugetlb"} if resources.hugepages else set()
        more = [tree for tree in self.on_demand if tree.controllers & useful]
        trees = [*self.hierarchies, *more]
        present = {"io" if name == "blkio" else name for tree in trees for name in tree.controllers}
        if missing := {name for name, is_needed in asked.items() if is_needed} - present:
            names = ", ".join(sorted(missing))
            raise HostUnsupported(f"the kernel offers no cgroup controller for: {names}")
        return trees

    def _v2(self) -> HierarchyV2 | None:
        return next((h for h in self.hierarchies if isinstance(h, HierarchyV2)), None)

    def _with(self, controller: str) -> Hierarchy:
        return next(h for h in self.hierarchies if controller in h.controllers)


def _stays_above(tree: Hierarchy, resources: Resources) -> bool:
    """v1's I/O throttles do not nest: what is to be held to its sandbox's limits must be in the
    sandbox's cgroup."""
    return resources.io_of_sandbox and "blkio" in tree.controllers


_Mount = tuple[str, str, frozenset[str]]


def _v1_trees(mounts: list[_Mount], wanted: frozenset[str]) -> Iterator[HierarchyV1]:
    for kind, point, names in mounts:
        if kind == "cgroup" and names & wanted:
            yield HierarchyV1(point, names & wanted, ",".join(sorted(names & _ALL_V1)))


def _v2_controllers(mounts: list[_Mount]) -> Iterator[tuple[str, set[str]]]:
    """(mount point, controllers) of the one v2 tree, if it is mounted."""
    for kind, point, _ in mounts:
        if kind == "cgroup2":
            with open(f"{point}/cgroup.controllers", encoding="ascii") as file:
                yield point, set(file.read().split())
            return


def cgroup_mounts(lines: Iterable[str]) -> Iterator[_Mount]:
    """(file system type, mount point, super options) of each cgroup mount, once per mount point."""
    seen: set[str] = set()
    for line in lines:
        before, _, after = line.rstrip("\n").partition(" - ")
        kind, _source, options = after.split(" ", 2)
        point = before.split(" ")[4]
        if kind in ("cgroup", "cgroup2") and point not in seen:
            seen.add(point)
            yield kind, point, frozenset(options.split(","))
