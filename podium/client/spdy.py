"""SPDY/3.1 as Kubernetes' clients speak it: several streams in one connection. No I/O in here.

Room podium/client; used by the kubelet, which serves it, and by `podium port-forward`. A frame is
eight bytes and a payload:

    control: 1, version (15 bits), type (16)  | flags (8), length (24) | payload
    data:    0, stream (31)                   | flags (8), length (24) | payload

The names and values of a control frame's headers are compressed by one zlib stream a direction,
which begins with a dictionary that both sides know. The client's streams are odd, the server's
even.

Flow control: what we have consumed we give back as WINDOW_UPDATE, so that a client which counts
its windows is never stuck. Ours are not counted: Kubernetes' own SPDY library never sends an
update, and whoever waited for one would wait for ever. What holds a sender back is TCP, as in
Kubernetes.

Source: the SPDY/3.1 draft (mbelshe-httpbis-spdy-00), sections 2.2 to 2.6.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = (
    1, 2, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
FIN = 1  # flag: nothing more comes on this stream from its sender
REFUSED_STREAM, CANCEL = 3, 5  # why a stream is reset
MAX_CONTROL_BYTES = 64 * 1024
MAX_HEADERS_BYTES = 64 * 1024  # unpacked
MAX_STREAMS = 1000  # open at once
_CONTROL = 1 << 31
_HEAD = struct.Struct(">II")
_WORD = struct.Struct(">I")


_WORDS = """
    options head post put delete trace accept accept-charset accept-encoding accept-language
    accept-ranges age allow authorization cache-control connection content-base content-encoding
    content-language content-length content-location content-md5 content-range content-type date
    etag expect expires from host if-match if-modified-since if-none-match if-range
    if-unmodified-since last-modified location max-forwards pragma proxy-authenticate
    proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade
    user-agent vary via warning www-authenticate method get status
"""


class Gone(Exception):
    """The other end goes away, or does not speak the protocol."""


def _dictionary() -> bytes:
    """Words with their lengths before them, as in a header block, then text (section 2.6.10.1)."""
    words = [
        *_WORDS.split(),
        "200 OK",
        "version",
        "HTTP/1.1",
        "url",
        "public",
        "set-cookie",
        "keep-alive",
        "origin",
    ]
    text = (
        "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
        "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
        "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
        "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue,"
        " Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
        "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age="
        "gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
    )
    return b"".join(_sized(word.encode()) for word in words) + text.encode()


def _sized(data: bytes) -> bytes:
    return _WORD.pack(len(data)) + data


DICTIONARY = _dictionary()


@dataclass(frozen=True)
class Opened:
    """A new stream; names are in lower case, several values of one name are joined by NUL."""

    stream: int
    headers: dict[str, str]
    is_last: bool


@dataclass(frozen=True)
class Data:
    """A piece of a stream; after `is_last` nothing more comes on it."""

    stream: int
    data: bytes
    is_last: bool


@dataclass(frozen=True)
class Reset:
    """The other end is not interested in the stream any more."""

    stream: int


Event = Opened | Data | Reset


def control_frame(kind: int, payload: bytes, flags: int = 0) -> bytes:
    return _HEAD.pack(_CONTROL | VERSION << 16 | kind, flags << 24 | len(payload)) + payload


def data_frame(stream: int, data: bytes, flags: int = 0) -> bytes:
    return _HEAD.pack(stream, flags << 24 | len(data)) + data


class HeaderBlocks:
    """The two zlib streams of one end of a connection."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(zdict=DICTIONARY)
        self._unpacker = zlib.decompressobj(zdict=DICTIONARY)

    def pack(self, headers: dict[str, str]) -> bytes:
        plain = _WORD.pack(len(headers)) + b"".join(
            _sized(name.encode()) + _sized(value.encode()) for name, value in headers.items()
        )
        return self._packer.compress(plain) + self._packer.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, block: bytes) -> dict[str, str]:
        """Raises Gone: with a block that cannot be read all later ones are lost."""
        try:
            plain = self._unpacker.decompress(block, MAX_HEADERS_BYTES)
            if self._unpacker.unconsumed_tail:
                raise Gone("a header block is too large")
            words = _words(plain)
            return {next(words): next(words) for _ in range(_WORD.unpack_from(plain)[0])}
        except (zlib.error, struct.error, UnicodeDecodeError, StopIteration) as failure:
            raise Gone(f"a header block cannot be read: {failure!r}") from failure


def _words(plain: bytes) -> Iterator[str]:
    at = _WORD.size
    while at < len(plain):
        (size,) = _WORD.unpack_from(plain, at)
        at += _WORD.size + size
        yield plain[at - size : at].decode()


class Session:
    """One end of a connection. `send` takes the bytes for the other end."""

    def __init__(self, send: Callable[[bytes], object], *, is_client: bool = False) -> None:
        self._send = send
        self._blocks = HeaderBlocks()
        self._next_stream = 1 if is_client else 2
        self._peers_parity = 0 if is_client else 1
        self._buffer = bytearray()
        self._stream, self._left, self._is_last = 0, 0, False  # of the DATA frame being read

    def feed(self, data: bytes) -> Iterator[Event]:
        """What the bytes complete; a DATA frame is told of in the pieces in which it comes. Answers
        pings. Raises Gone when the other end does not speak SPDY/3, or says that it goes."""
        self._buffer += data
        while self._left or len(self._buffer) >= _HEAD.size:
            if self._left:
                if not self._buffer:
                    return
                yield self._piece()
                continue
            first, second = _HEAD.unpack_from(self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first & _CONTROL:
                del self._buffer[: _HEAD.size]
                self._stream, self._left, self._is_last = first, length, bool(flags & FIN)
                if not length:
                    yield Data(first, b"", self._is_last)
                continue
            if first >> 16 & 0x7FFF != VERSION or length > MAX_CONTROL_BYTES:
                raise Gone("this is not SPDY/3")
            if len(self._buffer) < _HEAD.size + length:
                return
            payload = bytes(self._buffer[_HEAD.size : _HEAD.size + length])
            del self._buffer[: _HEAD.size + length]
            yield from self._control(first & 0xFFFF, flags, payload)

    def _piece(self) -> Data:
        piece = bytes(self._buffer[: self._left])
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        return Data(self._stream, piece, self._is_last and not self._left)

    def _control(self, kind: int, flags: int, payload: bytes) -> Iterator[Event]:
        try:
            stream = _WORD.unpack_from(payload)[0]
        except struct.error as failure:
            raise Gone("a control frame is too short") from failure
        match kind:
            case _ if kind == SYN_STREAM:  # stream, associated stream, priority and slot, headers
                yield Opened(stream, self._blocks.unpack(payload[10:]), bool(flags & FIN))
            case _ if kind == RST_STREAM:
                yield Reset(stream)
            case _ if kind in (SYN_REPLY, HEADERS):  # of no interest but for the zlib stream
                self._blocks.unpack(payload[4:])
            case _ if kind == PING and stream & 1 == self._peers_parity:  # to be sent back
                self._send(control_frame(PING, payload))
            case _ if kind == GOAWAY:
                raise Gone("the other end goes away")

    def open(self, headers: dict[str, str]) -> int:
        """A new stream; data may follow at once. Raises Gone, as all that follow."""
        stream, self._next_stream = self._next_stream, self._next_stream + 2
        payload = struct.pack(">IIH", stream, 0, 0) + self._blocks.pack(headers)
        self._send(control_frame(SYN_STREAM, payload))
        return stream

    def reply(self, stream: int) -> None:
        """Accept a stream; must come before data."""
        self._send(control_frame(SYN_REPLY, _WORD.pack(stream) + self._blocks.pack({})))

    def reset(self, stream: int, why: int) -> None:
        self._send(control_frame(RST_STREAM, _HEAD.pack(stream, why)))

    def write(self, stream: int, data: bytes, *, is_last: bool = False) -> None:
        self._send(data_frame(stream, data, FIN if is_last else 0))

    def consumed(self, stream: int, count: int) -> None:
        """Let the client send as much again, on this stream and in all (stream 0)."""
        if count:
            for number in (stream, 0):
                self._send(control_frame(WINDOW_UPDATE, _HEAD.pack(number, count)))
