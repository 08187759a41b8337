"""exec: a process in a container with its stdin, stdout and stderr on a client's channels.

Room kubelet; called by server.py in a connection's own thread. One thread does both directions (a
TLS connection must not be read and written at the same time): it waits for the socket, for the
process's pipes, and for an fd that says that the process has ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from kubelet.channels import CLOSE, RESIZE, STDERR, STDIN, STDOUT, Channels, Gone, upgrade
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, ExecSession, Runtime

Object = dict[str, Any]

PIECE_BYTES = 32 * 1024
MAX_STDIN_BYTES = 1024 * 1024  # a process that does not read stops the client, not us


def serve(
    handler: BaseHTTPRequestHandler,
    runtime: Runtime,
    container: ContainerStatus,
    query: dict[str, list[str]],
) -> None:
    """Answer one exec request; raises ValueError before the connection is upgraded."""
    command = query.get("command") or []
    if not command:
        raise ValueError("you must specify at least 1 command for the container")
    wanted = {name for name in ("stdin", "stdout", "stderr", "tty") if _is_true(query, name)}
    channels = upgrade(handler)
    pipes = Pipes(wanted)
    try:
        session = runtime.exec(
            container.id, command, stdin_fd=pipes.theirs_in, stdout_fd=pipes.theirs_out,
            stderr_fd=pipes.theirs_err, tty="tty" in wanted,
        )  # fmt: skip
    except RuntimeFailure as failure:
        pipes.close_theirs()
        pipes.close()
        channels.finish(_failure(failure))
        return
    pipes.close_theirs()
    Relay(channels, pipes, session).run()


def _is_true(query: dict[str, list[str]], name: str) -> bool:
    return query.get(name, ["false"])[-1] in ("true", "1")


def _failure(failure: RuntimeFailure) -> Object:
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "InternalError",
        "message": f"error executing command in container: {failure}",
        "details": {"causes": [{"message": str(failure)}]},
        "code": 500,
    }


def exit_status(code: int) -> Object:
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


class Pipes:
    """Our and the process's ends; None for what was not asked for. With a tty one socketpair
    carries both ways."""

    def __init__(self, wanted: set[str]) -> None:
        self.theirs_in: int | None = None
        self.theirs_out: int | None = None
        self.theirs_err: int | None = None
        self.ours_in: int | None = None
        self.outputs: dict[int, int] = {}  # our end → channel
        self._is_tty = "tty" in wanted
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

    def close_theirs(self) -> None:
        for fd in (self.theirs_in, self.theirs_out, self.theirs_err):
            if fd is not None:
                os.close(fd)
        self.theirs_in = self.theirs_out = self.theirs_err = None

    def close_stdin(self) -> None:
        if self.ours_in is None:
            return
        if self._is_tty:  # the other direction stays open: half a socketpair is closed
            with socket.socket(fileno=self.ours_in) as half, contextlib.suppress(OSError):
                half.shutdown(socket.SHUT_WR)
        else:
            os.close(self.ours_in)
        self.ours_in = None

    def close_output(self, fd: int) -> None:
        del self.outputs[fd]
        os.close(fd)

    def close(self) -> None:
        self.close_stdin()
        for fd in list(self.outputs):
            self.close_output(fd)


class Relay:
    """Moves bytes until the process has ended and all that it wrote has been sent."""

    def __init__(self, channels: Channels, pipes: Pipes, session: ExecSession) -> None:
        self._channels, self._pipes, self._session = channels, pipes, session
        self._selector = selectors.DefaultSelector()
        self._stdin = bytearray()  # what the process has not taken yet
        self._stdin_ends = False
        self._ended = os.eventfd(0, os.EFD_CLOEXEC)
        self._exit_code = 0

    def run(self) -> None:
        waiter = threading.Thread(target=self._wait, name="exec-wait", daemon=True)
        waiter.start()
        for fd in (self._channels.sock.fileno(), self._ended, *self._pipes.outputs):
            self._selector.register(fd, selectors.EVENT_READ)
        try:
            while self._step():
                pass
            self._drain()
            self._channels.finish(exit_status(self._exit_code))
        except Gone:
            self._session.kill()
        finally:
            self._selector.close()
            self._pipes.close()
            waiter.join()
            os.close(self._ended)

    def _wait(self) -> None:
        self._exit_code = self._session.wait()
        os.eventfd_write(self._ended, 1)

    def _step(self) -> bool:
        """One round; False once the process has ended."""
        is_full = len(self._stdin) >= MAX_STDIN_BYTES
        has_more = self._channels.sock.pending() > 0 and not is_full
        ready = {key.fd for key, _ in self._selector.select(0 if has_more else None)}
        for fd in ready & set(self._pipes.outputs):
            self._output(fd)
        if has_more or self._channels.sock.fileno() in ready:
            for channel, data in self._channels.receive():
                self._input(channel, data)
        self._flush_stdin()
        self._listen(len(self._stdin) < MAX_STDIN_BYTES)
        return self._ended not in ready

    def _listen(self, is_wanted: bool) -> None:
        """A client that sends faster than the process reads has to wait."""
        self._watch(self._channels.sock.fileno(), selectors.EVENT_READ, is_wanted)

    def _watch(self, fd: int, event: int, is_wanted: bool) -> None:
        is_there = fd in self._selector.get_map()
        if is_wanted and not is_there:
            self._selector.register(fd, event)
        elif is_there and not is_wanted:
            self._selector.unregister(fd)

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
        self._selector.unregister(fd)
        self._pipes.close_output(fd)
        return False

    def _drain(self) -> None:
        """What the process wrote before it ended. Its children may hold the pipes open, so only
        what is there now."""
        for fd in list(self._pipes.outputs):
            while fd in self._pipes.outputs and self._output(fd):
                pass

    def _input(self, channel: int, data: bytes) -> None:
        if channel == STDIN and not self._stdin_ends:
            self._stdin += data
        elif channel == RESIZE:
            size = json.loads(data)
            self._session.resize(int(size.get("Width", 80)), int(size.get("Height", 24)))
        elif channel == CLOSE and data[:1] == bytes([STDIN]):
            self._stdin_ends = True

    def _flush_stdin(self) -> None:
        fd = self._pipes.ours_in
        if fd is None:
            self._stdin.clear()
            return
        try:
            while self._stdin:
                del self._stdin[: os.write(fd, self._stdin[:PIECE_BYTES])]
        except BlockingIOError:
            self._watch(fd, selectors.EVENT_WRITE, True)
            return
        except OSError:  # the process has closed its stdin
            self._stdin.clear()
            self._stdin_ends = True
        self._watch(fd, selectors.EVENT_WRITE, False)
        if self._stdin_ends:
            self._pipes.close_stdin()
