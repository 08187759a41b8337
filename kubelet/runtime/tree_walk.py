"""Walks through a directory's tree, however deep a container made it and whoever changes it.

Room kubelet/runtime; used to remove trees, to give them away and to measure them. One open
directory at a time: down by openat2(2), neither through a link nor into a mount, up by ".." to
exactly the directory it came from. So nothing leads out, whoever moves what meanwhile, and depth
costs a few bytes a level. `os.fwalk` of Python 3.11 calls itself and keeps a file open for each
level: at a thousand it fails.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from kubelet.runtime import syscalls

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_DIRECTORY_ANY_MORE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


@dataclass(slots=True)
class _Level:
    """A directory on the way down, and which of its directories are still to be seen."""

    name: str
    identity: tuple[int, int]
    directories: list[str] = field(default_factory=list)


class TreeWalk:
    """One way through a tree, from its top down. Iterate once: it gives each directory's
    descriptor, open until the next is asked for, and its entries. Raises OSError whose filename
    says where.

    With `with_mounts_refused` a directory that something is mounted on is EXDEV; otherwise it is
    passed by."""

    def __init__(self, path: str | os.PathLike[str], *, with_mounts_refused: bool = False) -> None:
        self._path = os.fspath(path)
        self._refuses_mounts = with_mounts_refused
        self._levels: list[_Level] = []
        self._fd = -1

    def __iter__(self) -> Iterator[tuple[int, list[os.DirEntry[str]]]]:
        self._fd = os.open(self._path, _FLAGS)
        try:
            yield self._fd, self._enter(self._path)
            while self._levels:
                if not self._levels[-1].directories:
                    self._go_up()
                elif self._is_entered(name := self._levels[-1].directories.pop()):
                    yield self._fd, self._enter(name)
        except OSError as failure:
            raise self.named(failure) from None
        finally:
            os.close(self._fd)

    def named(self, failure: OSError) -> OSError:
        """The same failure, of something where the walk is, with its whole path."""
        names = [*(level.name for level in self._levels), failure.filename]
        where = "/".join(name for name in names if isinstance(name, str))
        return OSError(failure.errno, failure.strerror, where)

    def left(self, name: str, parent_fd: int) -> None:
        """Told when everything in a directory has been seen. For who wants to know."""

    def _enter(self, name: str) -> list[os.DirEntry[str]]:
        level = _Level(name, _identity(self._fd))
        self._levels.append(level)
        with os.scandir(self._fd) as found:
            entries = list(found)
        level.directories += [each.name for each in entries if each.is_dir(follow_symlinks=False)]
        return entries

    def _is_entered(self, name: str) -> bool:
        try:
            inner = syscalls.open_same_mount(self._fd, name, _FLAGS)
        except OSError as failure:
            is_passed_by = failure.errno == errno.EXDEV and not self._refuses_mounts
            if is_passed_by or failure.errno in _NO_DIRECTORY_ANY_MORE:
                return False
            raise
        self._be_at(inner)
        return True

    def _go_up(self) -> None:
        """If the directory was moved meanwhile, its ".." is none of ours: the walk ends there."""
        done = self._levels.pop()
        if not self._levels:
            return
        self._be_at(os.open("..", _FLAGS, dir_fd=self._fd))
        if _identity(self._fd) == self._levels[-1].identity:
            self.left(done.name, self._fd)
        else:
            self._levels.clear()

    def _be_at(self, fd: int) -> None:
        os.close(self._fd)
        self._fd = fd


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
