"""The client on good and on bad connections."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from podium.client.config import ClientConfig
from podium.client.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Gone,
    Invalid,
    NotFound,
    TooManyRequests,
    Unreachable,
)
from podium.client.http import Client
from tests.support.scripted_server import (
    CLOSE,
    Request,
    ScriptedServer,
    answer,
    scripted_server,
    stream,
)

POD = {"kind": "Pod", "metadata": {"name": "web", "namespace": "lab"}}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server(lambda _: answer(POD)) as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    client = Client(ClientConfig(server.url), timeout_s=5, connect_patience_s=5)
    yield client
    client.close()


def test_verbs_become_methods_and_paths(server: ScriptedServer, client: Client) -> None:
    client.get("pods", "web", "lab")
    client.list("deployments.apps", label_selector="app=web", limit=5)
    client.create("pods", POD, dryRun="All")
    client.update("pods", POD, "status")
    client.patch("deployments", "web", "lab", {}, patch_type="strategic")
    client.delete("pods", "web", "lab", grace_s=0, uid="u")
    client.create_subresource("pods", "web", "lab", "binding", {})
    assert [(r.method, r.path) for r in server.requests] == [
        ("GET", "/api/v1/namespaces/lab/pods/web"),
        ("GET", "/apis/apps/v1/deployments"),
        ("POST", "/api/v1/namespaces/lab/pods"),
        ("PUT", "/api/v1/namespaces/lab/pods/web/status"),
        ("PATCH", "/apis/apps/v1/namespaces/lab/deployments/web"),
        ("DELETE", "/api/v1/namespaces/lab/pods/web"),
        ("POST", "/api/v1/namespaces/lab/pods/web/binding"),
    ]
    assert server.requests[1].query == {"labelSelector": "app=web", "limit": "5"}
    assert b"application/strategic-merge-patch+json" in server.requests[4].head
    assert b'"preconditions":{"uid":"u"}' in server.requests[5].body


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (404, "NotFound", NotFound),
        (409, "AlreadyExists", AlreadyExists),
        (409, "Conflict", Conflict),
        (403, "Forbidden", Forbidden),
        (410, "Expired", Gone),
        (422, "Invalid", Invalid),
        (429, "TooManyRequests", TooManyRequests),
    ],
)
def test_a_status_becomes_its_error(
    server: ScriptedServer, client: Client, code: int, reason: str, kind: type[ApiError]
) -> None:
    status = {"kind": "Status", "code": code, "reason": reason, "message": "it is so"}
    server.script = lambda _: answer(status, code, extra="Retry-After: 3\r\n")
    with pytest.raises(kind, match="it is so") as caught:
        client.get("pods", "web", "lab")
    assert (caught.value.reason, caught.value.retry_after_s) == (reason, 3.0)


def test_a_write_leaves_in_one_piece(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from podium.client.connection import Connection

    sent: list[bytes] = []
    real = Connection.send

    def send(self: Connection, head: bytes, body: bytes, timeout_s: float) -> None:
        class Spy:
            settimeout = staticmethod(lambda _: None)
            sendall = staticmethod(lambda data: (sent.append(data), sock.sendall(data)))

        sock, self._sock = self._sock, Spy()  # type: ignore[assignment]
        try:
            real(self, head, body, timeout_s)
        finally:
            self._sock = sock

    monkeypatch.setattr(Connection, "send", send)
    client.create("pods", POD)
    assert len(sent) == 1


def test_a_kept_connection_that_the_server_has_closed_is_not_used(
    server: ScriptedServer, client: Client
) -> None:
    client.get("pods", "web", "lab")
    server.drop_connections()
    client.create("pods", POD)
    assert [r.method for r in server.requests] == ["GET", "POST"]


def test_a_get_that_is_answered_with_nothing_on_a_kept_connection_is_repeated(
    server: ScriptedServer, client: Client
) -> None:
    client.get("pods", "web", "lab")
    replies = [None, answer(POD)]
    server.script = lambda _: replies.pop(0)
    assert client.get("pods", "web", "lab") == POD


def test_a_create_that_is_answered_with_nothing_is_not_repeated(
    server: ScriptedServer, client: Client
) -> None:
    client.get("pods", "web", "lab")
    server.script = lambda _: None
    with pytest.raises(Unreachable):
        client.create("pods", POD)
    assert [r.method for r in server.requests] == ["GET", "POST"]


def test_a_call_waits_for_a_server_that_is_just_starting() -> None:
    with scripted_server(lambda _: answer(POD)) as server:
        port = server.port
    client = Client(ClientConfig(f"http://127.0.0.1:{port}"), connect_patience_s=5)
    started: list[ScriptedServer] = []

    def start() -> None:
        started.append(ScriptedServer(lambda _: answer(POD), port))

    timer = threading.Timer(0.1, start)
    timer.start()
    try:
        assert client.get("pods", "web", "lab") == POD
    finally:
        timer.join()
        client.close()
        started[0].close()


def test_a_server_that_is_not_there_is_unreachable() -> None:
    with scripted_server(lambda _: None) as server:
        client = Client(ClientConfig(server.url), connect_patience_s=0)
    with pytest.raises(Unreachable, match="refused"):
        client.get("pods", "web", "lab")


def an_event(rv: int, kind: str = "ADDED") -> dict[str, object]:
    return {"type": kind, "object": {"metadata": {"name": "web", "resourceVersion": str(rv)}}}


def test_a_watch_gives_events_and_its_end_comes_as_an_error_if_it_broke(
    server: ScriptedServer, client: Client
) -> None:
    server.script = lambda _: stream(an_event(1), an_event(2), CLOSE)
    with client.watch("pods", "lab", resource_version="0") as watch:
        versions = [next(watch).object["metadata"]["resourceVersion"] for _ in range(2)]
        with pytest.raises(Unreachable):
            next(watch)
    assert versions == ["1", "2"]
    assert server.requests[0].query["resourceVersion"] == "0"


def test_an_expired_watch_is_gone(server: ScriptedServer, client: Client) -> None:
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    server.script = lambda _: stream({"type": "ERROR", "object": status})
    with client.watch("pods", resource_version="1") as watch, pytest.raises(Gone):
        next(watch)


def test_closing_a_watch_from_another_thread_ends_it_at_once(
    server: ScriptedServer, client: Client
) -> None:
    server.script = lambda _: stream(an_event(1))
    with client.watch("pods") as watch:
        next(watch)
        timer = threading.Timer(0.05, watch.close)
        timer.start()
        with pytest.raises((Unreachable, StopIteration)):
            next(watch)
        timer.join()


def test_an_event_may_come_in_pieces(server: ScriptedServer, client: Client) -> None:
    def pieces(_: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        line = b'{"type":"ADDED","object":{"metadata":{"name":"web"}}}\n' * 2
        for start in range(0, len(line), 7):
            part = line[start : start + 7]
            yield b"%x\r\n%b\r\n" % (len(part), part)
        yield b"0\r\n\r\n"

    server.script = pieces
    with client.watch("pods") as watch:
        assert [event.object["metadata"]["name"] for event in watch] == ["web", "web"]


def test_an_iterable_body_goes_out_in_chunks(server: ScriptedServer, client: Client) -> None:
    client.raw("POST", "/load", body=iter([b"abc", b"", b"defg"]))
    assert server.requests[0].body == b"abcdefg"
    assert b"Transfer-Encoding: chunked" in server.requests[0].head
