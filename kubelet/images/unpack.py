"""One layer from its tar into a directory that overlayfs can use, safely.

Room kubelet/images. Nothing in a layer can be written outside the directory: names are resolved by
`openat2(RESOLVE_IN_ROOT)` rules done by hand (every parent is opened without following links), devices
are left out, sizes are bounded. Whiteouts become what overlayfs expects: a character device 0/0 for
a deleted name, an attribute for an opaque directory.

Sources: OCI image spec `layer.md`, kernel `filesystems/overlayfs.rst`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tarfile
from typing import IO

MAX_LAYER_BYTES = 16 * 1024**3
MAX_ENTRIES = 1_000_000
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_COPY = 1024 * 1024
_DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class InvalidImage(Exception):
    """The file is no image, is damaged, or tries what no image may; the message says which."""


def unpack_layer(stream: IO[bytes], target: str) -> int:
    """Unpack an uncompressed layer; the bytes of its files. Raises InvalidImage."""
    total = entries = 0
    root = os.open(target, _DIR_FLAGS)
    directories: list[tuple[str, tarfile.TarInfo]] = []
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for member in tar:
                entries += 1
                total += member.size
                if entries > MAX_ENTRIES or total > MAX_LAYER_BYTES:
                    raise InvalidImage(f"a layer with over {MAX_LAYER_BYTES} bytes or {MAX_ENTRIES} entries")
                if _extract(tar, member, root) and member.isdir():
                    directories.append((member.name, member))
        for name, member in reversed(directories):
            _set_directory_time(root, name, member)
    except tarfile.TarError as failure:
        raise InvalidImage(f"a layer is no tar archive: {failure}") from failure
    finally:
        os.close(root)
    return total


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidImage(f"a layer names a path outside the image: {name!r}")
    return parts


def _parent(root: int, parts: list[str], *, make: bool = True) -> int:
    """An fd of the directory that holds the last part; no link is followed on the way."""
    fd = os.dup(root)
    for part in parts[:-1]:
        try:
            deeper = os.open(part, _DIR_FLAGS, dir_fd=fd)
        except FileNotFoundError:
            if not make:
                os.close(fd)
                raise
            os.mkdir(part, 0o755, dir_fd=fd)
            deeper = os.open(part, _DIR_FLAGS, dir_fd=fd)
        except (NotADirectoryError, OSError) as failure:
            os.close(fd)
            raise InvalidImage(f"a layer writes through a link: {'/'.join(parts)!r}") from failure
        os.close(fd)
        fd = deeper
    return fd


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, root: int) -> bool:
    """False for what was left out."""
    parts = _parts(member.name)
    if not parts:
        os.fchmod(root, member.mode & 0o7777)
        return False
    parent = _parent(root, parts)
    try:
        name = parts[-1]
        if name == _OPAQUE:
            os.setxattr(f"/proc/self/fd/{parent}", "trusted.overlay.opaque", b"y")
            return False
        if name.startswith(_WHITEOUT):
            hidden = name.removeprefix(_WHITEOUT)
            if hidden in ("", ".", ".."):
                raise InvalidImage(f"a whiteout of nothing: {member.name!r}")
            _remove(parent, hidden)
            os.mknod(hidden, stat.S_IFCHR | 0o000, os.makedev(0, 0), dir_fd=parent)
            return False
        return _make(tar, member, root, parent, name)
    finally:
        os.close(parent)


def _make(tar: tarfile.TarFile, member: tarfile.TarInfo, root: int, parent: int, name: str) -> bool:
    if member.isdir():
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=parent)
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            _remove(parent, name)
            os.mkdir(name, 0o755, dir_fd=parent)
    else:
        _remove(parent, name)
        if member.isreg():
            _write_file(tar, member, parent, name)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            _hard_link(member, root, parent, name)
            return True  # its owner and mode are those of the file it names
        elif member.isfifo():
            os.mkfifo(name, member.mode & 0o7777, dir_fd=parent)
        else:
            return False  # a device: a container gets its devices from the runtime, never from an image
    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    if not member.issym():
        os.chmod(name, member.mode & 0o7777, dir_fd=parent)
    _set_attributes(member, parent, name)
    moment = int(member.mtime * 1e9)
    os.utime(name, ns=(moment, moment), dir_fd=parent, follow_symlinks=False)
    return True


def _write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, parent: int, name: str) -> None:
    source = tar.extractfile(member)
    if source is None:
        raise InvalidImage(f"a file without content: {member.name!r}")
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(name, flags, 0o600, dir_fd=parent), "wb") as file:
        while piece := source.read(_COPY):
            file.write(piece)


def _hard_link(member: tarfile.TarInfo, root: int, parent: int, name: str) -> None:
    parts = _parts(member.linkname)
    if not parts:
        raise InvalidImage(f"a hard link to the root: {member.name!r}")
    try:
        source = _parent(root, parts, make=False)
    except FileNotFoundError:
        raise InvalidImage(f"a hard link to nothing: {member.name!r} → {member.linkname!r}") from None
    try:
        os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        raise InvalidImage(f"a hard link to nothing: {member.name!r} → {member.linkname!r}") from None
    finally:
        os.close(source)


def _set_attributes(member: tarfile.TarInfo, parent: int, name: str) -> None:
    """Extended attributes but those that mean something to overlayfs: an image must not forge them."""
    for key, value in member.pax_headers.items():
        attribute = key.removeprefix("SCHILY.xattr.")
        if attribute == key or attribute.startswith("trusted."):
            continue
        if member.issym():
            continue
        with contextlib.suppress(OSError):  # a file system without it: the file is there all the same
            os.setxattr(f"/proc/self/fd/{parent}/{name}", attribute, value.encode("utf-8", "surrogateescape"),
                        follow_symlinks=False)  # fmt: skip


def _remove(parent: int, name: str) -> None:
    """What an earlier entry of the same layer left there."""
    try:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        os.unlink(name, dir_fd=parent)
        return
    inside = os.open(name, _DIR_FLAGS, dir_fd=parent)
    try:
        for entry in os.listdir(inside):
            _remove(inside, entry)
    finally:
        os.close(inside)
    os.rmdir(name, dir_fd=parent)


def _set_directory_time(root: int, name: str, member: tarfile.TarInfo) -> None:
    parts = _parts(name)
    parent = _parent(root, parts)
    try:
        moment = int(member.mtime * 1e9)
        with contextlib.suppress(FileNotFoundError):  # a later whiteout of the same layer hid it
            os.utime(parts[-1], ns=(moment, moment), dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)
