"""What a directory takes of its disk, like du(1), whatever a container does to it meanwhile.

Room kubelet/runtime; called by client.py, and by the kubelet for logs and volumes. tree_walk.py
tells why nothing leads out.
"""

from __future__ import annotations

import contextlib
import os
import stat
from dataclasses import dataclass, field

from kubelet.runtime.tree_walk import TreeWalk

_BLOCK_BYTES = 512  # of st_blocks, whatever the filesystem's own


@dataclass(frozen=True, slots=True)
class DiskUsage:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: DiskUsage) -> DiskUsage:
        return DiskUsage(self.bytes + other.bytes, self.inodes + other.inodes)


@dataclass(slots=True)
class _Count:
    device: int
    bytes: int = 0
    inodes: int = 0
    linked: set[int] = field(default_factory=set)  # inodes of more names than one

    def add(self, status: os.stat_result) -> None:
        if status.st_dev != self.device:
            return
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            if status.st_ino in self.linked:
                return
            self.linked.add(status.st_ino)
        self.bytes += status.st_blocks * _BLOCK_BYTES
        self.inodes += 1


def disk_usage(path: str) -> DiskUsage:
    """Of everything below it on the same filesystem; nothing where there is no such directory. If
    directories are moved while it looks, it tells of those it has seen."""
    if not path:
        return DiskUsage()
    try:
        top = os.lstat(path)
        count = _Count(top.st_dev)
        count.add(top)
        for _, entries in TreeWalk(path):
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):  # it has just been removed
                    count.add(entry.stat(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return DiskUsage()
    return DiskUsage(count.bytes, count.inodes)
