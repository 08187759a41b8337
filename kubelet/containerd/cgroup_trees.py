"""Cgroups under containerd. runc makes a container's in every tree that is mounted, also in those
that Podium's own engine has no use for, and leaves the parents behind: here they are removed.

Called by daemon.py (to enter) and runtime.py (to remove).
"""

from __future__ import annotations

import time

from kubelet.runtime.cgroups import SHIMS, Cgroups, cgroup_mounts
from kubelet.runtime.cgroups.hierarchy import Hierarchy, write
from kubelet.runtime.cgroups.v1 import HierarchyV1
from kubelet.runtime.errors import RuntimeFailure

REMOVE_TIMEOUT_S = 5.0
_RETRY_S = 0.01


def enter(cgroup_root: str) -> None:
    """Be in the cgroup of engines, where `podium down` finds whoever is started from here."""
    for tree in Cgroups.detect(cgroup_root).hierarchies:
        tree.create(cgroup_root, is_leaf=False)
        tree.create(f"{cgroup_root}/{SHIMS}", is_leaf=True)
        write(tree.procs_file(f"{cgroup_root}/{SHIMS}"), "0")


def remove_everywhere(path: str) -> None:
    """`path` (below the mount points) and all below it, in every tree; nothing may run in it any
    more. RuntimeFailure when something stays busy."""
    deadline = time.monotonic() + REMOVE_TIMEOUT_S
    trees = _every_tree()
    while trees := [tree for tree in trees if not tree.remove_empty(path)]:
        if time.monotonic() > deadline:
            raise RuntimeFailure(f"cgroup {trees[0].directory(path)} stays busy")
        time.sleep(_RETRY_S)


def _every_tree() -> list[Hierarchy]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [HierarchyV1(point, frozenset()) for _kind, point, _names in cgroup_mounts(file)]
