"""HTTP probes against a small server on this machine."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kubelet.probes import http_probe
from kubelet.probes.plan import Answer

Object = dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, dict(self.headers)))
        match self.path.strip("/").split("/"):
            case ["code", code]:
                self.answer(int(code), b"words")
            case ["to", *rest]:
                self.answer(302, b"elsewhere", Location="/".join(rest).replace("local:", "/"))
            case ["chunked"]:
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"3\r\nabc\r\n0\r\n\r\n")
            case ["hang"]:
                self.server.release.wait(10)  # type: ignore[attr-defined]
            case _:
                self.answer(200, b"ok")

    def answer(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


class Server:
    def __init__(self, port: int, seen: list[Any]) -> None:
        self.port, self.seen = port, seen

    def probe(self, path: str, *, timeout_s: float = 5.0, **get: Any) -> Answer:
        action = {"path": path, "port": self.port} | get
        request = http_probe.request_of(action, {}, "127.0.0.1")
        return asyncio.run(http_probe.probe(request, timeout_s))


@contextmanager
def serving() -> Iterator[Server]:
    handler = type("H", (Handler,), {"seen": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.release = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Server(server.server_address[1], handler.seen)
    finally:
        server.release.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as found:
        yield found


@pytest.mark.parametrize(
    ("path", "result", "words"),
    [
        ("/", "success", ""),
        ("/chunked", "success", ""),
        ("/code/204", "success", ""),
        ("/code/404", "failure", "HTTP probe failed with statuscode: 404"),
        ("/code/500", "failure", "HTTP probe failed with statuscode: 500"),
        ("/code/304", "warning", "Probe terminated redirects, Response body: "),
        ("/to/local:code/200", "success", ""),
        ("/to/local:code/503", "failure", "HTTP probe failed with statuscode: 503"),
        ("/to/http://example.com/", "warning", "Probe terminated redirects, Response body: else"),
    ],
)
def test_an_answer_is_judged_by_its_code(
    server: Server, path: str, result: str, words: str
) -> None:
    answer = server.probe(path)
    assert (answer.result, answer.message[: len(words)]) == (result, words)


def test_the_kubelet_says_who_it_is_unless_told_otherwise(server: Server) -> None:
    server.probe("/a?b=c")
    given = [{"name": "Host", "value": "web.example"}, {"name": "Accept", "value": ""}]
    server.probe("/", httpHeaders=[*given, {"name": "User-Agent", "value": "me"}])
    (path, first), (_, second) = server.seen
    assert (path, first["User-Agent"], first["Accept"]) == ("/a?b=c", "kube-probe/1.32", "*/*")
    assert (second["Host"], second["User-Agent"]) == ("web.example", "me")
    assert "Accept" not in second


def test_a_server_that_does_not_answer_in_time_has_failed(server: Server) -> None:
    answer = server.probe("/hang", timeout_s=0.1)
    assert answer.result == "failure"
    assert answer.message.endswith(
        "context deadline exceeded (Client.Timeout exceeded while awaiting headers)"
    )


def test_nobody_listening_is_told_as_go_tells_it(server: Server) -> None:
    server.port = 1
    url = "http://127.0.0.1:1/"
    assert server.probe("/").message == (
        f'Get "{url}": dial tcp 127.0.0.1:1: connect: connection refused'
    )
