"""exec and attach: a process's stdin, stdout and stderr on a client's channels.

Room kubelet; called by server.py in a connection's own thread. One thread does both directions: it
waits for the connection, for the process's pipes, and for an fd that says that it is over.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, ExecSession, Runtime
from kubelet.streams.channels import CLOSE, RESIZE, STDERR, STDIN, STDOUT, Channels, upgrade
from kubelet.streams.link import FULL_BYTES, READABLE, WRITABLE, Gone, Watches

Object = dict[str, Any]

PIECE_BYTES = 64 * 1024
MAX_STDIN_BYTES = 1024 * 1024  # a process that does not read stops the client, not us
TERMINAL_S = 0.5  # for the rest of a terminal's output
ATTACHED_PIPE_BYTES = 1024 * 1024  # as much as the kernel lets anybody have
ATTACHED_FULL_BYTES = 4 * 1024 * 1024  # unsent output of a container, which waits for nobody
_NAMES = ("stdin", "stdout", "stderr", "tty")


def serve_exec(
    handler: BaseHTTPRequestHandler,
    runtime: Runtime,
    container: ContainerStatus,
    query: dict[str, list[str]],
) -> None:
    """Answer one exec request; raises ValueError before the connection is upgraded."""
    command = query.get("command") or []
    if not command:
        raise ValueError("you must specify at least 1 command for the container")
    wanted = _wanted(query)

    def start(pipes: Pipes) -> ExecSession:
        return runtime.exec(
            container.id, command, stdin_fd=pipes.theirs_in, stdout_fd=pipes.theirs_out,
            stderr_fd=pipes.theirs_err, tty="tty" in wanted,
        )  # fmt: skip

    ways = Ways(start, FULL_BYTES, _exec_status)
    _serve(handler, wanted, Pipes(wanted), ways)


def serve_attach(
    handler: BaseHTTPRequestHandler,
    runtime: Runtime,
    container: ContainerStatus,
    query: dict[str, list[str]],
) -> None:
    """Answer one attach request; raises ValueError before the connection is upgraded."""
    wanted = _wanted(query)
    if not wanted - {"tty"}:
        raise ValueError("you must specify at least 1 of stdin, stdout, stderr")
    pipes = Pipes(wanted - {"tty"})  # its terminal, if it has one, stays with the container
    pipes.widen(ATTACHED_PIPE_BYTES)

    def start(pipes: Pipes) -> ExecSession:
        return runtime.attach(
            container.id, stdin_fd=pipes.theirs_in, stdout_fd=pipes.theirs_out,
            stderr_fd=pipes.theirs_err,
        )  # fmt: skip

    _serve(handler, wanted, pipes, Ways(start, ATTACHED_FULL_BYTES, _attach_status))


class Ways(NamedTuple):
    """In what exec and attach differ."""

    start: Callable[[Pipes], ExecSession]
    full_bytes: int  # unsent: from here on no more output is read
    status_of: Callable[[int], Object]


def _serve(handler: BaseHTTPRequestHandler, wanted: set[str], pipes: Pipes, ways: Ways) -> None:
    try:
        channels = upgrade(handler, wanted)
        try:
            session = ways.start(pipes)
        except RuntimeFailure as failure:
            channels.finish(_failure(failure))
            return
        finally:
            pipes.close_theirs()
        Relay(channels, pipes, session, ways.full_bytes).run(ways.status_of)
    except Gone:
        return  # it did not go on as it began
    finally:
        pipes.close()


def _wanted(query: dict[str, list[str]]) -> set[str]:
    """As asked for; a terminal has no stderr of its own."""
    asked = {name for name in _NAMES if query.get(name, ["false"])[-1] in ("true", "1")}
    return asked - {"stderr"} if "tty" in asked else asked


def _failure(failure: RuntimeFailure) -> Object:
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "InternalError",
        "message": f"error executing command in container: {failure}",
        "details": {"causes": [{"message": str(failure)}]},
        "code": 500,
    }


def _exec_status(code: int) -> Object:
    """The Status that a client reads the exit code from."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: exit status {code}"
    return {
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


def _attach_status(code: int) -> Object:
    """How a container ended is in its status, not in this one."""
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = "detached: the client does not keep up with the output, which is in the log"
    return {"metadata": {}, "status": "Failure", "reason": "InternalError", "message": message,
            "code": 500}  # fmt: skip


class Pipes:
    """Our and the process's ends; None for what was not asked for. With a tty one socketpair
    carries both ways."""

    def __init__(self, wanted: set[str]) -> None:
        self.theirs_in: int | None = None
        self.theirs_out: int | None = None
        self.theirs_err: int | None = None
        self.ours_in: int | None = None
        self.outputs: dict[int, int] = {}  # our end → channel
        self.is_tty = "tty" in wanted
        if "tty" in wanted:
            ours, theirs = socket.socketpair()
            self.theirs_in, self.ours_in = theirs.detach(), ours.detach()
            self._add_output(os.dup(self.ours_in), STDOUT)
        elif "stdin" in wanted:
            self.theirs_in, self.ours_in = os.pipe2(os.O_CLOEXEC)
        if self.ours_in is not None:
            os.set_blocking(self.ours_in, False)
        if "stdout" in wanted and "tty" not in wanted:
            ours_out, self.theirs_out = os.pipe2(os.O_CLOEXEC)
            self._add_output(ours_out, STDOUT)
        if "stderr" in wanted and "tty" not in wanted:
            ours_err, self.theirs_err = os.pipe2(os.O_CLOEXEC)
            self._add_output(ours_err, STDERR)

    def _add_output(self, fd: int, channel: int) -> None:
        os.set_blocking(fd, False)
        self.outputs[fd] = channel

    def widen(self, size_bytes: int) -> None:
        """Let more output lie in the pipes; best effort, for a user's pipes are bounded."""
        for fd in self.outputs:
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size_bytes)

    def close_theirs(self) -> None:
        for fd in (self.theirs_in, self.theirs_out, self.theirs_err):
            if fd is not None:
                os.close(fd)
        self.theirs_in = self.theirs_out = self.theirs_err = None

    def close_stdin(self) -> None:
        if self.ours_in is None:
            return
        if self.is_tty:  # the other direction stays open: half a socketpair is closed
            with socket.socket(fileno=self.ours_in) as half, contextlib.suppress(OSError):
                half.shutdown(socket.SHUT_WR)
        else:
            os.close(self.ours_in)
        self.ours_in = None

    def close_output(self, fd: int) -> None:
        del self.outputs[fd]
        os.close(fd)

    def close(self) -> None:
        self.close_theirs()
        self.close_stdin()
        for fd in list(self.outputs):
            self.close_output(fd)


class Relay:
    """Moves bytes until the session is over and all that was written has been sent. A client that
    goes ends the session."""

    def __init__(
        self, channels: Channels, pipes: Pipes, session: ExecSession, full_bytes: int
    ) -> None:
        self._channels, self._pipes, self._session = channels, pipes, session
        self._full_bytes = full_bytes
        self._watches = Watches()
        self._stdin = bytearray()  # what the process has not taken yet
        self._stdin_ends = False
        self._ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._exit_code = 0

    def run(self, status_of: Callable[[int], Object]) -> None:
        waiter = threading.Thread(target=self._wait, name="exec-wait", daemon=True)
        waiter.start()
        self._watches.want(self._ended, READABLE)
        try:
            while self._step():
                pass
            self._drain()
            self._channels.finish(status_of(self._exit_code))
        except Gone:
            self._session.kill()
        finally:
            self._watches.close()
            waiter.join()
            os.close(self._ended)

    def _wait(self) -> None:
        self._exit_code = self._session.wait()
        os.eventfd_write(self._ended, 1)

    def _step(self) -> bool:
        """One round; False once the session is over."""
        link = self._channels.link
        wants_input = len(self._stdin) < MAX_STDIN_BYTES
        has_input = wants_input and link.has_input
        self._listen(wants_input)
        ready = self._watches.wait(0 if has_input else None)
        for fd in ready.keys() & self._pipes.outputs.keys():
            self._output(fd)
        events = ready.get(link.fileno(), 0)
        if events & WRITABLE:
            link.flush()
        if events & ~WRITABLE and not wants_input:
            raise Gone("the client hung up")
        if events & ~WRITABLE or has_input:
            for channel, data in self._channels.receive():
                self._input(channel, data)
        self._flush_stdin()
        return self._ended not in ready

    def _listen(self, wants_input: bool) -> None:
        """A client that sends faster than the process reads has to wait, and a process that writes
        faster than the client reads as well."""
        link = self._channels.link
        self._watches.want(link.fileno(), link.events(wants_input=wants_input))
        takes_output = link.unsent_bytes < self._full_bytes
        for fd in self._pipes.outputs:
            self._watches.want(fd, READABLE if takes_output else 0)

    def _output(self, fd: int) -> bool:
        """Send one piece; False when there is none (now, or ever)."""
        try:
            data = os.read(fd, PIECE_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # the end of a terminal is EIO
            data = b""
        if data:
            self._channels.send(self._pipes.outputs[fd], data)
            return True
        self._watches.want(fd, 0)
        self._pipes.close_output(fd)
        return False

    def _drain(self) -> None:
        """What the process wrote before it ended. Its children may hold the pipes open, so only
        what is there now."""
        for fd in list(self._pipes.outputs):
            while fd in self._pipes.outputs and self._output(fd):
                pass
            if self._pipes.is_tty and fd in self._pipes.outputs:
                self._drain_terminal(fd)

    def _drain_terminal(self, fd: int) -> None:
        """The shim carries a terminal's output, and may come a moment after the end."""
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while fd in self._pipes.outputs and selector.select(TERMINAL_S):
                self._output(fd)

    def _input(self, channel: int, data: bytes) -> None:
        if channel == STDIN and not self._stdin_ends:
            self._stdin += data
        elif channel == RESIZE:
            self._resize(data)
        elif channel == CLOSE and data[:1] == bytes([STDIN]):
            self._stdin_ends = True

    def _resize(self, data: bytes) -> None:
        """One or more JSON documents; what is none changes nothing."""
        with contextlib.suppress(ValueError, TypeError, KeyError, RuntimeFailure):
            for line in data.splitlines():
                size = json.loads(line)
                self._session.resize(int(size["Width"]), int(size["Height"]))

    def _flush_stdin(self) -> None:
        fd = self._pipes.ours_in
        if fd is None:
            self._stdin.clear()
            return
        try:
            while self._stdin:
                del self._stdin[: os.write(fd, self._stdin[:PIECE_BYTES])]
        except BlockingIOError:
            self._watches.want(fd, WRITABLE)
            return
        except OSError:  # the process has closed its stdin
            self._stdin.clear()
            self._stdin_ends = True
        self._watches.want(fd, 0)
        if self._stdin_ends:
            self._pipes.close_stdin()
