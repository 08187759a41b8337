"""The kubelet's HTTPS server with one Pod, and clients that stream. Real TLS and WebSockets."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from wsproto import WSConnection
from wsproto.connection import ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Pong,
    Request,
    TextMessage,
)

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
from kubelet.security_admission import find_modules
from kubelet.server import KubeletServer, Rooms
from kubelet.stats.pages import Statistics
from kubelet.stats.sampler import Sampler
from kubelet.volumes import Volumes
from podium.client import spdy
from tests.support.fake_recorder import FakeRecorder
from tests.support.fake_runtime import FakeRuntime
from tests.unit.kubelet.containers import a_kubelet_pod

Object = dict[str, Any]


class Served:
    """A server with one Pod whose container `main` runs."""

    def __init__(self, keys: Path, path: Path) -> None:
        self.keys, self.runtime, self.exits = keys, FakeRuntime(), Exits()
        self.pod = a_kubelet_pod()
        uid = self.pod["metadata"]["uid"]
        values = CgroupValues(Hardware(), KubeletConfiguration())
        configs = ContainerConfigs(
            str(path), Volumes(str(path), lambda *_: None), values, find_modules("podium-test")
        )
        self.log = configs.log_file(self.pod, "main", 0)
        self.log.parent.mkdir(parents=True)
        self.runtime.run_pod_sandbox(SandboxConfig(uid, "web", "kubepods"))
        config = ContainerConfig("main", 0, ["sleep"], {}, "/", str(self.log))
        self.id = self.runtime.create_container(uid, config)
        self.runtime.start_container(self.id)
        self.loads = 0
        self.server = KubeletServer("127.0.0.1", keys, "node-1", Rooms(
            self.runtime, self._images(path), configs, self.exits, self._find, lambda: [self.pod],
            self._statistics(path, configs), lambda: None,
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


class Client:
    """The client's end of an exec or attach over a WebSocket."""

    def __init__(
        self, served: Served, query: str, protocol: str = "v5.channel.k8s.io", verb: str = "exec"
    ) -> None:
        plain = socket.create_connection(("127.0.0.1", served.server.port), timeout=10)
        self.sock = served.context().wrap_socket(plain)
        self.websocket = WSConnection(ConnectionType.CLIENT)
        target = f"/{verb}/default/web/main?{query}"
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
            elif isinstance(event, BytesMessage | TextMessage):
                is_text = isinstance(event, TextMessage)
                self.message += event.data.encode() if is_text else bytes(event.data)
                if event.message_finished:
                    channel, rest, self.message = self.message[0], self.message[1:], b""
                    if is_text:
                        channel, rest = channel - ord("0"), base64.b64decode(rest)
                    self.output[channel] = self.output.get(channel, b"") + rest
            elif isinstance(event, Pong):
                self.pongs += 1
            elif isinstance(event, CloseConnection):
                self.is_closed = True

    def wait_accepted(self) -> None:
        while not self.is_accepted:
            self.read()

    def read_to_the_end(self) -> None:
        while not self.is_closed:
            self.read()
        self.sock.close()

    def finish(self) -> Object:
        """Read to the end; the Status."""
        self.read_to_the_end()
        found: Object = json.loads(self.output[3])
        return found


class SpdyClient:
    """The client's end of an exec over SPDY/3.1; AssertionError if it is refused."""

    def __init__(self, served: Served, target: str, protocol: str) -> None:
        plain = socket.create_connection(("127.0.0.1", served.server.port), timeout=10)
        self.sock = served.context().wrap_socket(plain)
        self.sock.sendall(
            f"POST {target} HTTP/1.1\r\nHost: kubelet\r\nConnection: Upgrade\r\n"
            f"Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: {protocol}\r\n"
            "Content-Length: 0\r\n\r\n".encode()
        )
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(65536)
        assert head.startswith(b"HTTP/1.1 101 "), self._refusal(head)
        assert f"X-Stream-Protocol-Version: {protocol}".encode() in head
        self.session = spdy.Session(self.sock.sendall, is_client=True)
        self.streams: dict[str, int] = {}
        self.output: dict[str, bytes] = {}

    def _refusal(self, head: bytes) -> str:
        self.sock.close()
        return head.decode().replace("\r\n", " ")

    def open(self, *kinds: str) -> None:
        for kind in kinds:
            self.streams[kind] = self.session.open({"streamtype": kind})
            self.output[kind] = b""

    def write(self, kind: str, data: bytes, *, is_last: bool = False) -> None:
        self.session.write(self.streams[kind], data, is_last=is_last)

    def read_to_the_end(self) -> None:
        """Until the error stream has ended."""
        kinds = {number: kind for kind, number in self.streams.items()}
        while data := self.sock.recv(65536):
            for event in self.session.feed(data):
                assert isinstance(event, spdy.Data)
                self.output[kinds[event.stream]] += event.data
                if kinds[event.stream] == "error" and event.is_last:
                    self.sock.close()
                    return
