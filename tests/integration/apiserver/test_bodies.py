"""What a client may send, and what it is told when it is wrong."""

from __future__ import annotations

import json
import socket

import pytest

from tests.integration.apiserver.plain_http import (
    Api,
    a_config_map,
    a_new_deployment,
    a_new_pod,
    apps,
)


def test_yaml_is_read(api: Api, ns: str) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {a: '1'}\n"
    assert api.post(f"{ns}/configmaps", body, "application/yaml").json["data"] == {"a": "1"}


def test_protobuf_is_read(api: Api) -> None:
    inner = b"\x0a\x0f\x0a\x0dfrom-protobuf"  # Namespace{metadata{name}}
    unknown = b"\x0a\x0f\x0a\x02v1\x12\x09Namespace" + b"\x12" + bytes([len(inner)]) + inner
    made = api.post(
        "/api/v1/namespaces", b"k8s\x00" + unknown, "application/vnd.kubernetes.protobuf"
    )
    assert (made.code, made.json["metadata"]["name"]) == (201, "from-protobuf")


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b'{"kind": "ConfigMap",\n  bad}', "application/json", "line 2 column 3"),
        (b"a: b\n c: d\n", "application/yaml", "line 2, column 3"),
        (b"[1]", "application/json", "not a JSON object"),
        (b"", "application/json", "json parse error"),
        (
            b"nonsense",
            "application/vnd.kubernetes.protobuf",
            "does not appear to be a protobuf message",
        ),
    ],
)
def test_a_broken_body_is_told_where(
    api: Api, ns: str, body: bytes, content_type: str, words: str
) -> None:
    refused = api.post(f"{ns}/configmaps", body, content_type)
    assert (refused.code, refused.reason) == (400, "BadRequest")
    assert words in refused.message


def test_another_content_type_is_unsupported(api: Api, ns: str) -> None:
    assert api.post(f"{ns}/configmaps", b"<xml/>", "text/xml").code == 415
    assert api.patch(f"{ns}/configmaps/cm", {}, "application/json").code == 415


def test_unknown_fields_are_errors_warnings_or_nothing(api: Api, ns: str) -> None:
    pod = a_new_pod()
    pod["spec"]["containres"] = []
    strict = api.post(f"{ns}/pods?fieldValidation=Strict", pod)
    assert strict.code == 400
    assert 'strict decoding error: unknown field "spec.containres"' in strict.message
    warned = api.post(f"{ns}/pods?dryRun=All", pod)
    assert warned.headers["Warning"] == '299 - "unknown field \\"spec.containres\\""'
    assert "containres" not in warned.json["spec"]
    silent = api.post(f"{ns}/pods?fieldValidation=Ignore", pod)
    assert (silent.code, silent.headers["Warning"]) == (201, None)


def test_duplicate_fields_are_found(api: Api, ns: str) -> None:
    body = json.dumps(a_config_map()).replace('"data"', '"kind": "ConfigMap", "data"').encode()
    refused = api.post(f"{ns}/configmaps?fieldValidation=Strict", body)
    assert 'duplicate field "kind"' in refused.message


def test_every_cause_is_told(api: Api, ns: str) -> None:
    deployment = a_new_deployment(replicas=-1)
    deployment["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    refused = api.post(f"{apps(ns)}/deployments", deployment)
    assert (refused.code, refused.reason) == (422, "Invalid")
    assert {c["field"] for c in refused.json["details"]["causes"]} == {
        "spec.replicas",
        "spec.template.metadata.labels",
    }


def test_a_body_over_the_limit_is_refused_unread(api: Api, ns: str) -> None:
    with socket.create_connection(("127.0.0.1", api.server.port)) as plain:
        sock = api.context.wrap_socket(plain, server_hostname="127.0.0.1")
        head = f"POST {ns}/configmaps HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n"
        sock.sendall(head.encode())  # and not one byte of the body
        answer = sock.makefile("rb").read()
        sock.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"reason":"RequestEntityTooLarge"' in answer


def test_a_chunked_body_is_read_and_bounded(api: Api, ns: str) -> None:
    connection = api.connect()
    text = json.dumps(a_config_map("chunked")).encode()
    connection.request(
        "POST",
        f"{ns}/configmaps",
        iter([text[:10], text[10:]]),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert connection.getresponse().status == 201
    connection.close()
    connection = api.connect()
    pieces = iter([b" " * 1_000_000] * 4)
    connection.request(
        "POST",
        f"{ns}/configmaps",
        pieces,
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert connection.getresponse().status == 413
    connection.close()


def test_what_is_not_there_is_a_status_too(api: Api, ns: str) -> None:
    for path in ("/nowhere", "/api/v1/pots", "/apis/apps/v2/deployments", f"{ns}/pods/x/nonsense"):
        missing = api.get(path)
        assert (missing.code, missing.reason) == (404, "NotFound")
    assert api.post(f"{ns}/configmaps/cm", a_config_map()).code == 405
    assert api.call("PUT", f"{ns}/configmaps", a_config_map()).code == 405
    assert api.post("/api/v1/configmaps", a_config_map()).code == 405


def test_a_keep_alive_connection_survives_refusals(api: Api, ns: str) -> None:
    connection = api.connect()
    for _ in range(3):
        connection.request("POST", f"{ns}/configmaps", b"{", {"Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.status == 400
        response.read()
    sock = connection.sock
    connection.request("GET", "/healthz")
    assert connection.getresponse().read() == b"ok"
    assert connection.sock is sock
    connection.close()


def test_what_is_no_http_is_refused(api: Api) -> None:
    for nonsense in (
        b"HELLO\r\n\r\n",
        b"GET / HTTP/3\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", api.server.port)) as plain:
            sock = api.context.wrap_socket(plain, server_hostname="127.0.0.1")
            sock.sendall(nonsense)
            assert sock.makefile("rb").read().startswith(b"HTTP/1.1 400 ")
            sock.close()
    with socket.create_connection(("127.0.0.1", api.server.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP request to an HTTPS server" in plain.makefile("rb").read()
