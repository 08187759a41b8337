"""Logs, exec and a node's own pages: what reaches the kubelet, and what comes back."""

from __future__ import annotations

import socket

import pytest

from tests.integration.apiserver.fake_kubelet import FakeKubelet
from tests.integration.apiserver.plain_http import Api, a_new_pod


def with_a_pod(api: Api, ns: str) -> str:
    api.post(f"{ns}/pods", a_new_pod(nodeName="node-1"))
    return f"{ns}/pods/web"


def test_a_log_is_the_kubelets(api: Api, ns: str, kubelet: FakeKubelet) -> None:
    pod = with_a_pod(api, ns)
    kubelet.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nline 1\nline 2\n"
    )
    log = api.get(f"{pod}/log?tailLines=2&timestamps=true")
    assert (log.code, log.raw) == (200, b"line 1\nline 2\n")
    assert log.headers["Content-Type"].startswith("text/plain")
    name = ns.rsplit("/", 1)[1]
    line = f"GET /containerLogs/{name}/web/main?tailLines=2&timestamps=true HTTP/1.1".encode()
    assert kubelet.asked.startswith(line)
    assert kubelet.asker == "kube-apiserver-kubelet-client"


def test_a_log_needs_a_container_that_is_there(api: Api, ns: str) -> None:
    pod = with_a_pod(api, ns)
    refused = api.get(f"{pod}/log?container=ghost")
    assert (refused.code, refused.message) == (400, "container ghost is not valid for pod web")
    two = a_new_pod("two")
    two["spec"]["containers"].append({"name": "side", "image": "host"})
    api.post(f"{ns}/pods", two)
    refused = api.get(f"{ns}/pods/two/log")
    assert (
        refused.message
        == "a container name must be specified for pod two, choose one of: [main side]"
    )


def test_a_log_cannot_be_asked_for_nonsense(api: Api, ns: str) -> None:
    pod = with_a_pod(api, ns)
    refused = api.get(f"{pod}/log?tailLines=-1&limitBytes=0")
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert refused.message == (
        'PodLogOptions "web" is invalid: [tailLines: Invalid value: -1: must be greater than or '
        "equal to 0, limitBytes: Invalid value: 0: must be greater than 0]"
    )
    assert api.get(f"{pod}/log?sinceSeconds=x").code == 400


def test_a_kubelets_refusal_is_passed_on(api: Api, ns: str, kubelet: FakeKubelet) -> None:
    pod = with_a_pod(api, ns)
    kubelet.answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 8\r\n\r\nno such!"
    refused = api.get(f"{pod}/log")
    assert (refused.code, refused.message) == (400, "no such!")


def test_a_kubelet_that_is_away_is_said_to_be(api: Api, ns: str, kubelet: FakeKubelet) -> None:
    pod = with_a_pod(api, ns)
    kubelet.close()
    refused = api.get(f"{pod}/log")
    assert refused.code == 500
    assert "cannot reach the kubelet of node node-1" in refused.message


def exec_and_say(api: Api, pod: str, said: bytes) -> bytes:
    """What comes back from a process that is sent this."""
    with socket.create_connection(("127.0.0.1", api.server.port), timeout=10) as plain:
        sock = api.context.wrap_socket(plain, server_hostname="127.0.0.1")
        sock.sendall(
            f"GET {pod}/exec?command=sh&command=-c&stdin=true HTTP/1.1\r\nHost: x\r\nUpgrade: "
            f"websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: abc\r\n"
            "Sec-WebSocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io\r\n\r\n".encode()
        )
        data = b""
        while not data.endswith(b"hello"):
            data += sock.recv(4096)
        assert data.startswith(b"HTTP/1.1 101 ")
        sock.sendall(said)
        answer = sock.recv(4096)
        sock.close()
    return answer


@pytest.fixture
def shouting(kubelet: FakeKubelet) -> FakeKubelet:
    """Its processes say hello, and then what they are told, in capitals."""
    kubelet.answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\n\r\nhello"
    )
    kubelet.echoes = True
    return kubelet


def test_exec_is_spliced_both_ways(api: Api, ns: str, shouting: FakeKubelet) -> None:
    assert exec_and_say(api, with_a_pod(api, ns), b"bytes") == b"BYTES"
    assert b"/web/main?command=sh&command=-c&stdin=true HTTP/1.1\r\n" in shouting.asked
    assert b"Sec-Websocket-Protocol: v5.channel.k8s.io, v4.channel.k8s.io" in shouting.asked


def test_a_tls_session_with_a_kubelet_is_resumed(api: Api, ns: str, shouting: FakeKubelet) -> None:
    pod = with_a_pod(api, ns)
    for word in (b"first", b"second"):
        assert exec_and_say(api, pod, word) == word.upper()
    assert shouting.resumed == [False, True]


def test_exec_without_an_upgrade_is_a_bad_request(api: Api, ns: str) -> None:
    refused = api.post(f"{with_a_pod(api, ns)}/exec?command=sh", b"")
    assert refused.code == 400
    assert "Upgrade request required" in refused.message


def test_a_nodes_proxy_streams_a_body_of_any_size(api: Api, kubelet: FakeKubelet) -> None:
    kubelet.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    )
    done = api.post(
        "/api/v1/nodes/node-1/proxy/images/load?name=a%2Fb", b"eleven byte", "application/x-tar"
    )
    assert (done.code, done.raw) == (200, b"{}")
    assert kubelet.asked.startswith(b"POST /images/load?name=a%2Fb HTTP/1.1\r\n")
    assert b"content-type: application/x-tar" in kubelet.asked.lower()
    assert kubelet.asked.endswith(b"eleven byte")
