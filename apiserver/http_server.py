"""A small WSGI server: HTTP/1.1 over TLS on gevent, one greenlet per connection, one process.

Room apiserver; started by __main__.py, serves the Flask app of routes.py. It exists because none
of the usual servers gives a WSGI application all of: client certificates, the socket (to notice
that a watcher has gone, to splice exec), refusing a body before reading it, and speed enough in
one process (docs/decisions/web-server.md). The application finds its Connection in
environ["podium.connection"].
"""

from __future__ import annotations

import io
import logging
import ssl
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import gevent
import gevent.socket
import gevent.ssl
from gevent.server import StreamServer

log = logging.getLogger("apiserver.http")

HEAD_LIMIT_BYTES = 64 << 10
RECEIVE_BYTES = 64 << 10
SEND_TOGETHER_BYTES = 64 << 10  # head and body in one write up to this
HANDSHAKE_TIMEOUT_S = 10.0
REQUEST_TIMEOUT_S = 60.0  # for the rest of a request whose first byte has come, and for each write
IDLE_TIMEOUT_S = 3600.0  # of a kept-alive connection between two requests
LINGER_S = 2.0  # how long an unread body is thrown away, so that the client can read the refusal
LINGER_BYTES = 32 << 20

_TLS_HANDSHAKE = b"\x16"  # the first byte of every TLS connection
_TLS_IS_NEEDED = (
    b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
)

StartResponse = Callable[..., Any]
WsgiApp = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]


class BadRequestLine(Exception):
    """What came is not HTTP/1.x."""


class BodyTooLarge(Exception):
    """A request's body is longer than the application takes."""


class ClientGone(OSError):
    """The client closed its end in the middle."""


class Connection:
    """One client's socket: buffered reading, and what a long answer needs to know about it."""

    def __init__(self, socket: Any, address: Any) -> None:
        self.socket = socket
        self.address = address
        self.peer_certificate: dict[str, Any] = {}
        self.identity: object = None  # what authentication made of the certificate
        self.is_taken = False  # an application that took the socket answers by itself
        self._buffer = b""
        self._readable: Any = None
        self._is_readable = False
        self._has_gone = False
        self._wake: Callable[[], object] | None = None

    # ---- reading --------------------------------------------------------------------------

    def fill(self) -> None:
        """Wait for more bytes; ClientGone at the end of the stream."""
        data = self.socket.recv(RECEIVE_BYTES)
        if not data:
            raise ClientGone("the client closed the connection")
        self._buffer += data

    def read_head(self) -> bytes | None:
        """The request line and headers without the empty line; None when the client is done."""
        while not self._buffer.lstrip(b"\r\n"):
            self.socket.settimeout(IDLE_TIMEOUT_S)
            try:
                self.fill()
            except OSError:
                return None
        self.socket.settimeout(REQUEST_TIMEOUT_S)
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise BadRequestLine("the request's header is too long")
            self.fill()
        head, self._buffer = self._buffer[:end], self._buffer[end + 4 :]
        return head.lstrip(b"\r\n")

    def read_some(self, size: int) -> bytes:
        """1 to `size` bytes."""
        if not self._buffer:
            self.fill()
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    def read_line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > HEAD_LIMIT_BYTES:
                raise BadRequestLine("a line of a chunked body is too long")
            self.fill()
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return line.rstrip(b"\r")

    def take(self) -> tuple[Any, bytes]:
        """Hand over the socket and what has been read from it already; nothing is answered here."""
        self.is_taken = True
        data, self._buffer = self._buffer, b""
        return self.socket, data

    # ---- noticing that the client has gone ----------------------------------------------------

    def on_readable(self, wake: Callable[[], object]) -> None:
        """Call `wake` when the socket becomes readable: in the middle of an answer that means,
        almost always, that the client has closed it."""
        self._wake = wake
        self._readable = gevent.get_hub().loop.io(self.socket.fileno(), 1)
        self._readable.start(self._became_readable)

    def stop_on_readable(self) -> None:
        if self._readable is not None:
            self._readable.stop()
            self._readable.close()
            self._readable = None

    def has_gone(self) -> bool:
        """Whether the client has closed its end. Never blocks."""
        if self._is_readable and not self._has_gone:
            self._is_readable = False
            self._has_gone = not self._read_without_waiting()
            if self._readable is not None and not self._has_gone:
                self._readable.start(self._became_readable)
        return self._has_gone

    def _became_readable(self) -> None:
        self._readable.stop()
        self._is_readable = True
        if self._wake is not None:
            self._wake()

    def _read_without_waiting(self) -> bool:
        """False at the end of the stream. A pipelined request is kept for later."""
        timeout = self.socket.gettimeout()
        self.socket.settimeout(0.0)
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            return True
        except OSError:
            return False
        finally:
            self.socket.settimeout(timeout)
        self._buffer += data
        return bool(data) and len(self._buffer) <= HEAD_LIMIT_BYTES

    # ---- ending -----------------------------------------------------------------------------

    def linger(self) -> None:
        """Throw away what still comes, within bounds, so that the client gets to read the
        answer."""
        until, left = time.monotonic() + LINGER_S, LINGER_BYTES
        try:
            while left > 0 and (wait := until - time.monotonic()) > 0:
                self.socket.settimeout(wait)
                data = self.socket.recv(RECEIVE_BYTES)
                if not data:
                    return
                left -= len(data)
        except OSError:
            return  # it closed or is too slow: both end here


class Body(io.RawIOBase):
    """A request's body, read from the connection when it is asked for (wsgi.input)."""

    def __init__(
        self, connection: Connection, length: int | None, before: Callable[[], None] | None
    ) -> None:
        self._connection = connection
        self._left = length or 0
        self._is_chunked = length is None
        self._before = before  # says "100 Continue" once, when somebody wants the body
        self.length = length
        self.is_done = length == 0

    def chunks(self) -> Iterator[bytes]:
        """The body as it comes."""
        if self.is_done:
            return
        if self._before is not None:
            self._before()
            self._before = None
        while not self.is_done:
            data = self._next()
            if data:
                yield data

    def read_all(self, limit: int) -> bytes:
        """The whole body; BodyTooLarge, without reading on, when it is longer than `limit`."""
        if self.length is not None and self.length > limit:
            raise BodyTooLarge
        parts: list[bytes] = []
        size = 0
        for data in self.chunks():
            size += len(data)
            if size > limit:
                raise BodyTooLarge
            parts.append(data)
        return b"".join(parts)

    def read(self, size: int = -1) -> bytes:
        """For Flask's own form parsing."""
        limit = HEAD_LIMIT_BYTES if size < 0 else size
        return self.read_all(limit)

    def _next(self) -> bytes:
        if self._left == 0 and self._is_chunked:
            self._read_chunk_size()
            if self.is_done:
                return b""
        data = self._connection.read_some(min(self._left, RECEIVE_BYTES))
        self._left -= len(data)
        if self._left == 0:
            if self._is_chunked:
                self._connection.read_line()
            else:
                self.is_done = True
        return data

    def _read_chunk_size(self) -> None:
        line = self._connection.read_line().split(b";")[0].strip()
        try:
            self._left = int(line, 16)
        except ValueError:
            raise BadRequestLine("a chunked body without a chunk size") from None
        if self._left == 0:
            while self._connection.read_line():
                pass  # trailers
            self.is_done = True


def parse_head(head: bytes) -> dict[str, Any]:
    """The request part of a WSGI environ."""
    lines = head.decode("latin-1").split("\r\n")
    try:
        method, target, protocol = lines[0].split(" ")
    except ValueError:
        raise BadRequestLine(f"malformed request line {lines[0][:80]!r}") from None
    if not protocol.startswith("HTTP/1."):
        raise BadRequestLine(f"unsupported protocol {protocol[:20]!r}")
    if target.startswith("http"):  # absolute form, as sent to a proxy
        target = "/" + target.split("/", 3)[-1]
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "RAW_URI": target,
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": protocol,
    }
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if not colon or not name or " " in name or "\t" in name:
            raise BadRequestLine(f"malformed header {line[:80]!r}")
        key = "HTTP_" + name.upper().replace("-", "_")
        value = value.strip()
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if "HTTP_" + name in environ:
            environ[name] = environ.pop("HTTP_" + name)
    return environ


class HttpServer:
    """Serves one WSGI application on one address."""

    def __init__(self, host: str, port: int, app: WsgiApp, context: ssl.SSLContext) -> None:
        self._app = app
        self._context = context
        family = gevent.socket.AF_INET6 if ":" in host else gevent.socket.AF_INET
        self._listener = gevent.socket.socket(family, gevent.socket.SOCK_STREAM)
        self._listener.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_REUSEADDR, 1)
        self._listener.bind((host, port))
        self._listener.listen(1024)
        self.host, self.port = self._listener.getsockname()[:2]
        self._server = StreamServer(self._listener, self._serve)
        self._open: set[gevent.Greenlet] = set()
        self._base = {
            "SCRIPT_NAME": "",
            "SERVER_NAME": str(self.host),
            "SERVER_PORT": str(self.port),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https",
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": False,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "wsgi.input_terminated": True,
            "podium.server": self,
        }

    def start(self) -> None:
        """Accept from now on."""
        self._server.start()

    def stop(self, grace_s: float = 1.0) -> None:
        """Accept no more; give running answers `grace_s`, then drop them."""
        self._server.close()
        busy = [g for g in self._open if g is not gevent.getcurrent()]
        gevent.joinall(busy, timeout=grace_s)
        gevent.killall(busy, timeout=1.0)

    def connections(self) -> int:
        return len(self._open)

    # ---- one connection -----------------------------------------------------------------------

    def _serve(self, plain: Any, address: Any) -> None:
        current = gevent.getcurrent()
        self._open.add(current)
        socket = plain
        try:
            plain.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            plain.settimeout(HANDSHAKE_TIMEOUT_S)
            if plain.recv(1, gevent.socket.MSG_PEEK) not in (_TLS_HANDSHAKE, b""):
                plain.recv(RECEIVE_BYTES)  # unread bytes would turn the close into a reset
                plain.sendall(_TLS_IS_NEEDED)
                return
            socket = self._context.wrap_socket(plain, server_side=True)
            connection = Connection(socket, address)
            connection.peer_certificate = socket.getpeercert() or {}
            while self._serve_one(connection):
                pass
        except OSError as error:
            log.debug("connection from %s: %s", address, error)
        finally:
            self._open.discard(current)
            socket.close()

    def _serve_one(self, connection: Connection) -> bool:
        """One request; whether another may follow on this connection."""
        try:
            head = connection.read_head()
            if head is None:
                return False
            environ = {**self._base, **parse_head(head)}
            body = _body_of(connection, environ)
        except BadRequestLine as error:
            _refuse(connection, str(error))
            return False
        environ["wsgi.input"] = body
        environ["podium.connection"] = connection
        keep_alive = _keeps_alive(environ)
        answer = Answer(
            connection, environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"], keep_alive
        )
        answer.run(self._app, environ)
        if connection.is_taken:
            return False
        if not body.is_done:
            if body.length is None or body.length > RECEIVE_BYTES or not answer.keep_alive:
                connection.linger()
                return False
            body.read_all(RECEIVE_BYTES)
        return answer.keep_alive


def _keeps_alive(environ: dict[str, Any]) -> bool:
    said = environ.get("HTTP_CONNECTION", "").lower()
    return environ["SERVER_PROTOCOL"] != "HTTP/1.0" and "close" not in said


def _body_of(connection: Connection, environ: dict[str, Any]) -> Body:
    before = None
    if environ.get("HTTP_EXPECT", "").lower() == "100-continue":

        def before() -> None:
            connection.socket.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    if "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower():
        return Body(connection, None, before)
    length = environ.get("CONTENT_LENGTH", "0") or "0"
    if not length.isdigit():
        raise BadRequestLine(f"malformed Content-Length {length[:20]!r}")
    return Body(connection, int(length), before)


def _refuse(connection: Connection, why: str) -> None:
    body = f"400 Bad Request: {why}\n".encode()
    connection.socket.sendall(
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


class Answer:
    """Writes one response: a body of known length at once, anything else chunked as it comes."""

    def __init__(
        self, connection: Connection, method: str, protocol: str, keep_alive: bool
    ) -> None:
        self._connection = connection
        self._method = method
        self._is_http10 = protocol == "HTTP/1.0"
        self.keep_alive = keep_alive
        self._status = ""
        self._headers: list[tuple[str, str]] = []
        self._is_head_sent = False

    def run(self, app: WsgiApp, environ: dict[str, Any]) -> None:
        body = app(environ, self._start)
        try:
            if self._connection.is_taken:
                return
            self._send(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()

    def _start(self, status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
        self._status, self._headers = status, headers

    def _send(self, body: Iterable[bytes]) -> None:
        code = self._status[:3]
        has_length = any(name.lower() == "content-length" for name, _ in self._headers)
        has_body = self._method != "HEAD" and code not in ("204", "304")
        if any(name.lower() == "connection" and value == "close" for name, value in self._headers):
            self.keep_alive = False
        is_chunked = has_body and not has_length and not self._is_http10
        if has_body and not has_length and self._is_http10:
            self.keep_alive = False
        head = self._head(is_chunked)
        if not has_body:
            self._connection.socket.sendall(head)
        elif is_chunked:
            self._send_chunked(head, body)
        else:
            self._send_plain(head, body)

    def _head(self, is_chunked: bool) -> bytes:
        lines = [f"HTTP/1.1 {self._status}"]
        lines += [f"{name}: {value}" for name, value in self._headers]
        if is_chunked:
            lines.append("Transfer-Encoding: chunked")
        if not self.keep_alive and "Connection: close" not in lines:
            lines.append("Connection: close")
        lines.append("\r\n")
        return "\r\n".join(lines).encode("latin-1")

    def _send_plain(self, head: bytes, body: Iterable[bytes]) -> None:
        pending = head
        for data in body:
            pending += data
            if len(pending) >= SEND_TOGETHER_BYTES:
                self._connection.socket.sendall(pending)
                pending = b""
        if pending:
            self._connection.socket.sendall(pending)

    def _send_chunked(self, head: bytes, body: Iterable[bytes]) -> None:
        """The head goes out at once: a watcher must learn that its watch has begun."""
        send = self._connection.socket.sendall
        send(head)
        for data in body:
            if data:
                send(b"%x\r\n%b\r\n" % (len(data), data))
        send(b"0\r\n\r\n")


def server_context(certificate: str, key: str, client_ca: str) -> ssl.SSLContext:
    """TLS as the API serves it: certificates of our CA say who a client is, none is anonymous."""
    context: ssl.SSLContext = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    context.num_tickets = 1  # one write after the handshake also acknowledges the client's
    return context
