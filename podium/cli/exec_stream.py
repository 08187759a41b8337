"""Room podium/cli: the other end of `exec` and `attach`: a process's streams on a WebSocket.

The first byte of each message names a channel: 0 stdin, 1 stdout, 2 stderr, 3 the result (Status),
4 the terminal's size, 255 the end of a stream (`v5.channel.k8s.io`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import ssl
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from podium.cli.websocket import CHUNK, Refused, WebSocket

if TYPE_CHECKING:
    from podium.cli.connection import Connection

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = ["v5.channel.k8s.io", "v4.channel.k8s.io"]


def run_stream(
    api: Connection, target: str, *, stdin: bool, is_terminal: bool, stdin_fd: int = 0,
    stdout_fd: int = 1,
) -> int:  # fmt: skip
    """Copy between a process and our own streams until it has ended; its exit code."""
    sock, host = api.dial()
    with sock:
        stream = ExecStream(
            sock,
            host,
            target,
            stdin_fd=stdin_fd if stdin else None,
            stdout_fd=stdout_fd,
            terminal_size=_terminal_size if is_terminal else None,
        )
        with _raw_terminal() if is_terminal else contextlib.nullcontext():
            return stream.run()


def _terminal_size() -> tuple[int, int]:
    size = os.get_terminal_size(0)
    return size.columns, size.lines


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the container; the terminal is put back whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


class ExecStream:
    """One running command. `run()` copies until it has ended and gives its exit code."""

    def __init__(
        self,
        sock: ssl.SSLSocket,
        host: str,
        target: str,
        *,
        stdin_fd: int | None,
        stdout_fd: int = 1,
        terminal_size: Callable[[], tuple[int, int]] | None = None,
    ) -> None:
        self._websocket = WebSocket(sock, host, target, PROTOCOLS)
        self._stdin_fd = stdin_fd
        self._fds = {STDOUT: stdout_fd, STDERR: 2}
        self._terminal_size = terminal_size
        self._has_begun = False
        self._status: dict[str, Any] | None = None

    def run(self) -> int:
        """Copy stdin, stdout and stderr until the command has ended; its exit code."""
        wake_fd, signal_fd = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        before = signal.set_wakeup_fd(signal_fd, warn_on_full_buffer=False)
        if self._terminal_size:
            signal.signal(signal.SIGWINCH, lambda *_: None)
        try:
            while not self._websocket.is_closed:
                self._step(wake_fd)
        finally:
            signal.set_wakeup_fd(before)
            os.close(wake_fd)
            os.close(signal_fd)
        return self._exit_code()

    # --- moving bytes ---------------------------------------------------------------------------

    def _step(self, wake_fd: int) -> None:
        websocket = self._websocket
        reading: list[Any] = [websocket.sock, wake_fd]
        if self._has_begun and self._stdin_fd is not None and not websocket.is_full:
            reading.append(self._stdin_fd)
        writing = [websocket.sock] if websocket.has_unsent else []
        has_input = websocket.has_input
        readable, writable, _ = select.select(reading, writing, [], 0 if has_input else None)
        if wake_fd in readable and os.read(wake_fd, 64):
            self._send_size()
        if writable:
            websocket.send_more()
        if websocket.sock in readable or has_input:
            self._receive()
        if self._stdin_fd in readable:
            self._read_stdin()

    def _receive(self) -> None:
        for message in self._websocket.receive():
            self._take(message)
        if self._websocket.protocol and not self._has_begun:
            self._has_begun = True
            self._send_size()

    def _read_stdin(self) -> None:
        assert self._stdin_fd is not None
        data = os.read(self._stdin_fd, CHUNK)
        if data:
            self._send(STDIN, data)
            return
        self._stdin_fd = None
        if self._websocket.protocol == PROTOCOLS[0]:
            self._send(CLOSE, bytes([STDIN]))  # only v5 can say that stdin has ended

    def _send(self, channel: int, data: bytes) -> None:
        self._websocket.send(bytes([channel]) + data)

    def _send_size(self) -> None:
        if self._terminal_size and self._has_begun:
            width, height = self._terminal_size()
            self._send(RESIZE, json.dumps({"Width": width, "Height": height}).encode())

    # --- what comes -----------------------------------------------------------------------------

    def _take(self, message: bytes) -> None:
        channel, data = message[0], message[1:]
        if channel in self._fds:
            _write_all(self._fds[channel], data)
        elif channel == ERROR and data:
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


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
