"""Gives a volume to a Pod's fsGroup: every file's group, and the rights that go with it.

Room kubelet; called by volumes.py before the first container starts. Works by descriptors and never
follows a link (tree_walk.py), for other containers may be writing to the volume at the same time.
Source: Kubernetes `pkg/volume/volume_linux.go`.
"""

from __future__ import annotations

import os
import stat

from kubelet.runtime.tree_walk import TreeWalk

READ_WRITE, EXECUTE = 0o660, 0o110


def give_to_group(directory: str, group: int, policy: str | None = None) -> None:
    """With `policy` "OnRootMismatch" not if the directory itself is already as it should be: it is
    the last to be given, so that a walk that was cut short is made again."""
    root = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if policy == "OnRootMismatch" and _is_given(os.fstat(root), group):
            return
        for here, entries in TreeWalk(directory):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    _give(entry.name, here, group)
            if not os.path.sameopenfile(here, root):
                _give_directory(here, group)
        _give_directory(root, group)
    finally:
        os.close(root)


def _is_given(found: os.stat_result, group: int) -> bool:
    wanted = stat.S_ISGID | READ_WRITE | EXECUTE
    return found.st_gid == group and found.st_mode & wanted == wanted


def _give(name: str, here: int, group: int) -> None:
    """A file of any kind; a link itself, not what it leads to."""
    try:
        found = os.stat(name, dir_fd=here, follow_symlinks=False)
    except FileNotFoundError:
        return  # somebody else's container has just removed it
    os.chown(name, -1, group, dir_fd=here, follow_symlinks=False)
    if not stat.S_ISREG(found.st_mode):
        return
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            mode = stat.S_IMODE(found.st_mode) | READ_WRITE
            os.chmod(f"/proc/self/fd/{fd}", mode)
    finally:
        os.close(fd)


def _give_directory(fd: int, group: int) -> None:
    os.fchown(fd, -1, group)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    os.fchmod(fd, mode | READ_WRITE | EXECUTE | stat.S_ISGID)
