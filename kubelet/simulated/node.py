"""One simulated node: registered, kept alive by its Lease, with an informer of its Pods.

Room kubelet/simulated; made by __main__.py. It speaks with the identity of its node, so what a real
kubelet may not do it may not do either.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from kubelet.configuration import KubeletConfiguration
from kubelet.node_status import RENEW_EVERY_S, NodeReporter
from kubelet.simulated.containers import ENGINE
from kubelet.simulated.pods import SimulatedPods
from podium.api.meta import key_of
from podium.client.config import load_kubeconfig
from podium.client.errors import ClientError
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

CAPACITY = {"cpu": "8", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "110"}
LABEL = "podium.dev/simulated"
RETRY_S = 0.05
WORKERS = 2


class SimulatedReporter(NodeReporter):
    """A Node with more room than the machine has, and a label that says what it is."""

    def status(self, old: Object) -> Object:
        return super().status(old) | {"capacity": CAPACITY, "allocatable": CAPACITY}

    def _labels(self) -> dict[str, str]:
        found = {k: v for k, v in super()._labels().items() if not k.startswith("node-role.")}
        return found | {LABEL: "true"}


class SimulatedNode:
    """`config` is its entry in cluster.json."""

    def __init__(self, data_dir: Path, config: Object, host: str) -> None:
        name = config["name"]
        self._client = Client(
            load_kubeconfig(data_dir / "pki" / f"node-{name}.kubeconfig"), user_agent="kubelet"
        )
        self._informers = InformerFactory(self._client)
        self._recorder = EventRecorder(self._client, "kubelet", host=name)
        self._reporter = SimulatedReporter(
            self._client, self._recorder, name, pod_cidr=config["podCIDR"],
            node_dir=str(data_dir), host=host, images=list, settings=KubeletConfiguration(),
            runtime_version=f"{ENGINE}://1", has_user_namespaces=True,
            has_recursive_read_only=True,
        )  # fmt: skip
        informer = self._informers.informer("pods", field_selector=f"spec.nodeName={name}")
        pods = SimulatedPods(
            self._client, informer, self._recorder, node=self._reporter.node,
            pod_cidr=config["podCIDR"],
        )  # fmt: skip
        self._loop = ReconcileLoop("pod-sync", pods.reconcile, workers=WORKERS)
        informer.add_handler(self._wake, lambda _, new: self._wake(new), self._wake)

    def _wake(self, pod: Object) -> None:
        self._loop.add(key_of(pod))

    def run(self, stopping: threading.Event, is_ready: threading.Event) -> None:
        """Until `stopping`; says when the Node is there."""
        while not stopping.is_set() and not self._register():
            stopping.wait(RETRY_S)
        self._informers.start()
        self._loop.start()
        is_ready.set()
        while not stopping.wait(RENEW_EVERY_S):
            self._heartbeat()
        for part in (self._loop, self._informers, self._recorder):
            part.stop()
        self._client.close()

    def _register(self) -> bool:
        try:
            self._reporter.register(0)  # nobody serves logs and exec
        except ClientError:
            return False
        return True

    def _heartbeat(self) -> None:
        try:
            self._reporter.renew_lease()
            self._reporter.reconcile(self._reporter.name)
        except ClientError:
            return  # the next one tells
