"""Tar archives from strangers, entry by entry, from a stream that cannot be rewound.

Room kubelet/images. The standard library's `tarfile` reads; here are the bounds that it lacks.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import IO, Protocol

from kubelet.images.errors import InvalidImage
from kubelet.images.limits import Allowance, Limits

BUFFER_BYTES = 1024 * 1024
_RECORD_BYTES = 10_240  # tars end on a multiple of this
# What tarfile raises for archives that are damaged, or made to be (a long chain of headers)
_DAMAGED = (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError)


class Readable(Protocol):
    """A file, a socket's body, a decompressor."""

    def read(self, size: int, /) -> bytes: ...


Entry = tuple[tarfile.TarInfo, IO[bytes] | None]


class _Bounded:
    """Hands on what it reads while there is an allowance for it. tarfile reads a header whole,
    however long it says that it is; the allowance ends that."""

    def __init__(self, source: Readable, header_bytes: int) -> None:
        self._source = source
        self._header_bytes = header_bytes + 2 * BUFFER_BYTES
        self._left = self._header_bytes

    def expect(self, content_bytes: int) -> None:
        """An entry has begun: its content and one more header may come."""
        self._left = self._header_bytes + content_bytes + _RECORD_BYTES

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise InvalidImage("an entry whose name or attributes are too long")
        return piece


def entries(source: Readable, limits: Limits, allowance: Allowance, what: str) -> Iterator[Entry]:
    """(header, content or None) of every entry. The content is to be read before the next is asked
    for. What is read of the source the caller counts. Raises InvalidImage; `what` begins its
    message: "layer sha256:…"."""
    bounded = _Bounded(source, limits.header_bytes)
    try:
        with tarfile.open(
            fileobj=bounded,  # type: ignore[call-overload]
            mode="r|",
            bufsize=BUFFER_BYTES,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            while (member := tar.next()) is not None:
                tar.members, tar.pax_headers = [], {}  # it would keep those of the whole archive
                allowance.entry()
                if member.size < 0:
                    raise InvalidImage("an entry of a negative size")
                bounded.expect(member.size)
                if member.issparse():  # holes are not in the archive, but may be on the disk
                    allowance.more(member.size)
                yield member, tar.extractfile(member) if member.isreg() else None
    except InvalidImage as failure:
        raise InvalidImage(f"{what}: {failure}") from failure
    except _DAMAGED as failure:
        raise InvalidImage(f"{what} is no tar archive, or a damaged one: {failure}") from failure


def copy(content: IO[bytes], write: Callable[[bytes], object]) -> None:
    """All of an entry's content; raises InvalidImage when the archive ends before it."""
    try:
        while piece := content.read(BUFFER_BYTES):
            write(piece)
    except tarfile.TarError as failure:
        raise InvalidImage(f"the archive is damaged: {failure}") from failure
