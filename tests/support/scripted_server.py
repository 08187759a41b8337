"""An HTTP server that misbehaves on demand: for what a real API server cannot be asked to do.

    with scripted_server(lambda request: answer({"kind": "Pod"})) as server:
        Client(ClientConfig(server.url)).get("pods", "web", "default")

The script gets each request and gives the bytes to send, an iterator of bytes (a stream), or None:
close the connection without a word.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.support.waiting import PATIENCE

BOUND_S = 10.0 * PATIENCE
CLOSE = b""  # in a stream: close the connection now


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, str]
    body: bytes
    head: bytes


Script = Callable[[Request], "bytes | Iterator[bytes] | None"]


def answer(body: Any, status: int = 200, *, extra: str = "") -> bytes:
    """A whole answer with a JSON body."""
    data = orjson.dumps(body)
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(data)}\r\n{extra}\r\n".encode() + data


def stream(*events: Any) -> Iterator[bytes]:
    """A watch that sends these events and then waits for ever; CLOSE closes it."""
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    for event in events:
        if event == CLOSE:
            return
        line = orjson.dumps(event) + b"\n"
        yield b"%x\r\n%b\r\n" % (len(line), line)
    threading.Event().wait(BOUND_S)


class ScriptedServer:
    """Listens on a free port of 127.0.0.1; `requests` is what came, in order."""

    def __init__(self, script: Script, port: int = 0) -> None:
        self.script = script
        self.requests: list[Request] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """As kill -9 would: every connection ends now."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        while self._connections:
            connection = self._connections.pop()
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as file, contextlib.suppress(OSError):
            while request := _read(file):
                self.requests.append(request)
                reply = self.script(request)
                if reply is None:
                    return
                if isinstance(reply, bytes):
                    connection.sendall(reply)
                    continue
                for piece in reply:
                    connection.sendall(piece)
                return


def _read(file: BinaryIO) -> Request | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = file.readline()
        if not line:
            return None
        head += line
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    parts = urlsplit(target)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    return Request(method, parts.path, query, _read_body(file, head.lower()), head)


def _read_body(file: BinaryIO, head: bytes) -> bytes:
    if b"transfer-encoding: chunked" in head:
        body = b""
        while size := int(file.readline(), 16):
            body += file.read(size + 2)[:-2]
        file.readline()
        return body
    _, _, after = head.partition(b"content-length:")
    return file.read(int(after.split(b"\r\n", 1)[0])) if after else b""


@contextmanager
def scripted_server(script: Script, port: int = 0) -> Iterator[ScriptedServer]:
    server = ScriptedServer(script, port)
    try:
        yield server
    finally:
        server.close()
