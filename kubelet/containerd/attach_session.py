"""attach under containerd: a SPDY/3.1 client of its streaming server.

Called by runtime.py in the kubelet. The CRI answers Attach with a URL on the loopback; a thread
speaks to it for as long as somebody is attached. containerd lets a container wait for whoever reads
slowly, so here everything is read at once, and a reader whose pipe is full is let go.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import threading
import time
from urllib.parse import urlsplit

from kubelet.runtime.errors import RuntimeFailure
from podium.client.spdy import SYN_REPLY, Data, Gone, Session

CONNECT_TIMEOUT_S = 10.0
SETTLE_S = 0.05  # from its replies until containerd hands us output, of which it does not tell
PIECE_BYTES = 32 << 10
_ORDER = ("error", "stdin", "stdout", "stderr", "resize")
_LET_GO = 1


class ContainerdAttach:
    """The Protocol is `ExecSession`. The caller's descriptors are duplicated."""

    def __init__(self, url: str, pid: int, fds: dict[str, int], *, tty: bool) -> None:
        self.pid = pid
        self._fds = {name: os.dup(fd) for name, fd in fds.items()}
        self._tty = tty
        self._streams: dict[str, int] = {}
        self._ended = threading.Event()
        self._exit_code = 0
        try:
            self._socket = self._connect(url)
        except BaseException:
            self._close_fds()
            raise
        threading.Thread(target=self._serve, name="containerd-attach", daemon=True).start()

    def _connect(self, url: str) -> socket.socket:
        where = urlsplit(url)
        channel = socket.create_connection((where.hostname, where.port), CONNECT_TIMEOUT_S)
        request = (
            f"POST {where.path} HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: Upgrade\r\n"
            "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        channel.sendall(request.encode())
        head = b""
        while b"\r\n\r\n" not in head and (piece := channel.recv(1)):
            head += piece
        if not head.startswith(b"HTTP/1.1 101"):
            channel.close()
            status = head.split(b"\r", 1)[0].decode(errors="replace")
            raise RuntimeFailure(f"attach: containerd answers {status!r}")
        self._session = Session(channel.sendall, is_client=True)
        wanted = {"error", *self._fds, *(("resize",) if self._tty else ())}
        for name in (each for each in _ORDER if each in wanted):
            self._streams[name] = self._session.open({"streamtype": name})
        self._early = _until_replied(channel, len(wanted))
        time.sleep(SETTLE_S)
        channel.settimeout(None)
        return channel

    # ---- while it lasts ----

    def _serve(self) -> None:
        names = {number: name for name, number in self._streams.items()}
        for name in ("stdout", "stderr"):
            if name in self._fds:
                os.set_blocking(self._fds[name], False)
        try:
            self._receive(names, self._early)
            with selectors.DefaultSelector() as selector:
                selector.register(self._socket, selectors.EVENT_READ, "socket")
                if "stdin" in self._fds:
                    selector.register(self._fds["stdin"], selectors.EVENT_READ, "stdin")
                while True:
                    for key, _ in selector.select():
                        if key.data == "stdin":
                            self._feed(selector)
                        else:
                            self._receive(names, self._socket.recv(PIECE_BYTES))
        except BlockingIOError:
            self._exit_code = _LET_GO
        except (OSError, Gone, EOFError):
            pass  # containerd says that it is over, or the reader has gone
        self._socket.close()
        self._close_fds()
        self._ended.set()

    def _feed(self, selector: selectors.BaseSelector) -> None:
        """At its end containerd ends the container's stdin, or lets us go: as `stdin_once` says."""
        data = os.read(self._fds["stdin"], PIECE_BYTES)
        if not data:
            selector.unregister(self._fds["stdin"])
        self._session.write(self._streams["stdin"], data, is_last=not data)

    def _receive(self, names: dict[int, str], data: bytes) -> None:
        if not data:
            raise EOFError
        for event in self._session.feed(data):
            name = names.get(event.stream)
            if isinstance(event, Data) and name == "error" and event.is_last:
                raise EOFError
            if isinstance(event, Data) and name in ("stdout", "stderr") and name in self._fds:
                self._write(self._fds[name], event.data)

    @staticmethod
    def _write(fd: int, data: bytes) -> None:
        """BlockingIOError when the pipe has no room for all of it."""
        while data:
            data = data[os.write(fd, data) :]

    # ---- the Protocol ----

    def wait(self, timeout_s: float | None = None) -> int:
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"still attached after {timeout_s} s")
        return self._exit_code

    def resize(self, width: int, height: int) -> None:
        if self._tty and not self._ended.is_set():
            size = f'{{"Width": {width}, "Height": {height}}}'.encode()
            with contextlib.suppress(OSError):  # it has ended meanwhile
                self._session.write(self._streams["resize"], size)

    def kill(self) -> None:
        with contextlib.suppress(OSError):  # it has ended already
            self._socket.shutdown(socket.SHUT_RDWR)

    def _close_fds(self) -> None:
        for fd in self._fds.values():
            os.close(fd)


def _until_replied(channel: socket.socket, count: int) -> bytes:
    """All that comes until so many streams are accepted; RuntimeFailure if they are not."""
    data, at = b"", 0
    while count:
        piece = channel.recv(PIECE_BYTES)
        if not piece:
            raise RuntimeFailure("attach: containerd has closed the connection")
        data += piece
        while len(data) >= at + 8:
            kind, length = struct.unpack_from(">II", data, at)
            at += 8 + (length & 0xFFFFFF)
            count -= kind >> 31 and kind & 0xFFFF == SYN_REPLY
    return data
