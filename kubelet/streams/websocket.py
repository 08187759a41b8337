"""WebSocket messages over a link. Room kubelet; RFC 6455, whose frames wsproto makes."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from kubelet.streams.link import Gone, Link

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def is_wanted(handler: BaseHTTPRequestHandler) -> bool:
    return handler.headers.get("Upgrade", "").lower() == "websocket"


def upgrade(handler: BaseHTTPRequestHandler, protocols: tuple[str, ...]) -> tuple[str, WebSocket]:
    """Answer with 101: the best of `protocols` that the client offers (the last one if it offers
    none) and the connection. Raises ValueError if there is none that both speak."""
    key = handler.headers.get("Sec-WebSocket-Key")
    offered = handler.headers.get("Sec-WebSocket-Protocol")
    names = [name.strip() for name in (offered or protocols[-1]).split(",")]
    protocol = next((known for known in protocols if known in names), None)
    if key is None or protocol is None:
        raise ValueError(f"a WebSocket upgrade is needed, with one of: {', '.join(protocols)}")
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
    return protocol, WebSocket(Link(handler.connection))


class WebSocket:
    """The server's end; pings are answered in here."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self._connection = Connection(ConnectionType.SERVER)
        self._message = b""  # as much of it as has come

    def send(self, data: bytes | str) -> None:
        """One message: binary, or text. Raises Gone."""
        self._send(TextMessage(data) if isinstance(data, str) else BytesMessage(data))

    def _send(self, event: Event) -> None:
        try:
            self.link.send(self._connection.send(event))
        except LocalProtocolError as failure:
            raise Gone(str(failure)) from failure

    def messages(self) -> Iterator[bytes]:
        """The messages that are whole now. Raises Gone."""
        for event in self._events():
            self._message += _bytes_of(event)
            if len(self._message) > MAX_MESSAGE_BYTES:
                raise Gone("a message is too large")
            if event.message_finished:
                message, self._message = self._message, b""
                yield message

    def pieces(self) -> Iterator[bytes]:
        """What has come, for protocols that see no messages but one stream. Raises Gone."""
        for event in self._events():
            yield _bytes_of(event)

    def _events(self) -> Iterator[TextMessage | BytesMessage]:
        data = self.link.receive()
        if not data:
            return
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, CloseConnection):
                    self._send(event.response())
                    raise Gone("the client closed the connection")
                if isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, TextMessage | BytesMessage):
                    yield event
        except RemoteProtocolError as failure:
            raise Gone(str(failure)) from failure

    def close(self) -> None:
        """Say that it is over. Raises Gone."""
        self._send(CloseConnection(code=1000))


def _bytes_of(event: TextMessage | BytesMessage) -> bytes:
    return event.data.encode() if isinstance(event.data, str) else bytes(event.data)
