"""gRPC health answers: as they are judged, and from a server on this machine."""

from __future__ import annotations

import asyncio

import pytest

from kubelet.probes import grpc_probe
from kubelet.probes.plan import Answer
from tests.support.grpc_health import a_frame, serve_one


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


def ask(service: str, timeout_s: float = 5.0) -> Answer:
    async def both() -> Answer:
        is_over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await serve_one(reader, writer, lambda name: name == "db")
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
