"""grpc.health.v1.Health/Check over plain HTTP/2. Room kubelet; called by handlers.py.

One request with one string in it and one answer with one number: h2 makes the frames, and a
protobuf library would be more than all of this. Source: gRPC "GRPC Health Checking Protocol" and
"gRPC over HTTP2"; kubelet `pkg/probe/grpc`.
"""

from __future__ import annotations

import asyncio
import os
import struct
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from kubelet.probes.http_probe import USER_AGENT, hang_up
from kubelet.probes.plan import Answer

SERVING = 1
_STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_UNIMPLEMENTED = 12
_CODES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists",
    "PermissionDenied", "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange",
    "Unimplemented", "Internal", "Unavailable", "DataLoss", "Unauthenticated",
)  # fmt: skip
READ_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 64 * 1024


@dataclass
class _Exchange:
    """What has come back so far."""

    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    is_over: bool = False
    broken: str = ""


async def probe(host: str, port: int, service: str, timeout_s: float) -> Answer:
    where = f"{host}:{port}"
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    try:
        async with asyncio.timeout_at(deadline):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Answer("failure", _too_slow(f'failed to connect service "{where}"', timeout_s))
    except OSError as failure:
        reason = os.strerror(failure.errno).lower() if failure.errno else str(failure)
        text = f'failed to connect service at "{where}": dial tcp {where}: connect: {reason}'
        return Answer("failure", f"error: {text}")
    try:
        async with asyncio.timeout_at(deadline):
            exchange = await _ask(reader, writer, where, service)
    except TimeoutError:
        said = f"health rpc did not complete within {timeout_s:g}s"
        return Answer("failure", f"timeout: {said}")
    except OSError as failure:
        return Answer("failure", f"error: health rpc probe failed: {failure}")
    finally:
        await hang_up(writer)
    return judge(exchange.headers, exchange.body, exchange.broken)


def _too_slow(what: str, timeout_s: float) -> str:
    return f"timeout: {what} within {timeout_s:g}s: context deadline exceeded"


def judge(headers: dict[str, str], body: bytes, broken: str = "") -> Answer:
    """From what came back (header and trailer fields together) to the answer."""
    code = headers.get("grpc-status", "")
    if broken or not code.isdigit():
        http = headers.get(":status")
        reason = broken or f"unexpected HTTP status code received from server: {http or 'none'}"
        return Answer("failure", f"error: health rpc probe failed: {reason}")
    said = unquote(headers.get("grpc-message", ""))
    if int(code) == _UNIMPLEMENTED:
        text = "this server does not implement the grpc health protocol (grpc.health.v1.Health)"
        return Answer("failure", f"error: {text}: {said}")
    if int(code):
        name = _CODES[int(code)] if int(code) < len(_CODES) else code
        text = f"rpc error: code = {name} desc = {said}"
        return Answer("failure", f"error: health rpc probe failed: {text}")
    status = status_of(body)
    if status != SERVING:
        name = _STATUSES[status] if status < len(_STATUSES) else str(status)
        return Answer("failure", f'service unhealthy (responded with "{name}")')
    return Answer("success", "service healthy")


def request_body(service: str) -> bytes:
    """HealthCheckRequest{service}, in gRPC's frame: not compressed, its length, the message."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return struct.pack(">BI", 0, len(message)) + message


def _varint(number: int) -> bytes:
    data = b""
    while number > 0x7F:
        data += bytes([number & 0x7F | 0x80])
        number >>= 7
    return data + bytes([number])


def status_of(body: bytes) -> int:
    """HealthCheckResponse.status, field 1, of a frame; 0 (UNKNOWN) if it is not there."""
    message = body[5 : 5 + int.from_bytes(body[1:5], "big")]
    return message[1] & 0x7F if message[:1] == b"\x08" and len(message) > 1 else 0


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str
) -> _Exchange:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.exceptions import ProtocolError

    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    stream = connection.get_next_available_stream_id()
    connection.send_headers(stream, _headers(authority))
    connection.send_data(stream, request_body(service), end_stream=True)
    exchange = _Exchange()
    while not exchange.is_over:
        writer.write(connection.data_to_send())
        data = await reader.read(READ_BYTES)
        if not data:
            exchange.broken = exchange.broken or "connection error: EOF"
            break
        try:
            for event in connection.receive_data(data):
                _take(connection, exchange, event)
        except ProtocolError as failure:
            exchange.broken = f"connection error: {failure}"
            break
    return exchange


def _headers(authority: str) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", USER_AGENT),
    ]


def _take(connection: Any, exchange: _Exchange, event: Any) -> None:
    from h2 import events

    if isinstance(event, events.ResponseReceived | events.TrailersReceived):
        exchange.headers |= dict(event.headers)
    elif isinstance(event, events.DataReceived):
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if len(exchange.body) < MAX_ANSWER_BYTES:
            exchange.body += event.data
    elif isinstance(event, events.StreamEnded):
        exchange.is_over = True
    elif isinstance(event, events.StreamReset | events.ConnectionTerminated):
        exchange.broken, exchange.is_over = f"stream reset: {event.error_code}", True
