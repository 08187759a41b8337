"""D-Bus by hand: enough to ask a service of the system for something and to hear its signals.

Room kubelet; used by logind.py, in a thread of its own. A message is a fixed head, an array of
header fields and a body, all little-endian, every value aligned to its own size; a file descriptor
travels beside it (SCM_RIGHTS). Only the types that are needed: y b u t i s o g h v.
Source: the D-Bus specification, "Message Protocol" and "Authentication Protocol".
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Any

SYSTEM_BUS = "/run/dbus/system_bus_socket"
BUS, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_TO = 1, 2, 3, 4, 5
_DESTINATION, _SENDER, _SIGNATURE, _FDS = 6, 7, 8, 9
_FIELD_TYPES = {1: "o", 2: "s", 3: "s", 4: "s", 5: "u", 6: "s", 7: "s", 8: "g", 9: "u"}
_FORMATS = {"y": "B", "b": "I", "u": "I", "i": "i", "t": "Q", "h": "I"}
_HEAD = struct.Struct("<BBBBIII")  # endian, type, flags, version, body, serial, fields
_MAX_MESSAGE = 1 << 20
_MAX_FDS = 8
CALL_TIMEOUT_S = 10.0


class BusError(Exception):
    """What a service, or the bus for it, answers instead of a result."""


@dataclass
class Message:
    kind: int
    fields: dict[int, Any]
    body: bytes = b""
    serial: int = 0
    fds: list[int] = field(default_factory=list)

    @property
    def member(self) -> str:
        return str(self.fields.get(_MEMBER, ""))

    @property
    def sender(self) -> str:
        return str(self.fields.get(_SENDER, ""))

    def values(self) -> list[Any]:
        """A "h" as the file descriptor itself, for the caller to close."""
        found = decode(str(self.fields.get(_SIGNATURE, "")), self.body)
        signature = str(self.fields.get(_SIGNATURE, ""))
        return [
            self.fds[value] if kind == "h" else value
            for kind, value in zip(signature, found, strict=True)
        ]


# ---- values -------------------------------------------------------------------------------------


def encode(signature: str, values: list[Any], at: int = 0) -> bytes:
    """The bytes of those values, the first of which begins `at` bytes after an aligned place. The
    value of a "v" is (its type, itself)."""
    data = b""
    for kind, value in zip(signature, values, strict=True):
        data += _padding(at + len(data), _alignment(kind))
        if kind in _FORMATS:
            data += struct.pack(f"<{_FORMATS[kind]}", value)
        elif kind in "so":
            text = str(value).encode()
            data += struct.pack("<I", len(text)) + text + b"\0"
        elif kind == "g":
            text = str(value).encode()
            data += bytes((len(text),)) + text + b"\0"
        elif kind == "v":
            inner, content = value
            data += encode("g", [inner])
            data += encode(inner, [content], at + len(data))
        else:
            raise ValueError(f"type {kind!r} is not known here")
    return data


def decode(signature: str, data: bytes) -> list[Any]:
    """Raises ValueError for a type that is not known here."""
    values, at = [], 0
    for kind in signature:
        value, at = _decode_one(kind, data, at)
        values.append(value)
    return values


def _decode_one(kind: str, data: bytes, at: int) -> tuple[Any, int]:
    at += len(_padding(at, _alignment(kind)))
    if kind in _FORMATS:
        (value,) = struct.unpack_from(f"<{_FORMATS[kind]}", data, at)
        return bool(value) if kind == "b" else value, at + struct.calcsize(_FORMATS[kind])
    if kind in "so":
        (length,) = struct.unpack_from("<I", data, at)
        return data[at + 4 : at + 4 + length].decode(), at + 4 + length + 1
    if kind == "g":
        length = data[at]
        return data[at + 1 : at + 1 + length].decode(), at + 1 + length + 1
    if kind == "v":
        inner, at = _decode_one("g", data, at)
        return _decode_one(inner, data, at)
    raise ValueError(f"type {kind!r} is not known here")


def _alignment(kind: str) -> int:
    return struct.calcsize(_FORMATS[kind]) if kind in _FORMATS else 4 if kind in "so" else 1


def _padding(at: int, alignment: int) -> bytes:
    return bytes(-at % alignment)


# ---- messages -----------------------------------------------------------------------------------


def to_bytes(message: Message) -> bytes:
    fields = b""
    for code, value in message.fields.items():
        fields += _padding(len(fields), 8) + bytes((code,))
        fields += encode("v", [(_FIELD_TYPES[code], value)], len(fields))
    head = _HEAD.pack(ord("l"), message.kind, 0, 1, len(message.body), message.serial, len(fields))
    return head + fields + _padding(len(head) + len(fields), 8) + message.body


def length_of(head: bytes) -> int:
    """Of a whole message, from its first 16 bytes."""
    endian, _, _, _, body, _, fields = _HEAD.unpack(head)
    whole = _HEAD.size + fields + (-(_HEAD.size + fields) % 8) + int(body)
    if endian != ord("l") or whole > _MAX_MESSAGE:
        raise BusError("a message that is not one of ours")
    return whole


def from_bytes(data: bytes, fds: list[int]) -> Message:
    _, kind, _, _, body_length, serial, fields_length = _HEAD.unpack_from(data)
    end, at, fields = _HEAD.size + fields_length, _HEAD.size, {}
    while at < end:
        at += len(_padding(at, 8))
        code = data[at]
        fields[code], at = _decode_one("v", data, at + 1)
    at = end + len(_padding(end, 8))
    return Message(kind, fields, data[at : at + body_length], serial, fds)


def call_of(destination: str, path: str, interface: str, member: str) -> dict[int, Any]:
    """The header fields of a call."""
    return {_PATH: path, _INTERFACE: interface, _MEMBER: member, _DESTINATION: destination}


class Bus:
    """One connection, for one thread. What is not the answer to a call is kept for `next`."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._serial = 0
        self._data = b""
        self._fds: deque[int] = deque()
        self._kept: deque[Message] = deque()

    @classmethod
    def connect(cls, path: str = SYSTEM_BUS) -> Bus:
        """As who we are; raises OSError or BusError."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(CALL_TIMEOUT_S)
            sock.connect(path)
            sock.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
            _expect(sock, b"OK")
            sock.sendall(b"NEGOTIATE_UNIX_FD\r\n")
            _expect(sock, b"AGREE_UNIX_FD")
            sock.sendall(b"BEGIN\r\n")
            bus = cls(sock)
            bus.call(BUS, BUS_PATH, BUS, "Hello")
        except BaseException:
            sock.close()
            raise
        return bus

    def close(self) -> None:
        """Also ends a `next` that waits in another thread."""
        with contextlib.suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def call(
        self, destination: str, path: str, interface: str, member: str,
        signature: str = "", *values: Any,
    ) -> list[Any]:  # fmt: skip
        """The values of the answer; raises BusError or OSError."""
        fields = call_of(destination, path, interface, member)
        serial = self.send(Message(CALL, fields), signature, list(values))
        self._socket.settimeout(CALL_TIMEOUT_S)
        while True:
            message = self._receive()
            if message.fields.get(_REPLY_TO) != serial:
                self._kept.append(message)
            elif message.kind == ERROR:
                words = message.body and str(message.values()[0])
                raise BusError(f"{member}: {words or message.fields.get(_ERROR_NAME)}")
            else:
                return message.values()

    def answer(self, call: Message, signature: str, values: list[Any], fds: list[int]) -> None:
        """To somebody's call: a service's part."""
        fields = {_REPLY_TO: call.serial, _DESTINATION: call.sender}
        self.send(Message(RETURN, fields, fds=fds), signature, values)

    def send(self, message: Message, signature: str, values: list[Any]) -> int:
        """Its serial number."""
        self._serial += 1
        message.serial, message.body = self._serial, encode(signature, values)
        if signature:
            message.fields[_SIGNATURE] = signature
        if message.fds:
            message.fields[_FDS] = len(message.fds)
            socket.send_fds(self._socket, [to_bytes(message)], message.fds)
        else:
            self._socket.sendall(to_bytes(message))
        return self._serial

    def next(self) -> Message:
        """The next signal or call, however long that takes; raises OSError at the end."""
        if self._kept:
            return self._kept.popleft()
        self._socket.settimeout(None)
        return self._receive()

    def _receive(self) -> Message:
        self._fill(_HEAD.size)
        length = length_of(self._data[: _HEAD.size])
        self._fill(length)
        data, self._data = self._data[:length], self._data[length:]
        message = from_bytes(data, [])
        count = int(message.fields.get(_FDS, 0))
        message.fds = [self._fds.popleft() for _ in range(count)]
        return message

    def _fill(self, length: int) -> None:
        while len(self._data) < length:
            data, fds, _, _ = socket.recv_fds(self._socket, 65536, _MAX_FDS)
            if not data:
                raise OSError("the bus has ended")
            self._data += data
            self._fds.extend(fds)


def _expect(sock: socket.socket, word: bytes) -> None:
    line = b""
    while not line.endswith(b"\r\n"):
        byte = sock.recv(1)
        if not byte:
            raise BusError(f"the bus has ended instead of {word.decode()}")
        line += byte
    if not line.startswith(word):
        raise BusError(f"the bus says {line.decode().strip()} instead of {word.decode()}")
