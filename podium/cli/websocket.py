"""Room podium/cli: the client's end of a WebSocket; used by exec_stream.py and port_forward.py.

It never blocks: whoever owns it waits with select() for `sock`. One thread, for an ssl object may
not be used from two at once.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator
from typing import Any

import click
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

CHUNK = 32 * 1024
MOST_UNSENT = 256 * 1024  # from here on nothing more is read for the server


class Refused(click.ClickException):
    """The server did not open the stream; the message is its own."""

    def show(self, file: Any = None) -> None:
        """As it came."""
        click.echo(self.message, err=True)


class WebSocket:
    """`protocol` is the server's choice of `protocols`, "" until it has accepted."""

    def __init__(self, sock: ssl.SSLSocket, host: str, target: str, protocols: list[str]) -> None:
        self.sock = sock
        self.protocol = ""
        self.is_closed = False
        self._protocols = protocols
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._unsent = bytearray(
            self._ws.send(Request(host=host, target=target, subprotocols=protocols))
        )
        self._message = bytearray()
        self._rejection = b""
        sock.setblocking(False)

    # --- for the owner's select() ---------------------------------------------------------------

    @property
    def has_unsent(self) -> bool:
        """Whether to wait until the socket can be written."""
        return bool(self._unsent)

    @property
    def is_full(self) -> bool:
        """Whether the server has to take something first."""
        return len(self._unsent) >= MOST_UNSENT

    @property
    def has_input(self) -> bool:
        """Whether TLS has decrypted something, which select() does not see."""
        return self.sock.pending() > 0

    # --- out ------------------------------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Keep one binary message for sending."""
        self._unsent += self._ws.send(BytesMessage(data))

    def send_more(self) -> None:
        """As much as the server takes."""
        try:
            sent = self.sock.send(self._unsent)
            del self._unsent[:sent]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # the next select() tells when
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # what it has said may still be read

    # --- in -------------------------------------------------------------------------------------

    def receive(self) -> Iterator[bytes]:
        """Read once: the messages that are whole now. Raises Refused."""
        try:
            data = self.sock.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            self.is_closed = True
            return
        self._ws.receive_data(data)
        for event in self._ws.events():
            if isinstance(event, BytesMessage | TextMessage):
                yield from self._message_of(event)
            else:
                self._handle(event)

    def _message_of(self, event: BytesMessage | TextMessage) -> Iterator[bytes]:
        self._message += event.data.encode() if isinstance(event.data, str) else event.data
        if event.message_finished:
            yield bytes(self._message)
            self._message.clear()

    def _handle(self, event: Any) -> None:
        if isinstance(event, AcceptConnection):
            self.protocol = event.subprotocol or self._protocols[-1]
        elif isinstance(event, Ping):
            self._unsent += self._ws.send(event.response())
        elif isinstance(event, CloseConnection):
            self.is_closed = True
        elif isinstance(event, RejectConnection):
            if not event.has_body:
                raise Refused(f"error: the server refused: HTTP {event.status_code}")
        elif isinstance(event, RejectData):
            self._rejection += event.data
            if event.body_finished:
                raise Refused(_refusal(self._rejection))


def _refusal(body: bytes) -> str:
    try:
        status = json.loads(body)
        return f"Error from server ({status['reason']}): {status['message']}"
    except (ValueError, KeyError, TypeError):
        return f"error: {body.decode(errors='replace').strip()}"
