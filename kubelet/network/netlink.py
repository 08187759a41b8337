"""Netlink by hand: messages, attributes, a socket that talks to the kernel.

Room kubelet/network; no thread or namespace of its own. A netlink message is a header, a struct of
its family, and attributes: each a length, a kind and a payload, padded to four bytes, and
attributes may hold attributes. That is all there is to it, and it is why this file is short. (`man
7 netlink`; why not pyroute2 in the kubelet: docs/decisions/netlink-by-hand.md. The tests hold these
bytes against pyroute2's.)
"""

from __future__ import annotations

import errno
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

REQUEST, ACK, DUMP = 0x1, 0x4, 0x300
REPLACE, EXCL, CREATE = 0x100, 0x200, 0x400
_DUMP_WAS_INTERRUPTED = 0x10
_HEADER_IS_CAPPED, _HAS_EXTENDED_ACK = 0x100, 0x200
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_KIND_MASK = 0x3FFF
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")  # length, kind
_SOL_NETLINK, _CAP_ACK, _EXT_ACK = 270, 10, 11
_EXT_ACK_MESSAGE = 1

_BUFFER_BYTES = 1 << 18
_ANSWER_TIMEOUT_S = (
    30.0  # the kernel answers before send returns; this bounds a kernel that is stuck
)
_DUMP_TRIES = 10  # the kernel says when the world changed under a dump


@dataclass(frozen=True, slots=True)
class Request:
    """One message. `says` is for people: "add interface pod1234"; `by_hand` is the command that
    does the same, where one stands for what is done for a Pod."""

    kind: int
    flags: int
    body: bytes
    says: str
    is_answered: bool = (
        True  # not the edges of a batch: those are answered only when it fails as a whole
    )
    by_hand: tuple[str, ...] = ()


def attribute(kind: int, payload: bytes) -> bytes:
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(attributes))


def u8(kind: int, value: int) -> bytes:
    return attribute(kind, bytes((value,)))


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("=I", value))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def read_attributes(data: bytes) -> dict[int, bytes]:
    """Payload by kind; a kind that comes twice keeps its last."""
    return dict(_attributes(data))


def list_attributes(data: bytes) -> list[bytes]:
    """The payloads of a list, all of one kind, in order."""
    return [payload for _, payload in _attributes(data)]


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < 4:
            break  # padding at the end
        yield kind & _KIND_MASK, data[at + 4 : at + length]
        at += (length + 3) & ~3


def read_text(payload: bytes | None) -> str:
    return (payload or b"").rstrip(b"\0").decode(errors="replace")


class Netlink:
    """One conversation with the network stack of the namespace in which the socket was made. For
    one thread at a time; opening one costs 10 µs, so nobody needs to share."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.settimeout(_ANSWER_TIMEOUT_S)
        for option in (_CAP_ACK, _EXT_ACK):  # answers without our own words, but with the kernel's
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = itertools.count(1)

    @classmethod
    def open(cls, protocol: int = socket.NETLINK_ROUTE) -> Netlink:
        """In the calling thread's namespace."""
        return cls(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol))

    def __enter__(self) -> Netlink:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._socket.close()

    def send(self, *requests: Request) -> None:
        """All of them in one system call, in order; the kernel goes on after one that fails. Raises
        OSError for the first that failed, with what it said and in the kernel's own words."""
        sent = {next(self._sequence): request for request in requests}
        self._socket.send(
            b"".join(_message(r, number, ACK * r.is_answered) for number, r in sent.items())
        )
        failures: dict[int, OSError] = {}
        waiting = {number for number, request in sent.items() if request.is_answered}
        while waiting:
            for kind, flags, number, body in self._receive():
                if kind != _ERROR or number not in sent:
                    continue
                failure = _failure(sent[number], flags, body)
                if failure is not None:
                    failures[number] = failure
                if failure is not None and not sent[number].is_answered:
                    waiting.clear()
                waiting.discard(number)
        if failures:
            raise failures[min(failures)]

    def ask(self, request: Request) -> bytes:
        """The body of the one message that answers."""
        number = next(self._sequence)
        self._socket.send(_message(request, number))
        while True:
            for _, body in self._answers(request, number):
                return bytes(body)

    def dump(self, request: Request) -> list[bytes]:
        """The bodies of all messages that answer, of a world that did not change meanwhile."""
        for _ in range(_DUMP_TRIES):
            bodies = self._dump_once(request)
            if bodies is not None:
                return bodies
        raise OSError(
            errno.EAGAIN, f"{request.says}: the network changes faster than it can be read"
        )

    def _dump_once(self, request: Request) -> list[bytes] | None:
        number = next(self._sequence)
        self._socket.send(_message(request, number, DUMP))
        bodies: list[bytes] = []
        is_whole = True
        while True:
            for flags, body in self._answers(request, number):
                is_whole = is_whole and not flags & _DUMP_WAS_INTERRUPTED
                if body is None:
                    return bodies if is_whole else None
                bodies.append(body)

    def _answers(self, request: Request, number: int) -> Iterator[tuple[int, Any]]:
        """(flags, body) of each answer in the next datagram, body None at the end of a dump."""
        for kind, flags, answers, body in self._receive():
            if answers != number:
                continue
            if kind == _ERROR and (failure := _failure(request, flags, body)) is not None:
                raise failure
            yield flags, None if kind == _DONE else body

    def _receive(self) -> Iterator[tuple[int, int, int, bytes]]:
        """(type, flags, sequence, body) of each message in one datagram."""
        data = self._socket.recv(_BUFFER_BYTES)
        at = 0
        while at + _HEADER.size <= len(data):
            length, kind, flags, number, _ = _HEADER.unpack_from(data, at)
            yield kind, flags, number, data[at + _HEADER.size : at + length]
            at += (length + 3) & ~3


def _message(request: Request, number: int, more_flags: int = 0) -> bytes:
    length = _HEADER.size + len(request.body)
    return _HEADER.pack(length, request.kind, request.flags | more_flags, number, 0) + request.body


def _failure(request: Request, flags: int, body: bytes) -> OSError | None:
    """`add interface web0: File exists (the kernel's own words, where it has any)`; None for
    success."""
    code = -struct.unpack_from("=i", body)[0]
    if code == 0:
        return None
    message = f"{request.says}: {os.strerror(code)}"
    if flags & _HAS_EXTENDED_ACK:
        start = (
            4 + _HEADER.size
        )  # the code, then the header of what we had sent, then the rest of it
        if not flags & _HEADER_IS_CAPPED:
            start = 4 + (struct.unpack_from("=I", body, 4)[0] + 3 & ~3)
        words = read_text(read_attributes(body[start:]).get(_EXT_ACK_MESSAGE))
        if words:
            message += f" ({words})"
    return OSError(code, message)
