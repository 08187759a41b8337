"""A request's body as a file, of any length and without keeping it in memory.

Room kubelet; called by server.py. Source: RFC 9112, sections 6 and 7.1.
"""

from __future__ import annotations

from email.message import Message
from typing import BinaryIO, cast

PIECE_BYTES = 256 * 1024
_MAX_LINE_BYTES = 1024


class RequestBody:
    """With a Content-Length, or in chunks; `read` raises ValueError when it is cut short."""

    def __init__(self, file: object, headers: Message) -> None:
        self._file = cast(BinaryIO, file)
        self._is_chunked = "chunked" in (headers.get("Transfer-Encoding") or "").lower()
        self._left = 0 if self._is_chunked else int(headers.get("Content-Length") or 0)
        self._is_done = not self._is_chunked and self._left == 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end; all of it with -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(PIECE_BYTES), b""))
        pieces = []
        while size > 0 and not self._is_done:
            piece = self._read_some(size)
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def drain(self) -> None:
        """Read what is left, so that the next request begins at its beginning."""
        while self.read(PIECE_BYTES):
            pass

    def _read_some(self, size: int) -> bytes:
        if self._left == 0:
            self._begin_chunk()
            if self._is_done:
                return b""
        piece = self._file.read(min(size, self._left))
        if not piece:
            raise ValueError("the request's body was cut short")
        self._left -= len(piece)
        if self._left == 0:
            if self._is_chunked:
                self._line()
            else:
                self._is_done = True
        return piece

    def _begin_chunk(self) -> None:
        self._left = int(self._line().split(b";")[0], 16)
        if self._left == 0:
            self._is_done = True
            while self._line():
                pass  # trailers

    def _line(self) -> bytes:
        line = self._file.readline(_MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            raise ValueError("the request's body was cut short")
        return line.strip()
