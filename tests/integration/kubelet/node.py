"""A kubelet in the test's process: the real API server, the fake runtime, no kernel objects.

with running_node(server, tmp_path) as node:
    pod = node.run(a_kubelet_pod())
    node.expect(pod, lambda status: status["phase"] == "Running")
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kubelet.cgroup_values import CgroupValues
from kubelet.configuration import KubeletConfiguration
from kubelet.container_config import ContainerConfigs
from kubelet.hardware import Hardware
from kubelet.image_puller import ImagePuller
from kubelet.images import ImageStore
from kubelet.images.pull import Pulls
from kubelet.images.registry.hosts import Registries
from kubelet.log_follower import Exits
from kubelet.network import Bandwidth, HostPort, PodAddress
from kubelet.node_status import NodeReporter
from kubelet.object_watch import ObjectWatch
from kubelet.pod_source import PodSource, key_of
from kubelet.pod_sync import PodSync
from kubelet.pull_secrets import PullSecrets
from kubelet.qos_cgroups import QosCgroups
from kubelet.runtime.protocol import ContainerStatus
from kubelet.security_admission import find_modules
from kubelet.service_account_tokens import PodTokens
from kubelet.static_pods import StaticPods
from kubelet.user_ranges import UserRanges
from kubelet.volumes import Volumes
from podium.client.errors import AlreadyExists, NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop
from tests.support.api_server import ApiServerProcess
from tests.support.builders import unstored
from tests.support.fake_runtime import FakeCgroups, FakeRuntime
from tests.support.waiting import eventually

Object = dict[str, Any]
NAME = "node-1"


class FakeNetwork:
    """Addresses without interfaces."""

    def __init__(self) -> None:
        self._addresses: dict[str, PodAddress] = {}
        self._next = 1

    def attach(self, uid: str, netns_path: str) -> PodAddress:
        if uid not in self._addresses:
            self._next += 1
            self._addresses[uid] = PodAddress(
                f"10.244.0.{self._next}", 24, "10.244.0.1", "pod0", "0a:00:00:00:00:01"
            )
        return self._addresses[uid]

    def publish(self, uid: str, ports: tuple[HostPort, ...]) -> None:
        pass

    def limit(self, uid: str, bandwidth: Bandwidth) -> None:
        pass

    def detach(self, uid: str) -> None:
        self._addresses.pop(uid, None)

    def attached(self) -> dict[str, PodAddress]:
        return dict(self._addresses)


class Node:
    """One life of a kubelet; `runtime` and `network` outlive it, as they do in truth."""

    def __init__(
        self, server: ApiServerProcess, node_dir: Path, runtime: FakeRuntime, network: FakeNetwork
    ) -> None:
        self.admin = server.client()
        self.client = server.client("node-node-1")
        self.runtime, self.network = runtime, network
        self.recorder = EventRecorder(self.client, "kubelet", host=NAME)
        self.informers = InformerFactory(self.client)
        self.pods = self.informers.informer("pods", field_selector=f"spec.nodeName={NAME}")
        self.statics = StaticPods(node_dir / "manifests", NAME, self.wake)
        self.source = PodSource(self.pods, self.statics)
        settings = KubeletConfiguration()
        self.reporter = NodeReporter(
            self.client, self.recorder, NAME, pod_cidr="10.244.0.0/24", node_dir=str(node_dir),
            host="192.0.2.7",
            images=list, settings=settings, runtime_version=runtime.version,
            has_user_namespaces=runtime.has_user_namespaces,
            has_recursive_read_only=runtime.has_recursive_read_only,
        )  # fmt: skip
        self.objects = ObjectWatch(self.client, self.wake)
        volumes = Volumes(str(node_dir), self.objects.get, PodTokens(self.client))
        hardware = Hardware(memory_bytes=8 << 30, cpus=frozenset(range(4)))
        values = CgroupValues(hardware, settings)
        modules = find_modules("podium-test")
        self.configs = ContainerConfigs(str(node_dir), volumes, values, modules)
        self.cgroups = FakeCgroups()
        self.images = ImageStore(f"{node_dir}/images")
        self.exits = Exits()
        self.puller = ImagePuller(
            self.images, Pulls(self.images, Registries(node_dir)),
            PullSecrets(self.objects.get, node_dir / "config.json"), self.recorder, wake=self.wake,
        )  # fmt: skip
        self.sync = PodSync(
            client=self.client, runtime=runtime, network=network,  # type: ignore[arg-type]
            recorder=self.recorder, puller=self.puller,
            volumes=volumes, configs=self.configs, objects=self.objects,
            node=self.reporter.node, pods=self.source, requeue=self.wake, settings=settings,
            exits=self.exits, user_ranges=UserRanges(node_dir / "pods", "test", 0),
            qos=QosCgroups(self.cgroups, hardware, settings),  # type: ignore[arg-type]
            probed=lambda *_: None, modules=modules,
        )  # fmt: skip
        self.loop = ReconcileLoop("pod-sync", self.sync.reconcile, workers=4)

    def wake(self, uid: str) -> None:
        self.loop.add(uid)

    def start(self) -> None:
        self.statics.start()
        self.loop.start()
        self.reporter.register(10250)
        self._play_service_account_controller()
        changed: Callable[[Object], None] = lambda pod: self.wake(key_of(pod))  # noqa: E731
        self.pods.add_handler(changed, lambda _, new: changed(new), changed)
        self._feed = self.runtime.events()
        threading.Thread(target=self._follow, daemon=True).start()
        self.informers.start()
        assert self.pods.wait_synced(10)
        self.sync.count_running(self.source.list())
        self.source.is_settled = True
        for uid in self.sync.known() | {pod["metadata"]["uid"] for pod in self.source.list()}:
            self.wake(uid)

    def _play_service_account_controller(self) -> None:
        made = {"serviceaccounts": {"metadata": {"name": "default"}},
                "configmaps": {"metadata": {"name": "kube-root-ca.crt"},
                               "data": {"ca.crt": "the cluster's"}}}  # fmt: skip
        for plural, obj in made.items():
            with contextlib.suppress(AlreadyExists):  # in an earlier life
                self.admin.create(plural, obj, "default")

    def _follow(self) -> None:
        for event in self._feed:
            if event.kind == "container_exited":
                self.exits.tell(event.container_id)
            self.wake(event.sandbox_id)

    def stop(self) -> None:
        self.loop.stop()
        self.statics.close()
        self.sync.close()
        self.informers.stop()
        self.objects.close()
        self.recorder.stop()

    # ---- what tests do and ask ----

    def run(self, pod: Object) -> Object:
        """Create a Pod that is bound here."""
        return self.admin.create("pods", unstored(pod), "default")

    def status(self, pod: Object) -> Object:
        about = pod["metadata"]
        found = self.admin.get("pods", about["name"], about["namespace"])
        return dict(found.get("status") or {})

    def expect(self, pod: Object, condition: Callable[[Object], Any]) -> Object:
        """The status once the condition is true of it."""

        def look() -> Object | None:
            status = self.status(pod)
            return status if condition(status) else None

        return eventually(look) or {}

    def expect_running(self, pod: Object) -> Object:
        return self.expect(pod, lambda status: status.get("phase") == "Running")

    def expect_reason(self, pod: Object, reason: str) -> str:
        """Wait until its container waits for that reason; gives the message."""
        status = self.expect(pod, lambda status: waiting(status).get("reason") == reason)
        return str(waiting(status).get("message", ""))

    def expect_gone(self, pod: Object) -> None:
        def is_gone() -> bool:
            try:
                self.admin.get("pods", pod["metadata"]["name"], "default")
            except NotFound:
                return True
            return False

        eventually(is_gone)

    def container(self, pod: Object, name: str = "main") -> ContainerStatus:
        found = [c for c in self.runtime.list_containers(pod["metadata"]["uid"]) if c.name == name]
        return max(found, key=lambda c: c.attempt)

    def events(self, reason: str) -> list[str]:
        found = self.admin.list("events", "default", field_selector=f"reason={reason}")
        return [str(event["message"]) for event in found["items"]]


def waiting(status: Object) -> Object:
    for container in status.get("containerStatuses") or ():
        found: Object = (container.get("state") or {}).get("waiting") or {}
        return found
    return {}


@contextmanager
def running_node(
    server: ApiServerProcess,
    node_dir: Path,
    runtime: FakeRuntime | None = None,
    network: FakeNetwork | None = None,
) -> Iterator[Node]:
    node_dir.mkdir(exist_ok=True)
    node = Node(server, node_dir, runtime or FakeRuntime(), network or FakeNetwork())
    node.start()
    try:
        yield node
    finally:
        node.stop()
