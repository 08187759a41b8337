"""How much an image may ask for, and the count of what it has asked for so far.

Room kubelet/images. An image comes from a stranger: a few kilobytes of gzip can unpack to
gigabytes, a tar header can announce a name of a gigabyte, a tree can be deeper than a stack. Every
one of these has a bound here, and the disk is never filled to the brim.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from kubelet.images.errors import InvalidImage, NoRoomForImage

_MIB = 1024**2
_LOOK_AT_THE_DISK_EVERY_BYTES = 16 * _MIB
_LOOK_AT_THE_DISK_EVERY_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one archive or layer. The largest images in use have layers of a few gigabytes."""

    bytes: int = 32 * 1024 * _MIB
    entries: int = 2_000_000
    header_bytes: int = _MIB  # name, link target and attributes of one entry
    depth: int = 256  # directories within directories
    ratio: int = 200  # of unpacked to packed, beyond …
    ratio_from_bytes: int = 1024 * _MIB  # … this size: deflate gets to 1000 with nothing but zeros
    reserve_bytes: int = 256 * _MIB  # of the disk, for the rest of the node
    reserve_inodes: int = 10_000


class Allowance:
    """Counts one archive or layer against the limits; `directory` says which disk."""

    def __init__(self, limits: Limits, directory: str, packed_bytes: int | None = None) -> None:
        """`packed_bytes` None where the size of what is unpacked is not known."""
        self._limits = limits
        self._directory = directory
        self._packed_bytes = packed_bytes
        self._bytes = self._entries = 0
        self._look_at = 0

    def entry(self) -> None:
        self._entries += 1
        if self._entries > self._limits.entries:
            raise InvalidImage(f"more than {self._limits.entries} entries")
        if self._entries % _LOOK_AT_THE_DISK_EVERY_ENTRIES == 0:
            self._check_the_disk(0)

    def more(self, count: int) -> None:
        """So many bytes more are about to be written, or read from a decompressor."""
        self._bytes += count
        if self._bytes > self._limits.bytes:
            raise InvalidImage(f"unpacks to more than {self._limits.bytes} bytes")
        packed = self._packed_bytes
        if packed is not None and self._bytes > max(
            self._limits.ratio_from_bytes, packed * self._limits.ratio
        ):
            raise InvalidImage(
                f"unpacks {packed} bytes to more than {self._limits.ratio} times as many"
            )
        if self._bytes >= self._look_at:
            self._look_at = self._bytes + _LOOK_AT_THE_DISK_EVERY_BYTES
            self._check_the_disk(count)

    def _check_the_disk(self, count: int) -> None:
        disk = os.statvfs(self._directory)
        free = disk.f_bavail * disk.f_frsize
        if free - count < self._limits.reserve_bytes:
            raise NoRoomForImage(
                f"no room on the disk of {self._directory}: {free // _MIB} MiB are free and "
                f"{self._limits.reserve_bytes // _MIB} MiB are kept for the node"
            )
        if disk.f_files and disk.f_favail < self._limits.reserve_inodes:  # some have no such bound
            raise NoRoomForImage(
                f"no room on the disk of {self._directory}: {disk.f_favail} files may be made and "
                f"{self._limits.reserve_inodes} are kept for the node"
            )


def is_full(failure: OSError) -> bool:
    return failure.errno in (errno.ENOSPC, errno.EDQUOT)
