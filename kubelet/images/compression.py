"""Layers and archives as they come: plain, gzip or zstd, told apart by how they begin.

Room kubelet/images. zstd is in the standard library from Python 3.14 on; before, the package
`zstandard` is used when it is installed.
"""

from __future__ import annotations

import gzip
import importlib
import io
import zlib
from typing import IO, Any

from kubelet.images.errors import InvalidImage
from kubelet.images.tar_stream import BUFFER_BYTES, Readable

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_MAX_ZSTD_WINDOW_BYTES = 128 * 1024 * 1024  # what a layer may make us keep in memory


class DamagedStream(InvalidImage):
    """It begins like gzip or zstd, but does not go on like it."""


def is_compressed(source: IO[bytes]) -> bool:
    """Of a file, which is left at its start."""
    start = source.read(4)
    source.seek(0)
    return start[:2] == _GZIP or start == _ZSTD


class Decompressed:
    """The plain bytes of a source that may be compressed; `read` raises DamagedStream."""

    def __init__(self, source: Readable) -> None:
        start = b""
        while len(start) < 4 and (piece := source.read(4 - len(start))):
            start += piece
        self._plain = _plain(_Pushed(start, source), start)

    def read(self, size: int) -> bytes:
        try:
            return bytes(self._plain.read(size))
        except (EOFError, gzip.BadGzipFile, zlib.error) as failure:
            raise DamagedStream(f"damaged gzip: {failure}") from failure
        except InvalidImage:
            raise
        except Exception as failure:
            if type(failure).__name__ in ("ZstdError", "ZstdFileError"):
                raise DamagedStream(f"damaged zstd: {failure}") from failure
            raise


class _Pushed(io.RawIOBase):
    """The bytes that were looked at, then the rest. Has only what a decompressor asks for."""

    def __init__(self, start: bytes, rest: Readable) -> None:
        self._start, self._rest = start, rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        return self._rest.read(size if size >= 0 else BUFFER_BYTES)


def _plain(source: _Pushed, start: bytes) -> Any:
    if start[:2] == _GZIP:
        return gzip.GzipFile(fileobj=source, mode="rb")
    if start == _ZSTD:
        return _zstd(source)
    return source


def _zstd(source: _Pushed) -> Any:
    for name in ("compression.zstd", "zstandard"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if name == "zstandard":
            decompressor = module.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW_BYTES)
            return decompressor.stream_reader(source, read_across_frames=True)
        return module.ZstdFile(source, "r")
    raise InvalidImage(
        "compressed with zstd, which this Python cannot read: install the package zstandard, "
        "or save the image with gzip"
    )
