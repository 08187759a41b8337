"""exec over WebSocket: Kubernetes' channel protocol between a client and a process in a container.

Room kubelet, called by server.py in a connection's own thread. One thread does both directions (a
TLS connection must not be read and written at the same time): it polls the socket, the process's
pipes and a pipe that says that the process has ended.

First byte of a message = channel: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize, 255 close (v5).
At the end channel 3 carries a Status with the exit code, then the connection closes with 1000.
Source: KEP-4006 and `kubernetes-wire`; RFC 6455 by wsproto.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import selectors
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Message, Ping, TextMessage
from wsproto.utilities import LocalProtocolError

from kubelet.runtime.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ContainerNotRunning,
    RuntimeFailure,
)
from kubelet.runtime.protocol import ContainerStatus, ExecSession, Runtime

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
CHUNK = 32 * 1024
MAX_STDIN_BUFFER = 1024 * 1024  # a process that does not read stops the client, not us
IDLE_S = 60.0
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3


def serve(
    handler: BaseHTTPRequestHandler,
    runtime: Runtime,
    status: ContainerStatus | None,
    query: dict[str, list[str]],
) -> None:
    """Answer one exec request; raises RuntimeFailure before the connection is upgraded."""
    if status is None or status.state != "running":
        raise ContainerNotRunning("container not found or not running")
    protocol = _choose(handler)
    key = handler.headers.get("Sec-WebSocket-Key")
    if protocol is None or key is None:
        raise ValueError("exec needs a WebSocket upgrade with one of: " + ", ".join(PROTOCOLS))
    flags = {
        name: query.get(name, ["false"])[-1] in ("true", "1")
        for name in ("stdin", "stdout", "stderr", "tty")
    }
    handler.close_connection = True
    _upgrade(handler, key, protocol)
    stream = _Stream(handler.connection, protocol)
    pipes = _Pipes(flags)
    try:
        session = runtime.exec(
            status.id,
            query.get("command", []),
            stdin_fd=pipes.theirs_in,
            stdout_fd=pipes.theirs_out,
            stderr_fd=pipes.theirs_err,
            tty=flags["tty"],
        )
    except (CommandNotFound, CommandNotExecutable) as failure:
        code = 127 if isinstance(failure, CommandNotFound) else 126
        stream.finish(
            _internal(f"error executing command in container: {failure}") | {"code": 500}, code
        )
        return
    except RuntimeFailure as failure:
        stream.finish(_internal(str(failure)), None)
        return
    finally:
        pipes.close_theirs()
    _Relay(stream, pipes, session).run()


def _choose(handler: BaseHTTPRequestHandler) -> str | None:
    offered = [p.strip() for p in (handler.headers.get("Sec-WebSocket-Protocol") or "").split(",")]
    return next(
        (p for p in PROTOCOLS if p in offered), "channel.k8s.io" if offered == [""] else None
    )


def _upgrade(handler: BaseHTTPRequestHandler, key: str, protocol: str) -> None:
    accept = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade",
             f"Sec-WebSocket-Accept: {accept}"]  # fmt: skip
    if handler.headers.get("Sec-WebSocket-Protocol"):
        lines.append(f"Sec-WebSocket-Protocol: {protocol}")
    handler.connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())


def _internal(message: str) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "InternalError",
        "details": {"causes": [{"message": message}]},
        "code": 500,
    }


def _exit_status(code: int) -> dict[str, Any]:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


class _Stream:
    """Channel messages over a WebSocket."""

    def __init__(self, sock: socket.socket, protocol: str) -> None:
        self.sock = sock
        self._is_base64 = "base64" in protocol
        self._has_status = protocol.startswith(("v4", "v5"))
        self._ws = Connection(ConnectionType.SERVER)
        self._parts: dict[str, bytes] = {}

    def send(self, channel: int, data: bytes) -> None:
        if self._is_base64:
            self._send(TextMessage(data=f"{channel}{base64.b64encode(data).decode()}"))
        else:
            self._send(BytesMessage(data=bytes([channel]) + data))

    def _send(self, event: Message | CloseConnection | Any) -> None:
        self.sock.sendall(self._ws.send(event))

    def receive(self) -> list[tuple[int, bytes]] | None:
        """The messages of one read; None when the client has gone."""
        data = self.sock.recv(CHUNK * 4)
        if not data:
            return None
        self._ws.receive_data(data)
        found: list[tuple[int, bytes]] = []
        for event in self._ws.events():
            if isinstance(event, CloseConnection):
                return None
            if isinstance(event, Ping):
                self._send(event.response())
            elif isinstance(event, (BytesMessage, TextMessage)):
                found += self._message(event)
        return found

    def _message(self, event: BytesMessage | TextMessage) -> list[tuple[int, bytes]]:
        piece = event.data.encode() if isinstance(event.data, str) else bytes(event.data)
        whole = self._parts.pop("message", b"") + piece
        if not event.message_finished:
            self._parts["message"] = whole
            return []
        if not whole:
            return []
        if self._is_base64:
            return [(whole[0] - ord("0"), base64.b64decode(whole[1:]))]
        return [(whole[0], whole[1:])]

    def finish(self, status: dict[str, Any], code: int | None) -> None:
        """Say how it ended and close; a client that has gone already is no error."""
        try:
            if self._has_status:
                self.send(ERROR, json.dumps(status).encode())
            elif status["status"] != "Success":
                self.send(ERROR, f"{status.get('message', '')} ({code})".encode())
            self._send(CloseConnection(code=1000))
        except (OSError, LocalProtocolError):
            return


class _Pipes:
    """Our and the process's ends. With a tty one socketpair carries both ways."""

    def __init__(self, flags: dict[str, bool]) -> None:
        self.theirs_in = self.theirs_out = self.theirs_err = None
        self.ours_in = self.ours_out = self.ours_err = None
        if flags["tty"]:
            ours, theirs = socket.socketpair()
            self.theirs_in = theirs.detach()
            self.ours_in = ours.detach()
            self.ours_out = os.dup(self.ours_in)
            os.set_blocking(self.ours_in, False)
            return
        if flags["stdin"]:
            self.theirs_in, self.ours_in = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self.ours_in, False)
        if flags["stdout"]:
            self.ours_out, self.theirs_out = os.pipe2(os.O_CLOEXEC)
        if flags["stderr"]:
            self.ours_err, self.theirs_err = os.pipe2(os.O_CLOEXEC)

    def close_theirs(self) -> None:
        for fd in {self.theirs_in, self.theirs_out, self.theirs_err} - {None}:
            os.close(fd)  # type: ignore[arg-type]
        self.theirs_in = self.theirs_out = self.theirs_err = None


class _Relay:
    """Moves bytes until the process has ended and all it wrote has been sent."""

    def __init__(self, stream: _Stream, pipes: _Pipes, session: ExecSession) -> None:
        self._stream, self._pipes, self._session = stream, pipes, session
        self._selector = selectors.DefaultSelector()
        self._stdin = bytearray()
        self._stdin_ends = False
        self._open = {
            fd for fd in (pipes.ours_in, pipes.ours_out, pipes.ours_err) if fd is not None
        }
        self._ended_read, self._ended_write = os.pipe2(os.O_CLOEXEC)
        self._code: int | None = None

    def run(self) -> None:
        waiter = threading.Thread(target=self._wait, daemon=True)
        waiter.start()
        sock = self._stream.sock
        self._selector.register(sock, selectors.EVENT_READ)
        self._selector.register(self._ended_read, selectors.EVENT_READ)
        for fd in (self._pipes.ours_out, self._pipes.ours_err):
            if fd is not None:
                self._selector.register(fd, selectors.EVENT_READ)
        try:
            while self._step(sock):
                pass
            if self._code is None:
                self._session.kill()  # the client went away
            else:
                self._stream.finish(_exit_status(self._code), self._code)
        except (OSError, LocalProtocolError):
            self._session.kill()
        finally:
            waiter.join()
            self._selector.close()
            for fd in [*self._open, self._ended_read]:
                os.close(fd)

    def _wait(self) -> None:
        self._code = self._session.wait()
        os.close(self._ended_write)

    def _step(self, sock: socket.socket) -> bool:
        """One round; False when it is over."""
        has_pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        ready = {key.fd for key, _ in self._selector.select(0 if has_pending else IDLE_S)}
        for fd, channel in ((self._pipes.ours_out, STDOUT), (self._pipes.ours_err, STDERR)):
            if fd in ready and fd is not None:
                self._output(fd, channel)
        if (has_pending or sock.fileno() in ready) and len(self._stdin) < MAX_STDIN_BUFFER:
            messages = self._stream.receive()
            if messages is None:
                return False
            for channel, data in messages:
                self._input(channel, data)
        self._flush_stdin()
        if self._ended_read in ready:
            self._drain()
            return False
        return True

    def _output(self, fd: int, channel: int) -> bool:
        """Send one piece; False at the end of the pipe."""
        try:
            data = os.read(fd, CHUNK)
        except OSError:  # a terminal's end is EIO
            data = b""
        if data:
            self._stream.send(channel, data)
            return True
        self._selector.unregister(fd)
        self._close(fd)
        return False

    def _drain(self) -> None:
        """What the process wrote before it ended; its children may hold the pipe open, so only what
        is there now."""
        for fd, channel in ((self._pipes.ours_out, STDOUT), (self._pipes.ours_err, STDERR)):
            if fd is None or fd not in self._open:
                continue
            os.set_blocking(fd, False)
            while fd in self._open:
                try:
                    data = os.read(fd, CHUNK)
                except OSError:  # BlockingIOError: nothing more for now
                    break
                if not data:
                    break
                self._stream.send(channel, data)

    def _input(self, channel: int, data: bytes) -> None:
        if channel == STDIN and not self._stdin_ends:
            self._stdin += data
        elif channel == RESIZE:
            size = json.loads(data)
            self._session.resize(int(size.get("Width", 80)), int(size.get("Height", 24)))
        elif channel == CLOSE and data[:1] == b"\x00":
            self._stdin_ends = True

    def _flush_stdin(self) -> None:
        fd = self._pipes.ours_in
        if fd is None or fd not in self._open:
            self._stdin.clear()
            return
        try:
            while self._stdin:
                written = os.write(fd, self._stdin[:CHUNK])
                del self._stdin[:written]
        except BlockingIOError:
            self._want_write(fd, True)
            return
        except OSError:  # the process has closed its stdin
            self._stdin.clear()
            self._stdin_ends = True
        self._want_write(fd, False)
        if self._stdin_ends:
            self._close(fd)

    def _want_write(self, fd: int, is_wanted: bool) -> None:
        is_there = fd in self._selector.get_map()
        if is_wanted and not is_there:
            self._selector.register(fd, selectors.EVENT_WRITE)
        elif not is_wanted and is_there:
            self._selector.unregister(fd)

    def _close(self, fd: int) -> None:
        if fd in self._open:
            self._open.discard(fd)
            os.close(fd)
