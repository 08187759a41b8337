"""Room podium/client: one HTTP/1.1 connection, kept alive, and the answers that come over it.

Used by `http.py` alone. A request leaves in one send. The standard library's `http.client` sends
headers and body apart and parses headers as e-mail; this does what the API server needs and no
more: Content-Length, chunked, or until the end of the stream.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO, cast

import orjson

from podium.client.errors import Unreachable

Body = bytes | Iterable[bytes] | None

READ_BUFFER_BYTES = 64 * 1024
MAX_LINE_BYTES = 64 * 1024
MAX_HEADERS = 100
# A peer that has vanished without a word (power, cable) is noticed by the kernel in about
# 15 + 3 x 5 seconds, and in 30 when something was sent; an idle connection costs us no CPU.
KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_PROBES = 15, 5, 3
UNANSWERED_FOR_MS = 30_000


class StaleConnection(Exception):
    """A kept connection was closed by the server before it sent a byte of the answer."""


def dial(
    address: tuple[str, int], timeout_s: float, context: ssl.SSLContext | None, server_name: str
) -> socket.socket:
    """A connected socket (TLS if there is a context); raises OSError."""
    sock = socket.create_connection(address, timeout_s)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNANSWERED_FOR_MS)
        return context.wrap_socket(sock, server_hostname=server_name) if context else sock
    except BaseException:
        sock.close()
        raise


class Connection:
    """A socket and its read buffer. One request at a time; `shut()` alone may come from outside."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._file = cast(io.BufferedReader, sock.makefile("rb", READ_BUFFER_BYTES))
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def __del__(self) -> None:
        self.close()

    def is_stale(self) -> bool:
        """Whether an idle connection has something to read: the server has closed it."""
        return bool(self._poll.poll(0))

    def send(self, head: bytes, body: Body, timeout_s: float | None) -> None:
        """Send a request; an iterable body goes out in chunks. None waits for ever."""
        self._sock.settimeout(timeout_s)
        if body is None or isinstance(body, bytes):
            self._sock.sendall(head + body if body else head)
            return
        self._sock.sendall(head)
        for piece in body:
            if piece:
                self._sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
        self._sock.sendall(b"0\r\n\r\n")

    def set_timeout(self, timeout_s: float | None) -> None:
        self._sock.settimeout(timeout_s)

    def read_head(self) -> tuple[int, dict[str, str]]:
        """The status code and the headers, their names in lower case."""
        line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise StaleConnection
        parts = line.split(None, 2)
        if len(parts) < 2 or not line.startswith(b"HTTP/1.") or not parts[1].isdigit():
            raise Unreachable(f"not an HTTP answer: {line[:80]!r}")
        headers: dict[str, str] = {}
        for _ in range(MAX_HEADERS):
            line = self._file.readline(MAX_LINE_BYTES)
            if line in (b"\r\n", b"\n"):
                return int(parts[1]), headers
            name, colon, value = line.partition(b":")
            if not colon:
                break  # the stream ended, or this is no header
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        raise Unreachable("the server sent broken headers")

    def read_exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise Unreachable("the connection was closed in the middle of an answer")
        return data

    def read_line(self) -> bytes:
        return self._file.readline(MAX_LINE_BYTES)

    def read_some(self) -> bytes:
        """What there is, at least a byte; empty at the end."""
        return self._file.read1(READ_BUFFER_BYTES)

    def write(self, data: bytes) -> None:
        """After a 101: bytes of the other protocol."""
        self._sock.sendall(data)

    def fileno(self) -> int:
        """For select(); but what is buffered (in TLS, in the reader) does not show there."""
        return self._sock.fileno()

    def shut(self) -> None:
        """Make a read in another thread end at once; safe to call at any time and twice."""
        with contextlib.suppress(OSError):
            # Not SSLSocket.shutdown: that one takes the TLS state away under the reader.
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the file descriptor back; only by whoever reads."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._sock.close()


class Response:
    """An answer: `status`, `headers`, and the body, whole (`read`) or as it comes (`chunks`).

    A streamed answer must be read to its end or closed. `shut()` may come from another thread.
    """

    def __init__(
        self,
        connection: Connection,
        status: int,
        headers: dict[str, str],
        release: Callable[[Connection], None],
        *,
        has_body: bool = True,
    ) -> None:
        self.status = status
        self.headers = headers
        self._connection: Connection | None = connection
        self._release = release
        self._body: bytes | None = None
        self._has_body = has_body and status not in (204, 304) and status >= 200

    def read(self) -> bytes:
        """The whole body; again and again if wanted."""
        if self._body is None:
            self._body = b"".join(self.chunks())
        return self._body

    def json(self) -> Any:
        """The body, parsed; raises Unreachable if it is not JSON (something else answered)."""
        try:
            return orjson.loads(self.read())
        except orjson.JSONDecodeError as error:
            raise Unreachable(f"the server did not answer with JSON: {error}") from error

    def chunks(self) -> Iterator[bytes]:
        """The body as it arrives. Raises Unreachable if the connection breaks."""
        connection = self._connection
        if connection is None:
            return
        try:
            yield from self._pieces(connection)
        except (OSError, ValueError) as error:  # ValueError: closed under us, or a bad chunk size
            raise Unreachable(f"the connection broke: {error}") from error
        else:
            self._connection = None
            self._give_back(connection)
        finally:
            self.close()

    def lines(self) -> Iterator[bytes]:
        """The body line by line, each as soon as it is complete; without the line ends."""
        pending = b""
        for chunk in self.chunks():
            pending += chunk
            if b"\n" in chunk:
                *complete, pending = pending.split(b"\n")
                yield from complete
        if pending:
            yield pending

    def shut(self) -> None:
        """End the stream at once, from any thread; its reader gets Unreachable or its end."""
        connection = self._connection
        if connection is not None:
            connection.shut()

    def close(self) -> None:
        """Drop a stream that is not read to its end; by whoever reads. Safe to repeat."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def take_over(self) -> Connection:
        """The connection itself, after a 101: from now on the caller's."""
        assert self._connection is not None, "the answer has been read"
        connection, self._connection = self._connection, None
        return connection

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pieces(self, connection: Connection) -> Iterator[bytes]:
        if not self._has_body:
            return
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            yield from _dechunked(connection)
        elif "content-length" in self.headers:
            length = int(self.headers["content-length"])
            while length > READ_BUFFER_BYTES * 16:
                yield connection.read_exactly(READ_BUFFER_BYTES * 16)
                length -= READ_BUFFER_BYTES * 16
            yield connection.read_exactly(length)
        else:
            while data := connection.read_some():
                yield data

    def _give_back(self, connection: Connection) -> None:
        framed = (
            not self._has_body
            or "content-length" in self.headers
            or ("transfer-encoding" in self.headers)
        )
        if framed and self.headers.get("connection", "").lower() != "close":
            self._release(connection)
        else:
            connection.close()


def _dechunked(connection: Connection) -> Iterator[bytes]:
    while True:
        line = connection.read_line()
        if not line:
            raise Unreachable("the connection was closed in the middle of an answer")
        size = int(line.split(b";", 1)[0], 16)
        if size == 0:
            while connection.read_line().strip():
                pass  # trailers
            return
        data = connection.read_exactly(size + 2)
        yield data[:-2]


def pieces_of(file: BinaryIO, size: int = 1024 * 1024) -> Iterator[bytes]:
    """A file as an iterable body."""
    while data := file.read(size):
        yield data
