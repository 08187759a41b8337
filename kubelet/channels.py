"""Kubernetes' channels over a WebSocket: several byte streams in one connection.

Room kubelet; called by exec_stream.py, the server's side. First byte of a message = channel: 0
stdin, 1 stdout, 2 stderr, 3 error (a Status, at the end), 4 resize, 255 close a channel (v5).
Source: KEP-4006; RFC 6455, whose frames wsproto makes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

Object = dict[str, Any]

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
READ_BYTES = 128 * 1024
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


class Gone(Exception):
    """The client has closed the connection, or speaks no WebSocket."""


def upgrade(handler: BaseHTTPRequestHandler) -> Channels:
    """Answer an upgrade request with 101; raises ValueError if it is none that we speak."""
    key = handler.headers.get("Sec-WebSocket-Key")
    offered = handler.headers.get("Sec-WebSocket-Protocol")
    names = [name.strip() for name in (offered or "channel.k8s.io").split(",")]
    protocol = next((known for known in PROTOCOLS if known in names), None)
    if key is None or protocol is None:
        raise ValueError(f"a WebSocket upgrade is needed, with one of: {', '.join(PROTOCOLS)}")
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept}",
    ]
    if offered:
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    handler.close_connection = True
    handler.connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return Channels(handler.connection, protocol)


class Channels:
    """One connection, used by one thread."""

    def __init__(self, sock: ssl.SSLSocket, protocol: str) -> None:
        self.sock = sock
        self._is_base64 = "base64" in protocol
        self._has_status = protocol.startswith(("v4", "v5"))
        self._websocket = Connection(ConnectionType.SERVER)
        self._message = b""  # as much of it as has come

    def send(self, channel: int, data: bytes) -> None:
        """Raises Gone."""
        if self._is_base64:
            self._send(TextMessage(data=f"{channel}{base64.b64encode(data).decode()}"))
        else:
            self._send(BytesMessage(data=bytes([channel]) + data))

    def _send(self, event: Event) -> None:
        try:
            self.sock.sendall(self._websocket.send(event))
        except (OSError, LocalProtocolError) as failure:
            raise Gone(str(failure)) from failure

    def receive(self) -> list[tuple[int, bytes]]:
        """The messages of one read, (channel, data); answers pings. Raises Gone."""
        try:
            data = self.sock.recv(READ_BYTES)
            if not data:
                raise Gone("the connection was closed")
            self._websocket.receive_data(data)
            found = []
            for event in self._websocket.events():
                if isinstance(event, CloseConnection):
                    self._send(event.response())
                    raise Gone("the client closed the connection")
                if isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, TextMessage | BytesMessage) and (
                    message := self._whole(event)
                ):
                    found.append(message)
        except (OSError, RemoteProtocolError) as failure:
            raise Gone(str(failure)) from failure
        return found

    def _whole(self, event: TextMessage | BytesMessage) -> tuple[int, bytes] | None:
        """None while more of the message is to come, and for an empty one."""
        data = event.data
        self._message += data.encode() if isinstance(data, str) else bytes(data)
        if len(self._message) > MAX_MESSAGE_BYTES:
            raise Gone("a message is too large")
        if not event.message_finished:
            return None
        whole, self._message = self._message, b""
        if not whole:
            return None
        if self._is_base64:
            return whole[0] - ord("0"), base64.b64decode(whole[1:])
        return whole[0], whole[1:]

    def finish(self, status: Object) -> None:
        """Say how it ended and close; a client that has gone already is no error."""
        try:
            if self._has_status:
                self.send(ERROR, json.dumps(status).encode())
            elif status["status"] != "Success":
                self.send(ERROR, str(status["message"]).encode())
            self._send(CloseConnection(code=1000))
        except Gone:
            return
