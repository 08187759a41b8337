"""port-forward: connections of a client to ports of a Pod, many on one connection.

Room kubelet; called by server.py in a connection's own thread, which serves all of them: it waits
for the client and for the Pod's sockets in one place. Three ways in:

- SPDY/3.1: for each connection the client opens an error and a data stream, with the same
  `requestid` and the `port` in their headers; the same inside of a WebSocket
  (`SPDY/3.1+portforward.k8s.io`, KEP-4006), where messages are one stream of bytes.
- the older WebSocket (`v4.channel.k8s.io`, the Python client's): the ports stand in the query, port
  i has the channels 2i (data) and 2i+1 (error), and each channel begins with its port in two bytes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Protocol

from kubelet.network import NetworkError
from kubelet.streams import spdy_upgrade, websocket
from kubelet.streams.link import READABLE, WRITABLE, Gone, Link, Watches
from podium.client import spdy

PROTOCOL = "portforward.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"
CHANNELS = "v4.channel.k8s.io"
PIECE_BYTES = 64 * 1024
MAX_UNTAKEN_BYTES = 1024 * 1024  # for one port: then the client has to wait
_ADDRESSES = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

Open = Callable[[int], socket.socket]  # address family → a socket in the Pod's network namespace


def serve(
    handler: BaseHTTPRequestHandler, pod: str, open_socket: Open, query: dict[str, list[str]]
) -> None:
    """Answer one port-forward request; `pod` is its name for messages, "web_default, uid …".
    Raises ValueError before the connection is upgraded."""
    front = _front(handler, query)
    forward = Forward(front, pod, open_socket)
    try:
        forward.run()
    except Gone:
        return
    finally:
        forward.close()


def _front(handler: BaseHTTPRequestHandler, query: dict[str, list[str]]) -> Front:
    if spdy_upgrade.is_wanted(handler):
        _, link = spdy_upgrade.upgrade(handler, (PROTOCOL,))
        return SpdyFront(link, link.send, lambda: iter((link.receive(),)))
    ports = [_port(word) for value in query.get("ports") or () for word in value.split(",")]
    protocol, messages = websocket.upgrade(handler, (TUNNEL, CHANNELS))
    if protocol == TUNNEL:
        return SpdyFront(messages.link, messages.send, messages.pieces)
    return ChannelFront(messages, ports)


def _port(word: str) -> int:
    if not word.isdigit() or not 0 < int(word) < 65536:
        raise ValueError(f"port {word!r} must be > 0 and < 65536")
    return int(word)


class Front(Protocol):
    """The client's side. A number stands for one connection; everything raises Gone."""

    link: Link

    def receive(self, forward: Forward) -> None:
        """Read once, and tell `forward` of what came."""

    def data(self, number: int, data: bytes) -> None: ...
    def taken(self, number: int, count: int) -> None:
        """The Pod has taken so many bytes."""

    def error(self, number: int, message: str) -> None: ...
    def end_data(self, number: int) -> None:
        """Nothing more comes from the Pod."""

    def close(self, number: int) -> None:
        """The connection is over in both directions."""


class SpdyFront:
    """A connection's number is its data stream's."""

    def __init__(
        self,
        link: Link,
        send: Callable[[bytes], object],
        receive: Callable[[], Iterator[bytes]],
    ) -> None:
        self.link = link
        self._receive = receive
        self._session = spdy.Session(send)
        self._error_streams: dict[str, int] = {}  # request id → stream: its data stream is to come
        self._error_of: dict[int, int] = {}  # data stream → error stream

    def receive(self, forward: Forward) -> None:
        for piece in self._receive():
            for event in self._session.feed(piece):
                self._handle(event, forward)

    def _handle(self, event: spdy.Event, forward: Forward) -> None:
        if isinstance(event, spdy.Opened):
            self._open(event, forward)
        elif event.stream not in self._error_of:
            if isinstance(event, spdy.Data):
                self._session.consumed(event.stream, len(event.data))
        elif isinstance(event, spdy.Reset):
            forward.abort(event.stream)
            self.close(event.stream)
        else:
            forward.take(event.stream, event.data)
            if event.is_last:
                forward.end_input(event.stream)

    def _open(self, event: spdy.Opened, forward: Forward) -> None:
        """An error stream comes first and waits for the data stream of the same request."""
        kind, request = event.headers.get("streamtype"), event.headers.get("requestid")
        try:
            port = _port(event.headers.get("port", ""))
        except ValueError:
            kind = None
        is_too_much = len(self._error_of) + len(self._error_streams) >= spdy.MAX_STREAMS
        if kind == "error" and not is_too_much:
            self._session.reply(event.stream)
            self._error_streams[request or str(event.stream)] = event.stream
        elif kind == "data" and (
            error := self._error_streams.pop(request or str(event.stream - 2), 0)
        ):
            self._session.reply(event.stream)
            self._error_of[event.stream] = error
            forward.connect(event.stream, port)
        else:
            self._session.reset(event.stream, spdy.REFUSED_STREAM)

    def data(self, number: int, data: bytes) -> None:
        self._session.write(number, data)

    def taken(self, number: int, count: int) -> None:
        self._session.consumed(number, count)

    def error(self, number: int, message: str) -> None:
        self._session.write(self._error_of[number], message.encode())

    def end_data(self, number: int) -> None:
        self._session.write(number, b"", is_last=True)

    def close(self, number: int) -> None:
        if error := self._error_of.pop(number, 0):
            self._session.write(error, b"", is_last=True)


class ChannelFront:
    """A connection's number is its place in the query. They are made at once, and the whole is over
    when the client goes: the protocol cannot end one channel."""

    def __init__(self, messages: websocket.WebSocket, ports: list[int]) -> None:
        self.link = messages.link
        self._messages = messages
        self._ports = ports
        self._has_begun = False
        self._open: set[int] = set()

    def receive(self, forward: Forward) -> None:
        for message in self._messages.messages():
            number, is_error = divmod(message[0], 2) if message else (0, 1)
            if not is_error and number in self._open:
                forward.take(number, message[1:])

    def begin(self, forward: Forward) -> None:
        for number, port in enumerate(self._ports):
            for channel in (2 * number, 2 * number + 1):
                self._messages.send(bytes([channel]) + port.to_bytes(2, "little"))
            self._open.add(number)
            forward.connect(number, port)

    def data(self, number: int, data: bytes) -> None:
        self._messages.send(bytes([2 * number]) + data)

    def taken(self, number: int, count: int) -> None:
        """A WebSocket has no windows."""

    def error(self, number: int, message: str) -> None:
        self._messages.send(bytes([2 * number + 1]) + message.encode())

    def end_data(self, number: int) -> None:
        self.close(number)

    def close(self, number: int) -> None:
        self._open.discard(number)
        if not self._open:
            self._messages.close()
            self.link.finish()
            raise Gone("every connection is over")


class Pipe:
    """One connection to a port of the Pod."""

    def __init__(self, number: int, port: int) -> None:
        self.number, self.port = number, port
        self.sock: socket.socket
        self.untaken = bytearray()  # what the Pod has not taken yet
        self.is_connecting = True
        self.input_ends = self.input_ended = self.output_ended = False
        self.untried = list(_ADDRESSES)
        self.failures: list[str] = []


class Forward:
    """Moves bytes until the client goes."""

    def __init__(self, front: Front, pod: str, open_socket: Open) -> None:
        self._front, self._pod, self._open_socket = front, pod, open_socket
        self._watches = Watches()
        self._pipes: dict[int, Pipe] = {}  # by number
        self._by_fd: dict[int, Pipe] = {}

    def run(self) -> None:
        """Raises Gone when the client has gone."""
        if isinstance(self._front, ChannelFront):
            self._front.begin(self)
        while True:
            self._step()

    def _step(self) -> None:
        link = self._front.link
        wants_input = all(len(p.untaken) < MAX_UNTAKEN_BYTES for p in self._pipes.values())
        has_input = wants_input and link.has_input
        self._watches.want(link.fileno(), link.events(wants_input=wants_input))
        for fd, pipe in self._by_fd.items():
            self._watches.want(fd, self._wanted_of(pipe))
        ready = self._watches.wait(0 if has_input else None)
        events = ready.pop(link.fileno(), 0)
        if events & WRITABLE:
            link.flush()
        if events & ~WRITABLE and not wants_input:
            raise Gone("the client hung up")
        for fd in ready.keys() & self._by_fd.keys():
            self._serve(self._by_fd[fd])
        if events & ~WRITABLE or has_input:
            self._front.receive(self)

    def _wanted_of(self, pipe: Pipe) -> int:
        if pipe.is_connecting:
            return WRITABLE
        reads = not pipe.output_ended and not self._front.link.is_full
        return (READABLE if reads else 0) | (WRITABLE if pipe.untaken else 0)

    # ---- what the client does ----

    def connect(self, number: int, port: int) -> None:
        pipe = self._pipes[number] = Pipe(number, port)
        self._try_next(pipe)

    def take(self, number: int, data: bytes) -> None:
        """Bytes for the Pod."""
        pipe = self._pipes.get(number)
        if pipe is None or pipe.input_ended:
            self._front.taken(number, len(data))
            return
        pipe.untaken += data
        self._write(pipe)

    def end_input(self, number: int) -> None:
        if pipe := self._pipes.get(number):
            pipe.input_ends = True
            self._write(pipe)

    def abort(self, number: int) -> None:
        """The client has lost interest in it."""
        if pipe := self._pipes.pop(number, None):
            self._forget_socket(pipe)

    # ---- what the Pod does ----

    def _try_next(self, pipe: Pipe) -> None:
        """localhost as IPv4, then as IPv6."""
        while pipe.untried:
            family, address = pipe.untried.pop(0)
            try:
                pipe.sock = self._open_socket(family)
            except OSError as failure:
                pipe.failures.append(_words(family, address, pipe.port, failure.errno))
                continue
            except NetworkError as failure:
                pipe.failures = [str(failure)]
                break
            pipe.sock.setblocking(False)
            code = pipe.sock.connect_ex((address, pipe.port))
            if code in (0, errno.EINPROGRESS):
                self._by_fd[pipe.sock.fileno()] = pipe
                return
            pipe.failures.append(_words(family, address, pipe.port, code))
            pipe.sock.close()
        message = f"failed to connect to localhost:{pipe.port} inside the pod: "
        self._fail(pipe, message + ", ".join(pipe.failures))

    def _fail(self, pipe: Pipe, message: str) -> None:
        words = f"error forwarding port {pipe.port} to pod {self._pod}: {message}"
        self._front.error(pipe.number, words)
        self._end(pipe)

    def _serve(self, pipe: Pipe) -> None:
        """Its socket is ready for something."""
        if pipe.is_connecting and not self._has_connected(pipe):
            return
        self._write(pipe)
        if pipe.number in self._pipes and not pipe.output_ended and not self._front.link.is_full:
            self._read(pipe)

    def _has_connected(self, pipe: Pipe) -> bool:
        code = pipe.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code == 0:
            pipe.is_connecting = False
            return True
        family, address = next(a for a in _ADDRESSES if a[0] == pipe.sock.family)
        pipe.failures.append(_words(family, address, pipe.port, code))
        self._forget_socket(pipe)
        self._try_next(pipe)
        return False

    def _read(self, pipe: Pipe) -> None:
        try:
            data = pipe.sock.recv(PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:  # reset by the Pod
            self._end(pipe)
            return
        if data:
            self._front.data(pipe.number, data)
            return
        pipe.output_ended = True
        if pipe.input_ended:
            self._end(pipe)
        else:
            self._front.end_data(pipe.number)

    def _write(self, pipe: Pipe) -> None:
        """What the client has sent, then its end."""
        if pipe.is_connecting or pipe.input_ended:
            return
        try:
            while pipe.untaken:
                sent = pipe.sock.send(pipe.untaken)
                del pipe.untaken[:sent]
                self._front.taken(pipe.number, sent)
        except BlockingIOError:
            return
        except OSError:  # it takes nothing any more; it may still have something to say
            pipe.untaken.clear()
            pipe.input_ends = True
        if pipe.input_ends:
            pipe.input_ended = True
            with contextlib.suppress(OSError):
                pipe.sock.shutdown(socket.SHUT_WR)
            if pipe.output_ended:
                self._end(pipe)

    # ---- ends ----

    def _end(self, pipe: Pipe) -> None:
        del self._pipes[pipe.number]
        self._forget_socket(pipe)
        if not pipe.output_ended:
            self._front.end_data(pipe.number)
        self._front.close(pipe.number)

    def _forget_socket(self, pipe: Pipe) -> None:
        fd = pipe.sock.fileno() if hasattr(pipe, "sock") else -1
        if self._by_fd.pop(fd, None):
            self._watches.want(fd, 0)
            pipe.sock.close()

    def close(self) -> None:
        for pipe in self._pipes.values():
            self._forget_socket(pipe)
        self._watches.close()


def _words(family: int, address: str, port: int, code: int | None) -> str:
    """`IPv4: dial tcp4 127.0.0.1:80: connect: connection refused`."""
    version = "4" if family == socket.AF_INET else "6"
    where = address if version == "4" else f"[{address}]"
    reason = os.strerror(code or errno.EIO).lower()
    return f"IPv{version}: dial tcp{version} {where}:{port}: connect: {reason}"
