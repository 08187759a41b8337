"""One TLS connection that a single thread reads and writes without ever blocking in it.

Room kubelet; below everything in kubelet/streams. A TLS object must not be used by two threads at
once, so the thread that serves a connection waits for it and for all else in one place (Watches).
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time

from podium.client.spdy import Gone

__all__ = ["FULL_BYTES", "HUNG_UP", "READABLE", "WRITABLE", "Gone", "Link", "Watches"]

READABLE, WRITABLE, HUNG_UP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLRDHUP
READ_BYTES = 128 * 1024
FULL_BYTES = 256 * 1024  # unsent: from here on nothing more is read for the client
FLUSH_S = 60.0  # for a client to take the last of it
LINGER_S = 2.0  # for a client to close its end


class Link:
    """A connection whose request has been read. `send` never blocks: what the client does not take
    now is kept, and whoever fills it looks at `is_full`."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self._sock = sock
        self._unsent = bytearray()
        sock.setblocking(False)

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def has_input(self) -> bool:
        """Whether there is decrypted input, of which no poll tells."""
        return self._sock.pending() > 0

    @property
    def unsent_bytes(self) -> int:
        return len(self._unsent)

    @property
    def is_full(self) -> bool:
        return len(self._unsent) >= FULL_BYTES

    def events(self, *, wants_input: bool) -> int:
        """What to wait for; a client that goes is noticed in any case."""
        return (READABLE if wants_input else HUNG_UP) | (WRITABLE if self._unsent else 0)

    def receive(self) -> bytes:
        """What has come, b"" for nothing yet. Raises Gone."""
        try:
            data = self._sock.recv(READ_BYTES)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as failure:
            raise Gone(str(failure)) from failure
        if not data:
            raise Gone("the connection was closed")
        return data

    def send(self, data: bytes) -> None:
        """Raises Gone."""
        self._unsent += data
        self.flush()

    def flush(self) -> None:
        """As much as the client takes. Raises Gone."""
        try:
            while self._unsent:
                del self._unsent[: self._sock.send(self._unsent)]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as failure:
            raise Gone(str(failure)) from failure

    def finish(self) -> None:
        """Deliver what is left and say that it was all. Waits for the client to close, for closing
        a socket with unread input would throw away what is still on its way out."""
        with contextlib.suppress(Gone, OSError):
            self._flush_within(FLUSH_S)
            self._sock.shutdown(socket.SHUT_WR)
            self._sock.settimeout(LINGER_S)
            until = time.monotonic() + LINGER_S
            while time.monotonic() < until and self._sock.recv(READ_BYTES):
                pass

    def _flush_within(self, bound_s: float) -> None:
        until = time.monotonic() + bound_s
        while True:
            self.flush()
            if not self._unsent or time.monotonic() > until:
                return
            select.select([], [self._sock], [], 1.0)


class Watches:
    """epoll, told for each descriptor what is wanted of it now."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._wanted: dict[int, int] = {}

    def want(self, fd: int, events: int) -> None:
        """0: nothing. Before a descriptor is closed it must not be wanted any more."""
        before = self._wanted.get(fd, 0)
        if events == before:
            return
        if not events:
            del self._wanted[fd]
            self._epoll.unregister(fd)
            return
        (self._epoll.modify if before else self._epoll.register)(fd, events)
        self._wanted[fd] = events

    def wait(self, timeout_s: float | None = None) -> dict[int, int]:
        """The descriptors that are ready → for what; {} after `timeout_s`."""
        return dict(self._epoll.poll(timeout_s))

    def close(self) -> None:
        self._epoll.close()
