"""gRPC health answers: as they are judged, and from a server on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, RequestReceived, StreamEnded

from kubelet.probes import grpc_probe
from kubelet.probes.http_probe import hang_up
from kubelet.probes.plan import Answer


def a_frame(status: int) -> bytes:
    message = bytes([8, status]) if status else b""
    return struct.pack(">BI", 0, len(message)) + message


@pytest.mark.parametrize(
    ("headers", "body", "message"),
    [
        ({"grpc-status": "0"}, a_frame(1), "service healthy"),
        ({"grpc-status": "0"}, a_frame(2), 'service unhealthy (responded with "NOT_SERVING")'),
        ({"grpc-status": "0"}, a_frame(0), 'service unhealthy (responded with "UNKNOWN")'),
        (
            {"grpc-status": "12", "grpc-message": "unknown%20service"},
            b"",
            "error: this server does not implement the grpc health protocol "
            "(grpc.health.v1.Health): unknown service",
        ),
        (
            {"grpc-status": "5", "grpc-message": "unknown service"},
            b"",
            "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service",
        ),
        (
            {":status": "404"},
            b"",
            "error: health rpc probe failed: unexpected HTTP status code received from server: 404",
        ),
    ],
)
def test_an_answer_is_told_as_the_kubelet_tells_it(
    headers: dict[str, str], body: bytes, message: str
) -> None:
    answer = grpc_probe.judge(headers, body)
    assert (answer.message, answer.result == "success") == (message, message == "service healthy")


def test_the_request_names_its_service() -> None:
    assert grpc_probe.request_body("") == b"\0\0\0\0\0"
    assert grpc_probe.request_body("db") == b"\0\0\0\0\x04\x0a\x02db"


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A health server: "db" serves, nothing else does."""
    connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    asked, path = b"", ""
    while data := await reader.read(4096):
        for event in connection.receive_data(data):
            match event:
                case RequestReceived():
                    path = dict(event.headers)[":path"]
                case DataReceived():
                    asked += event.data
                case StreamEnded(stream_id=stream):
                    connection.send_headers(stream, [(":status", "200")])
                    is_ok = path == "/grpc.health.v1.Health/Check" and asked.endswith(b"db")
                    connection.send_data(stream, a_frame(1 if is_ok else 2))
                    connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)
        writer.write(connection.data_to_send())


def ask(service: str, timeout_s: float = 5.0) -> Answer:
    async def both() -> Answer:
        is_over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionResetError):
                await _serve(reader, writer)
            await hang_up(writer)
            is_over.set()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            answer = await grpc_probe.probe("127.0.0.1", port, service, timeout_s)
            await is_over.wait()
            return answer

    return asyncio.run(both())


def test_a_service_is_asked_over_http_2() -> None:
    assert ask("db").result == "success"
    assert ask("web").message == 'service unhealthy (responded with "NOT_SERVING")'


def test_nobody_listening_is_a_failure() -> None:
    answer = asyncio.run(grpc_probe.probe("127.0.0.1", 1, "", 1.0))
    assert answer.message.startswith('error: failed to connect service at "127.0.0.1:1"')
