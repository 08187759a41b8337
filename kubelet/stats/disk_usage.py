"""How much disk a directory takes, as du counts it, and how much a file system has left.

Room kubelet; used by sampler.py. Counting reads every file's inode, so an answer is kept for a
while: the larger the directory, the longer.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from kubelet.runtime.disk_usage import disk_usage

KEPT_S = 30.0
KEPT_FOR_EACH_S = 50.0  # a second of counting is paid for by so much rest


@dataclass(frozen=True)
class Usage:
    """What lies below a directory."""

    used_bytes: int
    inodes_used: int


@dataclass(frozen=True)
class FileSystem:
    capacity_bytes: int
    available_bytes: int
    used_bytes: int
    inodes: int
    inodes_free: int


def file_system(path: str) -> FileSystem:
    """The one that holds `path`."""
    found = os.statvfs(path)
    return FileSystem(
        capacity_bytes=found.f_blocks * found.f_frsize,
        available_bytes=found.f_bavail * found.f_frsize,
        used_bytes=(found.f_blocks - found.f_bfree) * found.f_frsize,
        inodes=found.f_files,
        inodes_free=found.f_ffree,
    )


class DiskUsage:
    """Remembers what it has counted. Used by one thread at a time."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Usage]] = {}  # until when, what

    def of(self, path: str) -> Usage:
        """Of a directory that may not exist (any more)."""
        until, usage = self._known.get(path, (0.0, Usage(0, 0)))
        began = time.monotonic()
        if began < until:
            return usage
        usage = count(path)
        ended = time.monotonic()
        self._known[path] = (ended + KEPT_S + KEPT_FOR_EACH_S * (ended - began), usage)
        return usage

    def forget_old(self) -> None:
        """Directories that nobody has asked about since their answers became old."""
        now = time.monotonic()
        self._known = {path: known for path, known in self._known.items() if now < known[0]}


def count(path: str) -> Usage:
    """Blocks and inodes of everything below, on the same file system; links are not followed, and
    a file with several names counts once."""
    found = disk_usage(path)
    return Usage(found.bytes, found.inodes)
