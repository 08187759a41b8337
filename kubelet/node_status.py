"""The Node object: what the machine has, and the heartbeats that say it is alive.

Room kubelet; made by agent.py. `register` writes the first status at once; `reconcile` looks again
when the clock says so or the Node has changed in the API, and writes only what differs from what is
there: so a node that was thought dead is Ready again as soon as it is heard of.
Source: Kubernetes docs "Nodes", KEP-0009 (node leases), kubelet `pkg/kubelet/nodestatus`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from kubelet import machine, node_events
from kubelet.allocatable import allocatable
from kubelet.configuration import KubeletConfiguration
from kubelet.runtime_class import HANDLERS
from podium.api import meta
from podium.client.errors import AlreadyExists, Conflict, NotFound
from podium.client.event_recorder import Recorder
from podium.client.http import Client

log = logging.getLogger("node-status")
Object = dict[str, Any]

RENEW_EVERY_S = 10
LEASES, LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
_PRESSURE_WORDS = {
    ("MemoryPressure", False): (
        "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("MemoryPressure", True): (
        "KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ("DiskPressure", False): ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("DiskPressure", True): ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ("PIDPressure", False): ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("PIDPressure", True): ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
}  # fmt: skip
_TIMES = ("lastHeartbeatTime", "lastTransitionTime")


class NodeReporter:
    """One Node. `images` gives what its status shows of them."""

    def __init__(
        self, client: Client, recorder: Recorder, name: str, *, pod_cidr: str, node_dir: str,
        host: str, images: Callable[[], list[Object]], settings: KubeletConfiguration,
        runtime_version: str, has_user_namespaces: bool, has_recursive_read_only: bool,
        huge_pages: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self._client, self._recorder = client, recorder
        self._settings, self._runtime_version = settings, runtime_version
        self._handler_features = {
            "recursiveReadOnlyMounts": has_recursive_read_only,
            "userNamespaces": has_user_namespaces,
        }
        self._huge_pages = huge_pages or {}
        self.pressures: Callable[[], frozenset[str]] = frozenset  # conditions that hold
        self.why_not_ready: Callable[[], str] = str  # "" while it is
        self.name = name
        self._pod_cidr = pod_cidr
        self._node_dir = node_dir
        self._host = host
        self._images = images
        self._port = 0
        self._lock = threading.Lock()  # one report at a time
        self._reported_at = float("-inf")  # monotonic
        self._node: Object = {}  # not in the API yet

    def node(self) -> Object:
        """As last heard of, or as it will be registered. Shared: copy before changing."""
        return self._node or self._new_node()

    def heard(self, node: Object) -> None:
        """What a watch brought."""
        self._node = node

    def register(self, port: int) -> None:
        """Make or find the Node and say that it is Ready; raises ClientError. `port` is the
        kubelet's server's. Safe to repeat."""
        self._port = port
        try:
            self._node = self._client.create("nodes", self._new_node())
            self._reported_at = time.monotonic()
            self._tell({}, self._node["status"])
        except AlreadyExists:
            self._node = self._client.get("nodes", self.name)
            self._put_labels()
            self.reconcile(self.name)
        self._recorder.event(self._node, "Normal", "Starting", "Starting kubelet.")
        self.renew_lease()

    def _new_node(self) -> Object:
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": self.name, "labels": self._labels()},
            "spec": self._spec(),
            "status": self.status({}),
        }

    def _spec(self) -> Object:
        spec: Object = {"podCIDR": self._pod_cidr, "podCIDRs": [self._pod_cidr]}
        if self._settings.register_with_taints:
            spec["taints"] = [dict(taint) for taint in self._settings.register_with_taints]
        return spec

    def _labels(self) -> dict[str, str]:
        return {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": machine.architecture(),
            "node-role.kubernetes.io/control-plane": "",
        }

    def _put_labels(self) -> None:
        """Those that an older version did not have."""
        found = self._node["metadata"].get("labels") or {}
        missing = {k: v for k, v in self._labels().items() if found.get(k) != v}
        if missing:
            patch = {"metadata": {"labels": missing}}
            self._node = self._client.patch("nodes", self.name, None, patch)

    # ---- reports ----

    def reconcile(self, _key: str) -> None:
        """Write the status if the API shows another, or has not had one for long."""
        with self._lock:
            old = self._node.get("status") or {}
            fresh = self.status(old)
            is_due = (
                time.monotonic() - self._reported_at > self._settings.node_status_report_frequency_s
            )
            if not is_due and _without_times(fresh) == _without_times(old):
                return
            self._node = self._client.patch(
                "nodes", self.name, None, {"status": fresh}, subresource="status"
            )
            self._reported_at = time.monotonic()
        self._tell(old, fresh)

    def _tell(self, old: Object, fresh: Object) -> None:
        for type_, reason, message in node_events.changes(self.name, old, fresh):
            self._recorder.event(self._node, type_, reason, message)

    def status(self, old: Object) -> Object:
        """What the machine says of itself now; `old` is what its times go on from."""
        found = machine.resources(self._node_dir)
        capacity = {
            "cpu": str(found.cpus),
            "memory": f"{found.memory // 1024}Ki",
            "ephemeral-storage": f"{found.disk // 1024}Ki",
            **self._huge_pages,
            "pods": str(self._settings.max_pods),
        }
        return {
            "capacity": capacity,
            "allocatable": allocatable(capacity, self._settings),
            "conditions": _conditions(old, self.pressures(), self.why_not_ready()),
            "addresses": [
                {"type": "InternalIP", "address": self._host},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
            "nodeInfo": machine.node_info(self._runtime_version),
            "features": {"supplementalGroupsPolicy": True},
            "runtimeHandlers": [
                {"name": name, "features": dict(self._handler_features)} for name in HANDLERS
            ],
            "images": self._images()[: _bound(self._settings.node_status_max_images)],
        }

    # ---- heartbeats ----

    def renew_lease(self) -> None:
        """Say that this node is alive; raises ClientError."""
        spec = {
            "holderIdentity": self.name,
            "leaseDurationSeconds": self._settings.node_lease_duration_s,
            "renewTime": meta.now_micro(),
        }
        try:
            self._client.patch(LEASES, self.name, LEASE_NAMESPACE, {"spec": spec})
        except NotFound:
            self._make_lease(spec)

    def _make_lease(self, spec: Object) -> None:
        owner = meta.owner_reference({**self._node, "apiVersion": "v1", "kind": "Node"}, False)
        reference = {k: v for k, v in owner.items() if k in ("apiVersion", "kind", "name", "uid")}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self.name,
                "namespace": LEASE_NAMESPACE,
                "ownerReferences": [reference],
            },
            "spec": spec,
        }
        try:
            self._client.create(LEASES, lease)
        except (NotFound, AlreadyExists, Conflict) as failure:
            log.info("no lease yet: %s", failure)  # its namespace is still to come


def _conditions(old: Object, pressures: frozenset[str], why_not_ready: str) -> list[Object]:
    now = meta.now()
    status: Object = {"conditions": [dict(c) for c in old.get("conditions") or ()]}
    for type_ in ("MemoryPressure", "DiskPressure", "PIDPressure"):
        is_pressed = type_ in pressures
        reason, words = _PRESSURE_WORDS[type_, is_pressed]
        meta.set_condition(status, type_, "True" if is_pressed else "False", reason, words, now)
    words = "podium has made the bridge of this node"
    meta.set_condition(status, "NetworkUnavailable", "False", "RouteCreated", words, now)
    if why_not_ready:
        meta.set_condition(status, "Ready", "False", "KubeletNotReady", why_not_ready, now)
    else:
        words = "kubelet is posting ready status"
        meta.set_condition(status, "Ready", "True", "KubeletReady", words, now)
    for condition in status["conditions"]:
        condition["lastHeartbeatTime"] = now
    conditions: list[Object] = status["conditions"]
    return conditions


def _bound(count: int) -> int | None:
    """-1 = no bound."""
    return None if count < 0 else count


def _without_times(status: Object) -> Object:
    """What makes a write worth while."""
    shown = (
        "capacity",
        "allocatable",
        "addresses",
        "daemonEndpoints",
        "nodeInfo",
        "images",
        "runtimeHandlers",
    )
    conditions = [
        {k: v for k, v in c.items() if k not in _TIMES} for c in status.get("conditions") or ()
    ]
    found = {key: status[key] for key in shown if status.get(key)}
    return found | {"conditions": sorted(conditions, key=lambda c: str(c["type"]))}
