"""Removes a directory with all that is in it, however deep a container made it.

Room kubelet/runtime; called by client.py and leftovers.py, and by the kubelet for volumes and
images. tree_walk.py tells why nothing leads out. `shutil.rmtree` of Python 3.11 calls itself and
keeps a file open for each level: at a thousand it fails.
"""

from __future__ import annotations

import errno
import os

from kubelet.runtime.tree_walk import TreeWalk

_LOOKS = 8  # at a tree that somebody changes while it is being removed
_NOT_YET = (errno.ENOENT, errno.ENOTDIR, errno.ENOTEMPTY)


def remove_tree(path: str | os.PathLike[str]) -> None:
    """Remove a directory; fine when it is not there. Raises OSError that names what cannot be
    removed: EXDEV for a directory that something is mounted on, ENOTEMPTY if somebody goes on
    filling it, ENOTDIR for a link. Safe to repeat."""
    for _ in range(_LOOKS):
        try:
            _empty(path)
            os.rmdir(path)
        except FileNotFoundError:
            return
        except OSError as failure:
            if failure.errno != errno.ENOTEMPTY:
                raise
        else:
            return
    raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), os.fspath(path))


class _Removal(TreeWalk):
    def left(self, name: str, parent_fd: int) -> None:
        try:
            os.rmdir(name, dir_fd=parent_fd)
        except OSError as failure:
            if failure.errno not in _NOT_YET:
                raise


def _empty(path: str | os.PathLike[str]) -> None:
    """Remove what is found below it in one look. What appears behind its back stays."""
    removal = _Removal(path, with_mounts_refused=True)
    for fd, entries in removal:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                continue
            try:
                os.unlink(entry.name, dir_fd=fd)
            except (FileNotFoundError, IsADirectoryError):
                continue
            except OSError as failure:
                raise removal.named(failure) from None
