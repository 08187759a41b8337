"""The kubelet's HTTPS server: who may speak to it, logs, exec, images. Real TLS and WebSockets."""

from __future__ import annotations

import base64
import json
import ssl

import pytest
import yaml

from tests.integration.kubelet.served import Served
from tests.support.waiting import eventually

LOGS = "/containerLogs/default/web/main"


def test_only_the_api_server_may_speak_to_it(served: Served) -> None:
    assert served.get("/healthz") == (200, "ok")
    controllers = yaml.safe_load((served.keys / "controllers.kubeconfig").read_text())
    for kind, suffix in (("key", "key"), ("certificate", "crt")):
        data = base64.b64decode(controllers["users"][0]["user"][f"client-{kind}-data"])
        (served.keys / f"controllers.{suffix}").write_bytes(data)
    code, message = served.get("/healthz", identity="controllers")
    assert code == 403
    assert "only the API server" in message
    with pytest.raises((ssl.SSLError, ConnectionError)):
        served.get("/healthz", identity="")


def test_logs_come_with_their_options(served: Served) -> None:
    served.print("one", "two", "three")
    assert served.get(LOGS) == (200, "one\ntwo\nthree\n")
    assert served.get(f"{LOGS}?tailLines=1") == (200, "three\n")
    assert served.get(f"{LOGS}?limitBytes=5") == (200, "one\nt")


def test_what_is_not_there_is_said_in_kubernetes_words(served: Served) -> None:
    assert served.get("/containerLogs/default/gone/main")[0] == 404
    assert served.get("/containerLogs/default/web/other") == (
        400, "container other is not valid for pod web",
    )  # fmt: skip
    assert served.get(f"{LOGS}?previous=true") == (
        400, 'previous terminated container "main" in pod "web" not found',
    )  # fmt: skip
    assert served.get("/nothing")[0] == 404


def test_a_followed_log_ends_with_its_container(served: Served) -> None:
    served.print("first")
    with served.answer("GET", f"{LOGS}?follow=true") as response:
        assert response.readline() == b"first\n"
        served.print("second")
        assert response.readline() == b"second\n"
        served.runtime.end(served.id)
        served.exits.tell(served.id)
        assert response.read() == b""


def test_a_reader_that_goes_is_not_waited_for(served: Served) -> None:
    served.print("first")
    with served.answer("GET", f"{LOGS}?follow=true") as response:
        assert response.readline() == b"first\n"
    eventually(lambda: served.exits._waiting == {})


def test_pods_and_images_are_listed(served: Served) -> None:
    pods = json.loads(served.get("/pods")[1])
    assert pods["items"][0]["metadata"]["name"] == "web"
    assert json.loads(served.get("/images")[1]) == {"images": []}


def test_statistics_are_served_as_pages(served: Served) -> None:
    found = json.loads(served.get("/stats/summary")[1])
    assert found["node"]["runtime"]["imageFs"]["usedBytes"] == 4096
    (pod,) = found["pods"]
    assert pod["podRef"]["name"] == "web"
    assert [container["name"] for container in pod["containers"]] == ["main"]
    for page in ("metrics", "metrics/resource", "metrics/cadvisor"):
        assert served.get(f"/{page}")[1].startswith("# HELP ")
    assert served.get("/metrics/probes") == (200, "")
    assert served.get("/metrics/nothing") == (404, "no such page: /metrics/nothing")


def test_what_is_no_image_is_refused(served: Served) -> None:
    with served.answer("POST", "/images/load", b"this is no tar archive" * 1000) as response:
        assert response.status == 400
        assert response.read()
    assert served.loads == 0
    with served.answer("DELETE", "/images?reference=gone%3A1") as response:
        assert response.status == 404
