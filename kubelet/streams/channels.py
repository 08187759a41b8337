"""The streams of a process on one connection: stdin, stdout, stderr, error (a Status) and resize.

Room kubelet; called by process.py. Two ways to carry them: WebSocket messages whose first byte
names the channel (KEP-4006), and SPDY streams whose header `streamtype` does. The names of the
protocol versions are Kubernetes' own: v2 to v5 differ in what the error channel says (before v4 a
text, then a Status), whether a terminal can be resized (from v3), and whether a WebSocket can end
stdin alone (v5).
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any, Protocol

from kubelet.streams import spdy_upgrade, websocket
from kubelet.streams.link import Gone, Link, Watches
from podium.client import spdy

Object = dict[str, Any]

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
WEBSOCKET_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "base64.channel.k8s.io",
    "channel.k8s.io",
)
SPDY_PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
)
STREAMS_TIMEOUT_S = 30.0  # for a SPDY client to open the streams it has asked for
_BY_STREAM_TYPE = {"stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "error": ERROR,
                   "resize": RESIZE}  # fmt: skip


class Channels(Protocol):
    """What both ways offer; used by one thread. Everything raises Gone."""

    link: Link

    def send(self, channel: int, data: bytes) -> None: ...
    def receive(self) -> Iterator[tuple[int, bytes]]:
        """What one read brings; (CLOSE, b"\\0") is the end of stdin."""

    def finish(self, status: Object) -> None:
        """Say how it ended and close; a client that has gone already is no error."""


def upgrade(handler: BaseHTTPRequestHandler, wanted: set[str]) -> Channels:
    """Answer an upgrade request with 101. `wanted` are the request's "stdin", "stdout", "stderr"
    and "tty". Raises ValueError if we do not speak what is asked for, Gone if the client does not
    go on as it began."""
    if spdy_upgrade.is_wanted(handler):
        protocol, link = spdy_upgrade.upgrade(handler, SPDY_PROTOCOLS)
        streams = SpdyChannels(link, protocol)
        streams.wait_for(wanted)
        return streams
    protocol, messages = websocket.upgrade(handler, WEBSOCKET_PROTOCOLS)
    channels = WebSocketChannels(messages, protocol)
    if not protocol.startswith("v5"):  # older clients take the first message as "connected"
        first = [c for c in (STDOUT, STDERR) if ("stdout", "stderr")[c - 1] in wanted]
        channels.send(first[0] if first else ERROR, b"")
    return channels


def _last_words(protocol: str, status: Object) -> bytes:
    """What the error channel says at the end."""
    if protocol.startswith(("v4", "v5")):
        return json.dumps(status).encode()
    return b"" if status["status"] == "Success" else str(status["message"]).encode()


class WebSocketChannels:
    """First byte of a message = channel; in the base64 protocols a digit, then base64."""

    def __init__(self, messages: websocket.WebSocket, protocol: str) -> None:
        self.link = messages.link
        self._messages, self._protocol = messages, protocol
        self._is_base64 = "base64" in protocol

    def send(self, channel: int, data: bytes) -> None:
        if self._is_base64:
            self._messages.send(f"{channel}{base64.b64encode(data).decode()}")
        else:
            self._messages.send(bytes([channel]) + data)

    def receive(self) -> Iterator[tuple[int, bytes]]:
        for message in self._messages.messages():
            if message and self._is_base64:
                try:
                    yield message[0] - ord("0"), base64.b64decode(message[1:], validate=True)
                except ValueError as failure:
                    raise Gone(str(failure)) from failure
            elif message:
                yield message[0], message[1:]

    def finish(self, status: Object) -> None:
        try:
            if words := _last_words(self._protocol, status):
                self.send(ERROR, words)
            self._messages.close()
        except Gone:
            return
        self.link.finish()


class SpdyChannels:
    """One stream for each; the client opens them."""

    def __init__(self, link: Link, protocol: str) -> None:
        self.link = link
        self._protocol = protocol
        self._session = spdy.Session(link.send)
        self._streams: dict[int, int] = {}  # stream → channel
        self._numbers: dict[int, int] = {}  # channel → stream
        self._early: list[tuple[int, bytes]] = []

    def wait_for(self, wanted: set[str]) -> None:
        """Until the client has opened the streams it has asked for. Raises Gone."""
        channels = {_BY_STREAM_TYPE[name] for name in wanted - {"tty"}} | {ERROR}
        if "tty" in wanted and self._protocol.startswith(("v3", "v4", "v5")):
            channels.add(RESIZE)
        until = time.monotonic() + STREAMS_TIMEOUT_S
        watches = Watches()
        try:
            watches.want(self.link.fileno(), self.link.events(wants_input=True))
            while not channels <= self._numbers.keys():
                if not self.link.has_input and not watches.wait(max(0, until - time.monotonic())):
                    raise Gone("timed out waiting for client to create streams")
                self._early = list(self.receive())
        finally:
            watches.close()

    def send(self, channel: int, data: bytes) -> None:
        if channel in self._numbers:
            self._session.write(self._numbers[channel], data)

    def receive(self) -> Iterator[tuple[int, bytes]]:
        early, self._early = self._early, []
        yield from early
        for event in self._session.feed(self.link.receive()):
            if isinstance(event, spdy.Opened):
                self._open(event)
            channel = self._streams.get(event.stream)
            if isinstance(event, spdy.Data):
                self._session.consumed(event.stream, len(event.data))
                if channel is not None and event.data:
                    yield channel, event.data
            has_ended = isinstance(event, spdy.Reset) or event.is_last
            if channel == STDIN and has_ended:
                yield CLOSE, bytes([STDIN])

    def _open(self, event: spdy.Opened) -> None:
        channel = _BY_STREAM_TYPE.get(event.headers.get("streamtype", ""))
        if channel is None or channel in self._numbers:
            self._session.reset(event.stream, spdy.REFUSED_STREAM)
            return
        self._session.reply(event.stream)
        self._streams[event.stream] = channel
        self._numbers[channel] = event.stream

    def finish(self, status: Object) -> None:
        try:
            for channel in (STDOUT, STDERR):
                if channel in self._numbers:
                    self._session.write(self._numbers[channel], b"", is_last=True)
            words = _last_words(self._protocol, status)
            self._session.write(self._numbers[ERROR], words, is_last=True)
        except Gone:
            return
        self.link.finish()
