"""Room podium/cli: the other end of `exec`: a WebSocket that carries a process's streams.

The first byte of each message names a channel: 0 stdin, 1 stdout, 2 stderr, 3 the result (Status),
4 the terminal's size, 255 the end of a stream (`v5.channel.k8s.io`). One thread and one select():
an ssl object may not be used from two threads at once.
"""

from __future__ import annotations

import json
import os
import select
import signal
import ssl
from collections.abc import Callable
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

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]
CHUNK = 32 * 1024
MOST_UNSENT = 256 * 1024  # stdin is not read further until the server has taken what was sent


class Refused(click.ClickException):
    """The server did not open the stream; the message is its Status's."""

    def show(self, file: Any = None) -> None:
        """As it came."""
        click.echo(self.message, err=True)


class ExecStream:
    """One running command. `run()` copies until it has ended and gives its exit code."""

    def __init__(
        self,
        sock: ssl.SSLSocket,
        host: str,
        target: str,
        *,
        stdin_fd: int | None,
        terminal_size: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._sock = sock
        self._ws = WSConnection(ConnectionType.CLIENT)
        self._stdin_fd = stdin_fd
        self._terminal_size = terminal_size
        self._unsent = bytearray(
            self._ws.send(Request(host=host, target=target, subprotocols=PROTOCOLS))
        )
        self._protocol = ""
        self._message = bytearray()
        self._rejection = b""
        self._status: dict[str, Any] | None = None
        self._closed = False

    def run(self) -> int:
        """Copy stdin, stdout and stderr until the command has ended; its exit code."""
        self._sock.setblocking(False)
        wake_fd, signal_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.set_wakeup_fd(signal_fd, warn_on_full_buffer=False)
        if self._terminal_size:
            signal.signal(signal.SIGWINCH, lambda *_: None)
        try:
            while not self._closed:
                self._step(wake_fd)
        finally:
            signal.set_wakeup_fd(before)
            os.close(wake_fd)
            os.close(signal_fd)
        return self._exit_code()

    # --- moving bytes ---------------------------------------------------------------------------

    def _step(self, wake_fd: int) -> None:
        reading: list[Any] = [self._sock, wake_fd]
        if self._protocol and self._stdin_fd is not None and len(self._unsent) < MOST_UNSENT:
            reading.append(self._stdin_fd)
        writing = [self._sock] if self._unsent else []
        # What TLS has decrypted already is not seen by select().
        timeout = 0 if self._sock.pending() else None
        readable, writable, _ = select.select(reading, writing, [], timeout)
        if wake_fd in readable and os.read(wake_fd, 64):
            self._send_size()
        if writable:
            self._send_more()
        if self._sock in readable or timeout == 0:
            self._receive()
        if self._stdin_fd in readable:
            self._read_stdin()

    def _send_more(self) -> None:
        try:
            sent = self._sock.send(self._unsent)
            del self._unsent[:sent]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return  # the next select() tells when
        except (BrokenPipeError, ConnectionResetError):
            self._unsent.clear()  # the result may still be read

    def _receive(self) -> None:
        try:
            data = self._sock.recv(CHUNK)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except (ConnectionResetError, ssl.SSLEOFError):
            data = b""
        if not data:
            self._closed = True
            return
        self._ws.receive_data(data)
        for event in self._ws.events():
            self._handle(event)

    def _read_stdin(self) -> None:
        assert self._stdin_fd is not None
        data = os.read(self._stdin_fd, CHUNK)
        if data:
            self._send(STDIN, data)
            return
        self._stdin_fd = None
        if self._protocol == PROTOCOLS[0]:
            self._send(CLOSE, bytes([STDIN]))  # only v5 can say that stdin has ended

    def _send(self, channel: int, data: bytes) -> None:
        self._unsent += self._ws.send(BytesMessage(bytes([channel]) + data))

    def _send_size(self) -> None:
        if self._terminal_size and self._protocol:
            width, height = self._terminal_size()
            self._send(RESIZE, json.dumps({"Width": width, "Height": height}).encode())

    # --- what comes -----------------------------------------------------------------------------

    def _handle(self, event: Any) -> None:
        if isinstance(event, AcceptConnection):
            self._protocol = event.subprotocol or PROTOCOLS[-1]
            self._send_size()
        elif isinstance(event, BytesMessage | TextMessage):
            data = event.data.encode() if isinstance(event, TextMessage) else event.data
            self._message += data
            if event.message_finished:
                self._take(bytes(self._message))
                self._message.clear()
        elif isinstance(event, Ping):
            self._unsent += self._ws.send(event.response())
        elif isinstance(event, CloseConnection):
            self._closed = True
        elif isinstance(event, RejectConnection):
            if not event.has_body:
                raise Refused(f"error: the server refused to execute: HTTP {event.status_code}")
        elif isinstance(event, RejectData):
            self._rejection += event.data
            if event.body_finished:
                raise Refused(_refusal(self._rejection))

    def _take(self, message: bytes) -> None:
        channel, data = message[:1], message[1:]
        if channel == b"\x01":
            _write_all(1, data)
        elif channel == b"\x02":
            _write_all(2, data)
        elif channel == b"\x03" and data:
            self._status = json.loads(data)

    def _exit_code(self) -> int:
        status = self._status
        if status is None:
            raise Refused("error: the connection to the container was lost")
        if status.get("status") == "Success":
            return 0
        causes = (status.get("details") or {}).get("causes") or []
        if status.get("reason") == "NonZeroExitCode":
            for cause in causes:
                if cause.get("reason") == "ExitCode":
                    return int(cause["message"])
        raise Refused(f"error: {status.get('message', 'the command could not be run')}")


def _refusal(body: bytes) -> str:
    try:
        status = json.loads(body)
        return f"Error from server ({status['reason']}): {status['message']}"
    except (ValueError, KeyError, TypeError):
        return f"error: the server refused to execute: {body.decode(errors='replace').strip()}"


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
