"""What the v1 and the v2 driver have in common: one mounted tree of cgroups and its files.

A host may mount several trees (v1: one for each controller or pair), so whoever wants "the cgroup"
of a container talks to `kubelet.runtime.cgroups.Cgroups`, which holds all that matter.
"""

from __future__ import annotations

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator

from kubelet.runtime import operations
from kubelet.runtime.protocol import Resources

PROCS = "cgroup.procs"
_READ_BYTES = 1 << 16


def write(path: str, value: str) -> None:
    """Write one value into a control file; the OSError carries the path and the value."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        message = f"write {value!r}: {os.strerror(error.errno or 0)}"
        raise OSError(error.errno, message, path) from None
    operations.note("write", path, value)


def read(path: str) -> str:
    return read_all(os.open(path, os.O_RDONLY | os.O_CLOEXEC)).decode("ascii")


def read_all(fd: int) -> bytes:
    """What is left of an open file, which is closed. Without Python's own file objects, which cost
    more than the kernel's part."""
    try:
        pieces = []
        while piece := os.read(fd, _READ_BYTES):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(fd)


def read_keyed(path: str, key: str) -> int:
    """The number after `key` in a file of "key number" lines; 0 if the kernel does not say."""
    return read_table(path).get(key, 0)


def read_table(path: str) -> dict[str, int]:
    """A file of "key number" lines."""
    pairs = (line.split() for line in read(path).splitlines())
    return {key: int(value) for key, value in pairs}


class Hierarchy(ABC):
    """One mounted tree. Paths are relative to the mount point: "podium-a1b2c3/kubepods/…"."""

    def __init__(self, mount_point: str, controllers: frozenset[str]) -> None:
        self.mount_point = mount_point
        self.controllers = controllers

    def directory(self, path: str) -> str:
        return f"{self.mount_point}/{path}"

    def procs_file(self, path: str) -> str:
        return f"{self.mount_point}/{path}/{PROCS}"

    @abstractmethod
    def create(self, path: str, *, is_leaf: bool) -> None:
        """Make the cgroup and its parents; one that exists is fine. Only a leaf has processes."""

    @abstractmethod
    def apply(self, path: str, resources: Resources) -> None:
        """Set the limits that are not None or 0 and that this tree's controllers know."""

    def limit_hugepages(self, directory: str, name: str, resources: Resources) -> None:
        """What is faulted in and, where the kernel counts that apart, what is reserved by mmap."""
        for size, limit in resources.hugepages:
            write(f"{directory}/hugetlb.{size}.{name}", str(limit))
            reserved = f"{directory}/hugetlb.{size}.rsvd.{name}"
            if os.path.exists(reserved):
                write(reserved, str(limit))

    @abstractmethod
    def oom_kills(self, path: str) -> int:
        """How many processes of this cgroup the kernel killed for want of memory."""

    @abstractmethod
    def end_forking(self, path: str) -> None:
        """From now on nothing in it can fork, so that a loop of kills comes to an end."""

    def walk(self, path: str) -> Iterator[str]:
        """`path` and every cgroup below it, the deepest first; nothing if there is none."""
        with contextlib.suppress(FileNotFoundError):
            with os.scandir(self.directory(path)) as entries:
                children = [entry.name for entry in entries if entry.is_dir()]
            for name in children:
                yield from self.walk(f"{path}/{name}")
            yield path

    def processes(self, path: str) -> set[int]:
        """The pids in it and below."""
        found: set[int] = set()
        for below in self.walk(path):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found.update(int(pid) for pid in read(self.procs_file(below)).split())
        return found

    def remove_empty(self, path: str) -> bool:
        """rmdir it and all below; False while something still holds one of them."""
        for below in self.walk(path):
            try:
                os.rmdir(self.directory(below))
            except FileNotFoundError:
                continue
            except OSError:
                return False
        return True
