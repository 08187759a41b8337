"""`exec` against a real WebSocket server over real TLS, in a process of its own."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
)

from podium.cli import pki

CLIENT = """
import socket, ssl, sys
from podium.cli.exec_stream import ExecStream
from podium.cli.websocket import Refused
context = ssl.create_default_context(cafile=sys.argv[1])
raw = socket.create_connection(("127.0.0.1", int(sys.argv[2])), 10)
with context.wrap_socket(raw, server_hostname="127.0.0.1") as sock:
    try:
        sys.exit(ExecStream(sock, "127.0.0.1", "/exec?command=x", stdin_fd=0).run())
    except Refused as refused:
        refused.show()
        sys.exit(77)
"""
Handler = Callable[["Server"], None]


class Server:
    """The server's end of one WebSocket."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self.ws = WSConnection(ConnectionType.SERVER)
        self.events = self._events()

    def _events(self) -> Iterator[Any]:
        while data := self.sock.recv(65536):
            self.ws.receive_data(data)
            yield from self.ws.events()

    def send(self, event: Any) -> None:
        self.sock.sendall(self.ws.send(event))

    def accept(self) -> Request:
        request = next(self.events)
        assert isinstance(request, Request)
        self.send(AcceptConnection(subprotocol=request.subprotocols[0]))
        return request

    def say(self, channel: int, data: bytes) -> None:
        self.send(BytesMessage(bytes([channel]) + data))

    def end(self, status: dict[str, Any]) -> None:
        self.say(3, json.dumps(status).encode())
        self.send(CloseConnection(1000))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    pki.create_pki(tmp_path, ["n"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pki/apiserver.crt", tmp_path / "pki/apiserver.key")

    def serve(listener: socket.socket, handler: Handler) -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as sock:
            handler(Server(sock))

    def start(handler: Handler, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(20)
            thread = threading.Thread(target=serve, args=(listener, handler))
            thread.start()
            port = str(listener.getsockname()[1])
            argv = [sys.executable, "-c", CLIENT, str(tmp_path / "pki/ca.crt"), port]
            done = subprocess.run(argv, input=stdin, capture_output=True, timeout=30, check=False)
            thread.join(20)
        return done

    return start


Run = Callable[..., subprocess.CompletedProcess[bytes]]


def exit_code(code: int) -> dict[str, Any]:
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}


def test_output_and_exit_code_come_through(run: Run) -> None:
    def handler(server: Server) -> None:
        server.accept()
        server.say(1, b"out")
        server.say(2, b"err")
        server.end(exit_code(3))

    done = run(handler)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"out", b"err")


def test_stdin_is_carried_whole_and_its_end_is_told(run: Run) -> None:
    sent = bytes(range(256)) * 8192  # 2 MiB: more than fits into any buffer on the way

    def handler(server: Server) -> None:
        server.accept()
        got, is_open = b"", True
        message = b""
        while is_open:
            event = next(server.events)
            assert isinstance(event, BytesMessage)
            message += event.data
            if event.message_finished:
                is_open = message[:1] != b"\xff"
                got += message[1:] if is_open else b""
                message = b""
        for start in range(0, len(got), 50_000):
            server.say(1, got[start : start + 50_000])
        server.end({"status": "Success"})

    done = run(handler, sent)
    assert done.returncode == 0, done.stderr
    assert done.stdout == sent


def test_pings_are_answered(run: Run) -> None:
    def handler(server: Server) -> None:
        server.accept()
        server.send(Ping(b"there?"))
        names = [type(next(server.events)).__name__ for _ in range(2)]
        server.say(1, ",".join(sorted(names)).encode())
        server.end({"status": "Success"})

    assert run(handler).stdout == b"BytesMessage,Pong"


def test_a_refusal_is_told_in_the_servers_words(run: Run) -> None:
    def handler(server: Server) -> None:
        assert isinstance(next(server.events), Request)
        status = {"kind": "Status", "reason": "NotFound", "message": 'pods "x" not found'}
        body = json.dumps(status).encode()
        length = [(b"content-length", str(len(body)).encode())]
        server.send(RejectConnection(status_code=404, headers=length, has_body=True))
        server.send(RejectData(data=body))

    done = run(handler)
    assert done.returncode == 77
    assert done.stderr == b'Error from server (NotFound): pods "x" not found\n'


def test_a_lost_connection_is_an_error_not_a_success(run: Run) -> None:
    def handler(server: Server) -> None:
        server.accept()
        server.say(1, b"half")

    done = run(handler)
    assert (done.returncode, done.stdout) == (77, b"half")
    assert b"connection to the container was lost" in done.stderr


def test_a_command_that_could_not_start_is_told(run: Run) -> None:
    def handler(server: Server) -> None:
        server.accept()
        server.end({"status": "Failure", "message": "no such file: /x", "reason": "InternalError"})

    assert b"error: no such file: /x" in run(handler).stderr
