"""One layer from its tar into a directory that overlayfs can use, safely.

Room kubelet/images. Nothing is written outside the directory: a name with ".." is refused, and the
directories of a path are opened one by one without following links; a link on the way is followed
by hand, inside the layer's own root. Devices are left out, sizes are bounded. Whiteouts become what
overlayfs expects: a character device 0/0 for a deleted name, an attribute for an opaque directory.

A layer may leave out directories that the layers below have. Made with invented owner and mode they
would hide the right ones (a /tmp that nobody may write to, a /lib that is no link to usr/lib any
more), so they are made as the layers below have them. That is why a layer belongs to a chain.

Sources: OCI image spec `layer.md`, kernel `filesystems/overlayfs.rst`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import stat
import tarfile
from collections import deque
from collections.abc import Sequence
from typing import IO

from kubelet.images.errors import InvalidImage
from kubelet.images.limits import Allowance, Limits
from kubelet.images.tar_stream import Readable, copy, entries

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_RESERVED = ".wh..wh."  # aufs kept notes of its own under such names
_OPAQUE_ATTRIBUTE = "trusted.overlay.opaque"
_DIR_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAX_LINKS = 40  # as the kernel's own path walk
_MAX_ID = 2**32 - 2  # −1 would mean "leave it"
_MAX_TIME_S = 2**33
# A name that is too long, two things of one name, a link that cannot be
_THE_LAYERS_FAULT = (
    errno.ENAMETOOLONG, errno.EINVAL, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOENT,
    errno.ELOOP, errno.EMLINK, errno.EPERM,
)  # fmt: skip


def unpack_layer(
    source: Readable,
    target: str,
    *,
    lower: Sequence[str] = (),
    limits: Limits | None = None,
    allowance: Allowance | None = None,
    what: str = "layer",
) -> None:
    """Unpack an uncompressed layer into an empty directory; `lower` are the layers below, lowest
    first. Raises InvalidImage, or OSError for what is not the layer's fault (a full disk)."""
    limits = limits or Limits()
    allowance = allowance or Allowance(limits, target)
    layer = _Layer(target, lower, limits.depth)
    try:
        for member, content in entries(source, limits, allowance, what):
            try:
                layer.put(member, content)
            except (InvalidImage, ValueError) as failure:  # ValueError: a NUL in a name
                raise InvalidImage(f"{member.name[:200]!r}: {failure}") from failure
            except OSError as failure:
                if failure.errno not in _THE_LAYERS_FAULT:
                    raise
                raise InvalidImage(f"{member.name[:200]!r}: {failure.strerror}") from failure
        layer.set_directory_times()
    except InvalidImage as failure:
        raise InvalidImage(f"{what}: {failure}") from failure
    finally:
        layer.close()


class _Layer:
    """The directory that is being filled."""

    def __init__(self, target: str, lower: Sequence[str], depth: int) -> None:
        self._root = os.open(target, _DIR_FLAGS)
        self._below = _Below(lower)
        self._depth = depth
        self._times: dict[tuple[str, ...], int] = {}  # set at the end: filling changes them
        self._last_parts: tuple[str, ...] = ()
        self._last_fd = -1  # of the directory that held the last entry; −1: none
        self._has_moved = False  # a directory or link was replaced, so a path may lead elsewhere

    def close(self) -> None:
        self._forget_last()
        self._below.close()
        os.close(self._root)

    # ---- the way to an entry ----

    def _parent(self, parts: Sequence[str]) -> int:
        """An fd of the directory that holds the last part, made if need be. Tars are in order, so
        it is mostly the one of the entry before."""
        directory = tuple(parts[:-1])
        if self._last_fd < 0 or self._has_moved or directory != self._last_parts:
            self._forget_last()
            self._has_moved = False
            self._last_fd, _ = self._walk(directory, make=True)
            self._last_parts = directory
        return self._last_fd

    def _forget_last(self) -> None:
        if self._last_fd >= 0:
            os.close(self._last_fd)
            self._last_fd = -1

    def _walk(self, parts: Sequence[str], *, make: bool) -> tuple[int, tuple[str, ...]]:
        """(an fd of that directory, its path without links), as a process sees it whose root is the
        layer. Raises FileNotFoundError if it is not there and not to be made."""
        todo = deque(parts)
        fds, path = [os.dup(self._root)], list[str]()
        followed = 0
        try:
            while todo:
                part = todo.popleft()
                if part == "..":  # only links say so
                    if path:
                        path.pop()
                        os.close(fds.pop())
                    continue
                link = self._step(fds, path, part, make)
                if link is None:
                    continue
                followed += 1
                if followed > _MAX_LINKS:
                    raise InvalidImage("its directory is a link that leads nowhere")
                if link.startswith("/"):
                    while path:
                        path.pop()
                        os.close(fds.pop())
                todo.extendleft(reversed([p for p in link.split("/") if p not in ("", ".")]))
            return fds.pop(), tuple(path)
        finally:
            for fd in fds:
                os.close(fd)

    def _step(self, fds: list[int], path: list[str], part: str, make: bool) -> str | None:
        """One directory deeper; or the target of the link that stands there instead."""
        try:
            deeper = os.open(part, _DIR_FLAGS, dir_fd=fds[-1])
        except FileNotFoundError:
            if not make:
                raise
            if (link := self._make_as_below(fds[-1], (*path, part))) is not None:
                return link
            deeper = os.open(part, _DIR_FLAGS, dir_fd=fds[-1])
        except NotADirectoryError:
            return self._not_a_directory(fds, path, part, make)
        except OSError as failure:
            raise InvalidImage(f"its directory cannot be opened: {failure.strerror}") from failure
        fds.append(deeper)
        path.append(part)
        if len(path) > self._depth:
            raise InvalidImage(f"deeper than {self._depth} directories")
        return None

    def _not_a_directory(
        self, fds: list[int], path: list[str], part: str, make: bool
    ) -> str | None:
        mode = os.stat(part, dir_fd=fds[-1], follow_symlinks=False).st_mode
        if stat.S_ISLNK(mode):
            return os.readlink(part, dir_fd=fds[-1])
        if not stat.S_ISCHR(mode) or not make:
            raise InvalidImage(f"its directory {'/'.join((*path, part))} is a file")
        self._make_directory(fds[-1], part)  # deleted and made anew in one layer
        return self._step(fds, path, part, make)

    def _make_as_below(self, parent: int, path: tuple[str, ...]) -> str | None:
        """A directory that this layer takes for granted; the target if it is a link below."""
        found = self._below.find(path)
        name = path[-1]
        if found is not None and stat.S_ISLNK(found.mode):
            os.symlink(found.link, name, dir_fd=parent)
            os.chown(name, found.uid, found.gid, dir_fd=parent, follow_symlinks=False)
            return found.link
        os.mkdir(name, 0o755, dir_fd=parent)
        if found is not None and stat.S_ISDIR(found.mode):
            os.chown(name, found.uid, found.gid, dir_fd=parent)
            os.chmod(name, stat.S_IMODE(found.mode), dir_fd=parent)
        return None

    # ---- the entry ----

    def put(self, member: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        parts = _parts(member.name)
        if not parts:
            if member.isdir():
                _set_owner_and_mode(self._root, ".", member)
                self._times[()] = _time_ns(member)
            return
        parent, name = self._parent(parts), parts[-1]
        if name.startswith(_WHITEOUT):
            self._whiteout(parent, name)
        elif member.isdir():
            self._make_directory(parent, name)
            _set_owner_and_mode(parent, name, member)
            self._times[self._real(parts)] = _time_ns(member)
        else:
            self._remove(parent, name)
            self._put_file(member, content, parent, name)

    def _real(self, parts: list[str]) -> tuple[str, ...]:
        fd, path = self._walk(parts, make=False)
        os.close(fd)
        return path

    def _put_file(
        self, member: tarfile.TarInfo, content: IO[bytes] | None, parent: int, name: str
    ) -> None:
        if content is not None:
            with open(os.open(name, _FILE_FLAGS, 0o600, dir_fd=parent), "wb") as file:
                copy(content, file.write)
        elif member.issym():
            os.symlink(member.linkname, name, dir_fd=parent)
        elif member.islnk():
            self._hard_link(member.linkname, parent, name)
            return  # owner, mode and time are those of the file that it names
        elif member.isfifo():
            os.mkfifo(name, 0o600, dir_fd=parent)
        else:
            return  # a device: containers get theirs from the runtime, never from an image
        _set_owner_and_mode(parent, name, member)
        _set_attributes(parent, name, member)
        moment = _time_ns(member)
        os.utime(name, ns=(moment, moment), dir_fd=parent, follow_symlinks=False)

    def _make_directory(self, parent: int, name: str) -> None:
        """A directory that hides what an earlier entry or the layers below have, if that was
        hidden."""
        try:
            os.mkdir(name, 0o755, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                return
            self._remove(parent, name)
            os.mkdir(name, 0o755, dir_fd=parent)
            if stat.S_ISCHR(found.st_mode):
                _make_opaque(parent, name)

    def _whiteout(self, parent: int, name: str) -> None:
        """Hides what the layers below have, never what this one has."""
        if name == _OPAQUE:
            _make_opaque(parent, ".")
            return
        hidden = name.removeprefix(_WHITEOUT)
        if name.startswith(_RESERVED):
            return
        if hidden in ("", ".", ".."):
            raise InvalidImage("a whiteout of nothing")
        try:
            found = os.stat(hidden, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            os.mknod(hidden, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)
        else:
            if stat.S_ISDIR(found.st_mode):
                _make_opaque(parent, hidden)

    def _hard_link(self, target: str, parent: int, name: str) -> None:
        parts = _parts(target)
        if not parts:
            raise InvalidImage("a hard link to the root")
        try:
            source, _ = self._walk(parts[:-1], make=False)
        except FileNotFoundError:
            raise InvalidImage(f"a hard link to {target!r}, which is not there") from None
        try:
            if stat.S_ISDIR(os.stat(parts[-1], dir_fd=source, follow_symlinks=False).st_mode):
                raise InvalidImage(f"a hard link to {target!r}, which is a directory")
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            raise InvalidImage(f"a hard link to {target!r}, which is not there") from None
        finally:
            os.close(source)

    def _remove(self, parent: int, name: str) -> None:
        """What an earlier entry of the same layer left there."""
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode):
            _remove_tree(parent, name)
        else:
            os.unlink(name, dir_fd=parent)
        self._has_moved = self._has_moved or not stat.S_ISREG(mode)

    def set_directory_times(self) -> None:
        for path, moment in self._times.items():
            with contextlib.suppress(FileNotFoundError, InvalidImage):  # a later entry replaced it
                fd, _ = self._walk(path, make=False)
                try:
                    os.utime(fd, ns=(moment, moment))
                finally:
                    os.close(fd)


class _Found:
    """What the layers below have under a name."""

    def __init__(self, status: os.stat_result, link: str) -> None:
        self.mode, self.uid, self.gid, self.link = (
            status.st_mode,
            status.st_uid,
            status.st_gid,
            link,
        )


class _Below:
    """The layers below, seen as overlayfs shows them: the topmost that says something is right."""

    def __init__(self, lower: Sequence[str]) -> None:
        self._roots = [os.open(path, _DIR_FLAGS) for path in reversed(lower)]

    def close(self) -> None:
        for root in self._roots:
            os.close(root)

    def find(self, path: tuple[str, ...]) -> _Found | None:
        """None where there is nothing, or it was deleted."""
        for root in self._roots:
            found, is_final = _look(root, path)
            if found is not None or is_final:
                return found
        return None


def _look(root: int, path: tuple[str, ...]) -> tuple[_Found | None, bool]:
    """(what one layer has there, whether it hides the layers below it)."""
    fd, is_opaque = os.dup(root), False
    try:
        for part in path[:-1]:
            deeper = os.open(part, _DIR_FLAGS, dir_fd=fd)
            os.close(fd)
            fd = deeper
            is_opaque = is_opaque or _is_opaque(fd)
        status = os.stat(path[-1], dir_fd=fd, follow_symlinks=False)
        if stat.S_ISCHR(status.st_mode):
            return None, True
        is_link = stat.S_ISLNK(status.st_mode)
        return _Found(status, os.readlink(path[-1], dir_fd=fd) if is_link else ""), True
    except FileNotFoundError:
        return None, is_opaque
    except NotADirectoryError:
        return None, True
    finally:
        os.close(fd)


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, _OPAQUE_ATTRIBUTE) == b"y"
    except OSError:
        return False  # no such attribute


# ---- small things done to one name in one directory ----


def _parts(name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InvalidImage(f"a path that leads out of the image: {name[:200]!r}")
    return parts


def _make_opaque(parent: int, name: str) -> None:
    os.setxattr(f"/proc/self/fd/{parent}/{name}", _OPAQUE_ATTRIBUTE, b"y")


def _set_owner_and_mode(parent: int, name: str, member: tarfile.TarInfo) -> None:
    if not 0 <= member.uid <= _MAX_ID or not 0 <= member.gid <= _MAX_ID:
        raise InvalidImage(f"an owner that cannot be: {member.uid}:{member.gid}")
    os.chown(name, member.uid, member.gid, dir_fd=parent, follow_symlinks=False)
    if not member.issym():
        os.chmod(name, member.mode & 0o7777, dir_fd=parent)


def _set_attributes(parent: int, name: str, member: tarfile.TarInfo) -> None:
    """File capabilities and users' own; not those that mean something to overlayfs or a security
    module, which no image may forge."""
    for key, value in member.pax_headers.items():
        attribute = key.removeprefix("SCHILY.xattr.")
        is_users = attribute.startswith("user.") and not attribute.startswith("user.overlay.")
        if (
            attribute == key
            or member.issym()
            or not (is_users or attribute == "security.capability")
        ):
            continue
        with contextlib.suppress(OSError):  # a disk without them: the file is there all the same
            os.setxattr(
                f"/proc/self/fd/{parent}/{name}",
                attribute,
                value.encode("utf-8", "surrogateescape"),
                follow_symlinks=False,
            )


def _time_ns(member: tarfile.TarInfo) -> int:
    if not math.isfinite(member.mtime):
        return 0
    return int(min(max(member.mtime, 0), _MAX_TIME_S) * 1_000_000_000)


def _remove_tree(parent: int, name: str) -> None:
    """Depth is bounded by what could be unpacked."""
    inside = os.open(name, _DIR_FLAGS, dir_fd=parent)
    try:
        for entry in os.listdir(inside):
            if stat.S_ISDIR(os.stat(entry, dir_fd=inside, follow_symlinks=False).st_mode):
                _remove_tree(inside, entry)
            else:
                os.unlink(entry, dir_fd=inside)
    finally:
        os.close(inside)
    os.rmdir(name, dir_fd=parent)
