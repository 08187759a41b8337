"""The volumes that an image names itself (`VOLUME /data`): a directory of the container's own for
each, with what the image has there.

Room kubelet; called by container_config.py. They lie below the Pod's directory and go with it; a
container that starts anew gets new ones. Source: containerd `internal/cri/server` and
`oci.WithVolumes`, which copy the same way.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from kubelet.image_mounts import mount_layers
from kubelet.runtime import syscalls
from kubelet.runtime.protocol import Mount
from kubelet.runtime.tree_removal import remove_tree

MAX_VOLUMES = 64
_DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class TooManyVolumes(OSError):
    """No honest image has so many: CreateContainerError."""


def image_volumes(
    wanted: Sequence[str], layers: Sequence[str], taken: Iterable[str], directory: Path,
    attempt: int,
) -> list[Mount]:  # fmt: skip
    """Mounts for the paths that the Pod has no volume of its own for. `directory` is for this
    container alone; only this and the last attempt keep theirs. Raises OSError. Safe to repeat."""
    own = {_normal(path) for path in taken}
    paths = sorted({_normal(path) for path in wanted} - own - {"/"})
    if len(paths) > MAX_VOLUMES:
        raise TooManyVolumes(f"the image names {len(paths)} volumes, more than {MAX_VOLUMES}")
    if not paths:
        return []
    _remove_older(directory, attempt)
    place = directory / str(attempt)
    if not place.is_dir():
        _fill(place, paths, layers)
    return [
        Mount(str(place / str(number)), path, ids="private") for number, path in enumerate(paths)
    ]


def _normal(path: str) -> str:
    """ "data/../data/" → "/data"; two leading slashes are one."""
    return "/" + posixpath.normpath(f"/{path}").lstrip("/")


def _remove_older(directory: Path, attempt: int) -> None:
    kept = {str(attempt), str(attempt - 1)}
    for name in os.listdir(directory) if directory.is_dir() else ():
        if name.isdigit() and name not in kept:
            remove_tree(directory / name)


def _fill(place: Path, paths: Sequence[str], layers: Sequence[str]) -> None:
    """All of them, or none: they get their name when they are whole."""
    making, root = place.with_name(".making"), place.with_name(".root")
    remove_tree(making)
    making.mkdir(mode=0o700, parents=True)
    root.mkdir(exist_ok=True)
    mount_layers(layers, str(root))
    try:
        for number, path in enumerate(paths):
            _copy_volume(str(root), path, making / str(number))
    finally:
        syscalls.umount(str(root), syscalls.MNT_DETACH)
    making.rename(place)


def _copy_volume(root: str, path: str, target: Path) -> None:
    """What the image has at that path, links looked up inside it; empty if it has no directory
    there."""
    target.mkdir(mode=0o755)
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        source = syscalls.open_in_root(fd, path, _DIR_FLAGS)
    except (FileNotFoundError, NotADirectoryError):
        return
    finally:
        os.close(fd)
    try:
        _copy_directory(f"/proc/self/fd/{source}", str(target))
    finally:
        os.close(source)


def _copy_directory(source: str, target: str) -> None:
    """`source` cannot change and `target` is nobody else's, so paths are safe."""
    with os.scandir(source) as entries:
        for entry in entries:
            inside = f"{target}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                os.mkdir(inside)
                _copy_directory(entry.path, inside)
            else:
                _copy_file(entry.path, inside)
    _copy_attributes(source, target, os.stat(source), is_link=False)


def _copy_file(source: str, target: str) -> None:
    found = os.lstat(source)
    if stat.S_ISREG(found.st_mode):
        shutil.copyfile(source, target)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(source), target)
    elif stat.S_ISFIFO(found.st_mode):
        os.mkfifo(target)
    else:
        return
    _copy_attributes(source, target, found, is_link=stat.S_ISLNK(found.st_mode))


def _copy_attributes(source: str, target: str, found: os.stat_result, *, is_link: bool) -> None:
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not is_link:
        os.chmod(target, stat.S_IMODE(found.st_mode))
        for name in os.listxattr(source):
            with contextlib.suppress(OSError):  # this disk has none
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns), follow_symlinks=False)
