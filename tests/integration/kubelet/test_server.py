"""The kubelet's HTTPS server: who may speak to it, logs, exec, images. Real TLS and WebSockets."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request

from kubelet.cgroup_values import CgroupValues
from kubelet.configuration import KubeletConfiguration
from kubelet.container_config import ContainerConfigs
from kubelet.hardware import Hardware
from kubelet.image_keeper import ImageKeeper
from kubelet.image_requests import ImageRequests
from kubelet.images import ImageStore
from kubelet.images.pull import Pulls
from kubelet.images.registry.hosts import Registries
from kubelet.log_follower import Exits
from kubelet.metrics import KubeletMetrics
from kubelet.pull_secrets import PullSecrets
from kubelet.runtime.protocol import ContainerConfig, SandboxConfig
from kubelet.server import KubeletServer, Rooms
from kubelet.stats.pages import Statistics
from kubelet.stats.sampler import Sampler
from kubelet.volumes import Volumes
from podium.cli import pki
from tests.support.fake_recorder import FakeRecorder
from tests.support.fake_runtime import FakeRuntime
from tests.support.waiting import eventually
from tests.unit.kubelet.containers import a_kubelet_pod

Object = dict[str, Any]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data_dir = tmp_path_factory.mktemp("cluster")
    pki.create_pki(data_dir, ["node-1"], "127.0.0.1", 6443)
    return data_dir / "pki"


class Served:
    """A server with one Pod whose container `main` runs."""

    def __init__(self, keys: Path, path: Path) -> None:
        self.keys, self.runtime, self.exits = keys, FakeRuntime(), Exits()
        self.pod = a_kubelet_pod()
        uid = self.pod["metadata"]["uid"]
        values = CgroupValues(Hardware(), KubeletConfiguration())
        configs = ContainerConfigs(str(path), Volumes(str(path), lambda *_: None), values)
        self.log = configs.log_file(self.pod, "main", 0)
        self.log.parent.mkdir(parents=True)
        self.runtime.run_pod_sandbox(SandboxConfig(uid, "web", "kubepods"))
        config = ContainerConfig("main", 0, ["sleep"], {}, "/", str(self.log))
        self.id = self.runtime.create_container(uid, config)
        self.runtime.start_container(self.id)
        self.loads = 0
        self.server = KubeletServer("127.0.0.1", keys, "node-1", Rooms(
            self.runtime, self._images(path), configs, self.exits, self._find, lambda: [self.pod],
            self._statistics(path, configs),
        ))  # fmt: skip
        self.server.start()

    def _statistics(self, path: Path, configs: ContainerConfigs) -> Statistics:
        sampler = Sampler(
            "node-1", str(path), self.runtime, pods=lambda: [self.pod], log_dir=configs.log_dir,
            volume_dirs=lambda _: {}, images_bytes=lambda: 4096,
        )  # fmt: skip
        return Statistics(sampler, KubeletMetrics("node-1"), self.runtime)

    def _find(self, namespace: str, name: str) -> Object | None:
        return self.pod if (namespace, name) == ("default", "web") else None

    def _images(self, path: Path) -> ImageRequests:
        store = ImageStore(f"{path}/images")
        keeper = ImageKeeper(
            store, self.runtime, FakeRecorder(), KubeletConfiguration(), pods=list, node=dict
        )
        pulls = Pulls(store, Registries(path))
        secrets = PullSecrets(lambda *_: None, path / "config.json")
        return ImageRequests(store, keeper, pulls, secrets, self._loaded)

    def _loaded(self) -> None:
        self.loads += 1

    def context(self, identity: str = "apiserver-kubelet-client") -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.keys / "ca.crt"))
        context.check_hostname = False
        if identity:
            context.load_cert_chain(self.keys / f"{identity}.crt", self.keys / f"{identity}.key")
        return context

    @contextmanager
    def answer(
        self, method: str, path: str, body: Any = None, identity: str = "apiserver-kubelet-client"
    ) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.server.port, context=self.context(identity), timeout=10
        )
        try:
            connection.request(method, path, body)
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def get(self, path: str, identity: str = "apiserver-kubelet-client") -> tuple[int, str]:
        with self.answer("GET", path, identity=identity) as response:
            return response.status, response.read().decode()

    def print(self, *lines: str) -> None:
        self.runtime.write_log(self.id, "".join(f"{line}\n" for line in lines).encode())


@pytest.fixture
def served(keys: Path, tmp_path: Path) -> Iterator[Served]:
    found = Served(keys, tmp_path)
    yield found
    found.server.stop()


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


# ---- exec ---------------------------------------------------------------------------------------


class Client:
    """The client's end of an exec."""

    def __init__(self, served: Served, query: str, protocol: str = "v5.channel.k8s.io") -> None:
        plain = socket.create_connection(("127.0.0.1", served.server.port), timeout=10)
        self.sock = served.context().wrap_socket(plain)
        self.websocket = WSConnection(ConnectionType.CLIENT)
        target = f"/exec/default/web/main?{query}"
        self.send(Request("kubelet", target, subprotocols=[protocol]))
        self.output: dict[int, bytes] = {}
        self.message = b""
        self.pongs = 0
        self.is_accepted = self.is_closed = False

    def send(self, event: Any) -> None:
        self.sock.sendall(self.websocket.send(event))

    def write(self, channel: int, data: bytes) -> None:
        self.send(BytesMessage(data=bytes([channel]) + data))

    def read(self) -> None:
        data = self.sock.recv(65536)
        self.websocket.receive_data(data or None)
        for event in self.websocket.events():
            if isinstance(event, AcceptConnection):
                self.is_accepted = True
            elif isinstance(event, BytesMessage):
                self.message += bytes(event.data)
                if event.message_finished:
                    channel, rest, self.message = self.message[0], self.message[1:], b""
                    self.output[channel] = self.output.get(channel, b"") + rest
            elif isinstance(event, Pong):
                self.pongs += 1
            elif isinstance(event, CloseConnection):
                self.is_closed = True

    def wait_accepted(self) -> None:
        while not self.is_accepted:
            self.read()

    def finish(self) -> Object:
        """Read to the end; the Status."""
        while not self.is_closed:
            self.read()
        self.sock.close()
        found: Object = json.loads(self.output[3])
        return found


def test_exec_gives_output_and_exit_code_apart(served: Served) -> None:
    command = "command=sh&command=-c&command=echo+out%3B+echo+err+%3E%262%3B+exit+7"
    client = Client(served, f"{command}&stdout=true&stderr=true")
    status = client.finish()
    assert (client.output[1], client.output[2]) == (b"out\n", b"err\n")
    assert status["reason"] == "NonZeroExitCode"
    assert status["details"]["causes"] == [{"reason": "ExitCode", "message": "7"}]


def test_stdin_ends_when_the_client_closes_its_channel(served: Served) -> None:
    client = Client(served, "command=cat&stdin=true&stdout=true")
    client.wait_accepted()
    client.write(0, b"hello")
    client.write(255, b"\x00")
    assert client.finish() == {"metadata": {}, "status": "Success"}
    assert client.output[1] == b"hello"


def test_a_megabyte_goes_through_both_ways(served: Served) -> None:
    client = Client(served, "command=cat&stdin=true&stdout=true")
    client.wait_accepted()
    sent = bytes(range(256)) * 4096
    for start in range(0, len(sent), 1 << 16):
        client.write(0, sent[start : start + (1 << 16)])
        while len(client.output.get(1, b"")) < start + (1 << 15):
            client.read()
    client.write(255, b"\x00")
    client.finish()
    assert client.output[1] == sent


def test_pings_are_answered(served: Served) -> None:
    client = Client(served, "command=cat&stdin=true&stdout=true")
    client.wait_accepted()
    client.send(Ping(b"there?"))
    while not client.pongs:
        client.read()
    client.write(255, b"\x00")
    client.finish()


def test_a_command_that_does_not_exist_is_named(served: Served) -> None:
    status = Client(served, "command=no-such-program&stdout=true").finish()
    assert status["status"] == "Failure"
    assert "no-such-program" in status["message"]


def test_a_process_ends_with_its_client(served: Served) -> None:
    client = Client(served, "command=sleep&command=1000&stdout=true")
    client.wait_accepted()
    client.sock.close()
    eventually(lambda: not [t for t in threading.enumerate() if t.name == "exec-wait"])


def test_a_container_that_has_ended_runs_nothing(served: Served) -> None:
    served.runtime.end(served.id)
    code, message = served.get("/exec/default/web/main?command=true")
    assert (code, message) == (500, 'container not found ("main")')
