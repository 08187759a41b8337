"""An HTTP GET as the kubelet makes it: one connection a try, no verification of certificates, not
more than 10 KiB of the answer read, redirects followed on the same host only.

Room kubelet; called by handlers.py and by hooks.py, in the probes' event loop.
Source: kubelet `pkg/probe/http`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import os
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from kubelet.probes.plan import Answer, port_number

Object = dict[str, Any]

USER_AGENT = "kube-probe/1.32"
MAX_BODY_BYTES = 10 * 1024
MAX_HEAD_BYTES = 64 * 1024
MAX_REDIRECTS = 10
_REDIRECTS = (301, 302, 303, 307, 308)


class HTTPFailure(Exception):
    """No answer, in Go's words: `Get "http://10.0.0.2:80/": dial tcp …: connection refused`."""


@dataclass(frozen=True)
class Request:
    """`headers` are pairs as the spec has them; one named Host is who is asked."""

    url: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Response:
    code: int
    headers: http.client.HTTPMessage
    body: bytes


def request_of(get: Object, container: Object, ip: str, agent: str = USER_AGENT) -> Request:
    """From an httpGet action; raises NoSuchPort."""
    host = get.get("host") or ip
    host = f"[{host}]" if ":" in host else host
    port = port_number(get["port"], container)
    path = get.get("path") or "/"
    path = path if path.startswith(("/", "?")) else f"/{path}"
    url = f"{(get.get('scheme') or 'HTTP').lower()}://{host}:{port}{path}"
    given = [(h["name"], h.get("value") or "") for h in get.get("httpHeaders") or ()]
    names = {name.lower(): value for name, value in given}
    headers = [(name, value) for name, value in given if not _is_taken_out(name, value)]
    headers += [("User-Agent", agent)] if "user-agent" not in names else []
    headers += [("Accept", "*/*")] if "accept" not in names else []
    return Request(url, tuple(headers))


def _is_taken_out(name: str, value: str) -> bool:
    """An empty one stands for none at all."""
    return name.lower() in ("user-agent", "accept") and not value


async def probe(request: Request, timeout_s: float) -> Answer:
    try:
        response = await fetch(request, timeout_s)
    except HTTPFailure as failure:
        return Answer("failure", str(failure))
    if response.code in range(300, 400):
        body = response.body.decode(errors="replace")
        return Answer("warning", f"Probe terminated redirects, Response body: {body}")
    if response.code in range(200, 300):
        return Answer("success")
    return Answer("failure", f"HTTP probe failed with statuscode: {response.code}")


async def fetch(request: Request, timeout_s: float) -> Response:
    """Follow redirects on the same host; the answer that another host was pointed to with is the
    last. Raises HTTPFailure."""
    try:
        async with asyncio.timeout(timeout_s):
            return await _follow(request)
    except TimeoutError:
        reason = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
        raise HTTPFailure(f'Get "{request.url}": {reason}') from None


async def _follow(request: Request) -> Response:
    url, first = request.url, urlsplit(request.url).hostname
    for _ in range(MAX_REDIRECTS):
        response = await _get(url, request.headers)
        place = response.headers.get("Location")
        if response.code not in _REDIRECTS or not place:
            return response
        target = urljoin(url, place)
        if urlsplit(target).hostname != first or urlsplit(target).scheme not in ("http", "https"):
            return response
        url = target
    raise HTTPFailure(f'Get "{url}": stopped after {MAX_REDIRECTS} redirects')


async def _get(url: str, headers: tuple[tuple[str, str], ...]) -> Response:
    parts = urlsplit(url)
    is_tls = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if is_tls else 80)
    try:
        reader, writer = await asyncio.open_connection(
            host, port, ssl=_unverified() if is_tls else None, limit=MAX_HEAD_BYTES
        )
    except OSError as failure:
        raise HTTPFailure(f'Get "{url}": {dial_error(host, port, failure)}') from None
    try:
        writer.write(_head(parts, headers))
        return await _read(reader)
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as failure:
        reason = "EOF" if isinstance(failure, asyncio.IncompleteReadError) else failure
        raise HTTPFailure(f'Get "{url}": {reason}') from None
    except (http.client.HTTPException, ValueError) as failure:
        reason = f"net/http: HTTP/1.x transport connection broken: {failure}"
        raise HTTPFailure(f'Get "{url}": {reason}') from None
    finally:
        await hang_up(writer)


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """At once, whatever is still under way."""
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def dial_error(host: str, port: int, failure: OSError) -> str:
    """As Go says it; `connect: connection refused` of any reason of the kernel's."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if isinstance(failure, ssl.SSLError):
        return f"tls: {(failure.reason or str(failure)).lower().replace('_', ' ')}"
    if failure.errno is None or failure.strerror is None:
        return f"dial tcp {where}: {failure}"
    return f"dial tcp {where}: connect: {os.strerror(failure.errno).lower()}"


def _unverified() -> ssl.SSLContext:
    """A Pod's certificate is for its users; nobody has told us whom to trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _head(parts: SplitResult, headers: tuple[tuple[str, str], ...]) -> bytes:
    target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    host = next((value for name, value in headers if name.lower() == "host"), parts.netloc)
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() != "host"]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


async def _read(reader: asyncio.StreamReader) -> Response:
    head = await reader.readuntil(b"\r\n\r\n")
    line, _, rest = head.partition(b"\r\n")
    version, _, words = line.decode("latin-1").partition(" ")
    if not version.startswith("HTTP/"):
        raise http.client.BadStatusLine(f'malformed HTTP response "{line.decode("latin-1")}"')
    code = int(words.split(" ", 1)[0])
    headers = http.client.parse_headers(io.BytesIO(rest))
    if code in range(100, 200):
        return await _read(reader)
    return Response(code, headers, await _read_body(reader, headers))


async def _read_body(reader: asyncio.StreamReader, headers: http.client.HTTPMessage) -> bytes:
    """As much of it as anybody looks at."""
    if "chunked" in (headers.get("Transfer-Encoding") or "").lower():
        return await _read_chunks(reader)
    length = headers.get("Content-Length")
    wanted = min(int(length), MAX_BODY_BYTES) if length else MAX_BODY_BYTES
    body = b""
    while len(body) < wanted and (piece := await reader.read(wanted - len(body))):
        body += piece
    if length and len(body) < wanted:
        raise asyncio.IncompleteReadError(body, wanted)
    return body


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < MAX_BODY_BYTES:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if size == 0:
            break
        body += await reader.readexactly(min(size, MAX_BODY_BYTES - len(body)))
        if len(body) < MAX_BODY_BYTES:
            await reader.readexactly(2)  # the line end after the chunk
    return body
