"""What a directory takes of its disk, like du(1), whatever a container does to it meanwhile.

Room kubelet/runtime; called by client.py, and by the kubelet for logs and volumes. One open
directory at a time: down by openat(2) without following links, up by ".." to exactly the directory
it came from. So neither a link nor a renamed directory leads out, and depth costs nothing.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOATIME
_BLOCK_BYTES = 512  # of st_blocks, whatever the filesystem's own


@dataclass(frozen=True, slots=True)
class DiskUsage:
    bytes: int = 0
    inodes: int = 0

    def __add__(self, other: DiskUsage) -> DiskUsage:
        return DiskUsage(self.bytes + other.bytes, self.inodes + other.inodes)


@dataclass(slots=True)
class _Level:
    """A directory on the way down, and which of its directories are still to be seen."""

    identity: tuple[int, int]
    directories: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Count:
    device: int
    bytes: int = 0
    inodes: int = 0
    linked: set[int] = field(default_factory=set)  # inodes of more names than one

    def add(self, status: os.stat_result) -> None:
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
        fd = os.open(path, _FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return DiskUsage()
    try:
        status = os.fstat(fd)
        count = _Count(status.st_dev)
        count.add(status)
        levels = [_look(fd, status, count)]
        while levels:
            if levels[-1].directories:
                inner = _enter(fd, levels[-1].directories.pop(), count)
                if inner is not None:
                    os.close(fd)
                    fd, level = inner
                    levels.append(level)
                continue
            levels.pop()
            if levels:
                outer = os.open("..", _FLAGS & ~os.O_NOATIME, dir_fd=fd)
                os.close(fd)
                fd = outer
                if _identity(os.fstat(fd)) != levels[-1].identity:
                    break
        return DiskUsage(count.bytes, count.inodes)
    finally:
        os.close(fd)


def _enter(fd: int, name: str, count: _Count) -> tuple[int, _Level] | None:
    """None for what is a directory no more."""
    try:
        inner = os.open(name, _FLAGS, dir_fd=fd)
    except OSError:
        return None
    return inner, _look(inner, os.fstat(inner), count)


def _look(fd: int, status: os.stat_result, count: _Count) -> _Level:
    level = _Level(_identity(status))
    with os.scandir(fd) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if found.st_dev != count.device:
                continue
            count.add(found)
            if stat.S_ISDIR(found.st_mode):
                level.directories.append(entry.name)
    return level


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
