"""A part of a volume for one container, where no link that a container made can lead out of it.

Room kubelet; called by volumes.py. The part is opened with RESOLVE_IN_ROOT (`man 2 openat2`) and
that very file or directory is bound to a place of ours: whatever becomes of the path afterwards,
the container gets what was checked. Source: the vulnerabilities CVE-2017-1002101 and CVE-2021-25741
in Kubernetes, and what was done about them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kubelet.runtime import syscalls


def bind_sub_path(volume: str, sub_path: str, place: Path) -> None:
    """Bind `sub_path` of a volume at `place`, as it is now; a directory that is missing is made.
    Raises OSError. Safe to repeat: containers that have it mounted keep what they have."""
    release(place)
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        part = _open_or_make(root, sub_path)
    finally:
        os.close(root)
    try:
        _put(part, place)
    finally:
        os.close(part)


def release(place: Path) -> None:
    """Unmount it. Safe to repeat."""
    while os.path.ismount(place) or _is_bound_file(place):
        syscalls.umount(str(place), syscalls.MNT_DETACH)


def _is_bound_file(place: Path) -> bool:
    """`ismount` sees only other file systems; a bound file of the same one is in the table."""
    if not place.exists():
        return False
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return any(line.split(" ")[4] == str(place).replace(" ", "\\040") for line in file)


def _put(part: int, place: Path) -> None:
    place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if place.is_dir():
        place.rmdir()
    else:
        place.unlink(missing_ok=True)
    if stat.S_ISDIR(os.fstat(part).st_mode):
        place.mkdir(mode=0o755)
    else:
        place.touch()
    tree = syscalls.open_tree(f"/proc/self/fd/{part}")
    try:
        syscalls.move_mount(tree, str(place))
    finally:
        os.close(tree)


def _open_or_make(root: int, sub_path: str) -> int:
    """An O_PATH fd below `root`."""
    parts = [part for part in sub_path.split("/") if part not in ("", ".")]
    for count in range(1, len(parts) + 1):
        try:
            os.close(syscalls.open_in_root(root, "/".join(parts[:count]), os.O_PATH))
        except FileNotFoundError:
            mode = stat.S_IMODE(os.fstat(root).st_mode)
            parent = "/".join(parts[: count - 1]) or "."
            parent_fd = syscalls.open_in_root(root, parent, os.O_PATH | os.O_DIRECTORY)
            try:
                _make(parts[count - 1], parent_fd, mode)
            finally:
                os.close(parent_fd)
    return syscalls.open_in_root(root, "/".join(parts) or ".", os.O_PATH)


def _make(name: str, parent_fd: int, mode: int) -> None:
    """With the volume's own rights, so that whoever may write to the one may write to the other;
    its group comes from the parent where that is set-group-id."""
    os.mkdir(name, 0o700, dir_fd=parent_fd)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                 dir_fd=parent_fd)  # fmt: skip
    try:
        os.fchmod(fd, mode)
    finally:
        os.close(fd)
