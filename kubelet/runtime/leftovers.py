"""Whatever the engine made on this machine, found by path and cgroup and not by its records.

For `podium down` and for tests: it works whether or not launcher, shims or records are alive.
"""

from __future__ import annotations

import contextlib
import os

from kubelet.runtime import syscalls
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.tree_removal import remove_tree

_UNMOUNT_TRIES = 100


def find_leftovers(root: str, cgroup_root: str) -> list[str]:
    """One line for each process, mount, cgroup and directory that is still there."""
    cgroups = Cgroups.detect(cgroup_root)
    lines = [f"process {pid}" for pid in sorted(cgroups.processes())]
    lines += [f"mount {point}" for point in _mounts_below(root)]
    lines += [f"cgroup {directory}" for directory in cgroups.existing()]
    return lines + ([f"directory {root}"] if os.path.exists(root) else [])


def remove_everything(root: str, cgroup_root: str) -> None:
    """Kill every process below the cgroup root, launcher and shims included, and remove all that
    was made for them. Safe to repeat. Log files lie elsewhere and stay."""
    Cgroups.detect(cgroup_root).remove()
    for _ in range(_UNMOUNT_TRIES):
        points = _mounts_below(root)
        if not points:
            break
        for point in points:
            with contextlib.suppress(FileNotFoundError):
                syscalls.umount(point, syscalls.MNT_DETACH)
    try:
        remove_tree(root)
    except OSError as error:
        raise RuntimeFailure(f"remove {error.filename or root}: {error.strerror}") from None


def _mounts_below(root: str) -> list[str]:
    """Mount points of this mount namespace in `root`, the deepest first."""
    inside = os.path.realpath(root) + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [_unescape(line.split(" ")[4]) for line in file]
    return sorted((point for point in points if point.startswith(inside)), key=len, reverse=True)


def _unescape(path: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal (`man 5 proc_pid_mountinfo`)."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
