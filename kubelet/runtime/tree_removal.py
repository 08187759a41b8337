"""Removes a directory with all that is in it, however deep a container made it.

Room kubelet/runtime; called by client.py and leftovers.py, and by the kubelet for volumes and
images. One open directory at a time, as in disk_usage.py: down by openat2(2), neither through a
link nor into a mount, up by ".." to exactly the directory it came from. So nothing leads out,
whoever moves what meanwhile, and depth costs a few bytes a level. `shutil.rmtree` of Python 3.11
calls itself and keeps a file open for each level: at a thousand it fails.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field

from kubelet.runtime import syscalls

_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOKS = 8  # at a tree that somebody changes while it is being removed


@dataclass(slots=True)
class _Level:
    """A directory on the way down, and which of its directories are still to be removed."""

    name: str
    identity: tuple[int, int]
    directories: list[str] = field(default_factory=list)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a directory; fine when it is not there. Raises OSError that names what cannot be
    removed: EXDEV for a directory that something is mounted on, ENOTEMPTY if somebody goes on
    filling it, ENOTDIR for a link. Safe to repeat."""
    for _ in range(_LOOKS):
        try:
            _empty(os.fspath(path))
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as failure:
            if failure.errno != errno.ENOTEMPTY:
                raise
        else:
            return
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), os.fspath(path))


def _empty(path: str) -> None:
    """Remove what is found below it in one look. What appears behind its back stays."""
    look = _Look(path)
    try:
        look.run()
    except OSError as failure:
        names = [*(level.name for level in look.levels), failure.filename]
        raise OSError(failure.errno, failure.strerror, "/".join(filter(None, names))) from None
    finally:
        os.close(look.fd)


class _Look:
    """One way through a tree; `fd` is the directory that the last of `levels` tells of."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, _FLAGS)
        self.levels = [_Level(path, _identity(self.fd))]

    def run(self) -> None:
        self._remove_files()
        while self.levels:
            if self.levels[-1].directories:
                self._go_down(self.levels[-1].directories.pop())
            elif len(self.levels) > 1:
                self._go_up()
            else:
                return

    def _go_down(self, name: str) -> None:
        try:
            inner = syscalls.open_same_mount(self.fd, name, _FLAGS)
        except OSError as failure:
            if failure.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return  # no directory any more
            raise
        self._be_at(inner)
        self.levels.append(_Level(name, _identity(inner)))
        self._remove_files()

    def _go_up(self) -> None:
        """Out of an empty directory, which is removed. If it was moved meanwhile, its ".." is none
        of ours: this look ends there."""
        self._be_at(os.open("..", _FLAGS, dir_fd=self.fd))
        done = self.levels.pop()
        if _identity(self.fd) != self.levels[-1].identity:
            self.levels.clear()
            return
        try:
            os.rmdir(done.name, dir_fd=self.fd)
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY):
                raise

    def _remove_files(self) -> None:
        """All but the directories, which it writes down."""
        with os.scandir(self.fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self.levels[-1].directories.append(entry.name)
                    continue
                try:
                    os.unlink(entry.name, dir_fd=self.fd)
                except (FileNotFoundError, IsADirectoryError):
                    continue

    def _be_at(self, fd: int) -> None:
        os.close(self.fd)
        self.fd = fd


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino
