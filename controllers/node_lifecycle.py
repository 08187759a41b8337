"""Room controllers: notices that a node has fallen silent, and that it is back.

A key is a node's name. A node lives as long as its Lease in kube-node-lease is renewed (or its
status is posted); after `grace_s` of silence its conditions become Unknown. Whatever its Ready
condition says is shown as taints, which keep Pods away and drive them out (taint_eviction.py), and
its Pods are marked not Ready. When the kubelet posts Ready again the taints go.

Only how long *we* have heard nothing counts, by our own monotonic clock: clocks of machines are not
compared, and a controller that has just started, or could not reach the API server, blames nobody.
Nothing is polled: each node's key comes back when its grace would end.
Source: Kubernetes' node lifecycle controller, v1.32.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

from controllers import taints
from podium.api import meta
from podium.client.clock import Clock
from podium.client.errors import Conflict, NotFound, Unreachable
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

GRACE_S = 40.0
LEASES, LEASE_NAMESPACE = "leases.coordination.k8s.io", "kube-node-lease"
BY_NODE = "node"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")  # Unknown after silence
# Which taint says what a condition says. All are NoSchedule; those of Ready are NoExecute as well.
TAINT_OF = {
    ("Ready", "False"): taints.NOT_READY,
    ("Ready", "Unknown"): taints.UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
}
OURS = {*TAINT_OF.values(), taints.UNSCHEDULABLE}
DRIVING_OUT = (taints.NOT_READY, taints.UNREACHABLE)

_log = logging.getLogger("node-lifecycle")


@dataclass(slots=True)
class Heard:
    """The last sign of life: what was renewed, and when we heard of it (monotonic)."""

    sign: str
    at: float


class NodeLifecycleController:
    """`grace_s`: silence for that long is a node's end, until it is heard again."""

    name = "node-lifecycle"
    component = "node-controller"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        grace_s: float = GRACE_S,
    ) -> None:
        self._client, self._recorder, self._clock = client, recorder, clock
        self._grace_s = grace_s
        self._heard: dict[str, Heard] = {}
        self._lock = threading.Lock()  # guards _heard
        self._nodes = informers.informer("nodes")
        self._pods = informers.informer("pods")
        self._pods.add_index(BY_NODE, lambda pod: filter(None, [pod["spec"].get("nodeName")]))
        self._loop = ReconcileLoop(self.name, self.reconcile, clock=clock)
        self._nodes.add_handler(self._node_seen, self._node_updated, self._node_gone)
        informers.informer(LEASES).add_handler(
            self._lease_seen, lambda _, new: self._lease_seen(new)
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    # --- reconciling ----------------------------------------------------------------------------

    def reconcile(self, key: str) -> float | None:
        """Write what a node's silence or conditions mean; seconds until its grace would end."""
        node = self._nodes.get(key)
        if node is None:
            return None
        left_s = self._left_s(key)
        if left_s <= 0:
            left_s = self._look_live(key)
        if left_s <= 0:
            node = self._declare_unknown(node)
        self._show_taints(node)
        if _ready(node) != "True":
            self._mark_pods(key)
        return left_s if left_s > 0 else None

    def _look_live(self, name: str) -> float:
        """The watch may be broken: before a node is declared dead, ask for its Lease."""
        try:
            lease = self._client.get(LEASES, name, LEASE_NAMESPACE)
        except NotFound:
            return 0.0
        except Unreachable:
            self._forgive_all()
            raise
        self._note(name, _sign_of(lease))
        return self._left_s(name)

    def _declare_unknown(self, node: Object) -> Object:
        """Kubernetes' words for silence; the node as it then is."""
        status: Object = {
            "conditions": [dict(c) for c in (node.get("status") or {}).get("conditions") or ()]
        }
        now = meta.now(self._clock.now())
        changed = [type_ for type_ in WATCHED if _make_unknown(node, status, type_, now)]
        if not changed:
            return node
        written = [one for one in status["conditions"] if one["type"] in changed]
        name = node["metadata"]["name"]
        _log.warning("%s has not been heard for %g s", name, self._grace_s)
        self._client.patch(
            "nodes",
            name,
            None,
            {"metadata": {"uid": node["metadata"]["uid"]}, "status": {"conditions": written}},
            patch_type="strategic",
            subresource="status",
        )
        if "Ready" in changed:
            message = f"Node {name} status is now: NodeNotReady"
            self._recorder.event(node, "Normal", "NodeNotReady", message)
        return {**node, "status": {**(node.get("status") or {}), **status}}

    def _show_taints(self, node: Object) -> None:
        """Make the node's taints say what its conditions say; the taints of others stay."""
        current = (node.get("spec") or {}).get("taints") or []
        wanted = desired_taints(node, meta.now(self._clock.now()))
        if wanted == current:
            return
        name, found = node["metadata"]["name"], node["metadata"]
        # By version: a taint that somebody sets at the same time must not be lost.
        live = self._client.get("nodes", name)
        if live["metadata"]["uid"] != found["uid"]:
            return
        wanted = desired_taints({**live, "status": node["status"]}, meta.now(self._clock.now()))
        if wanted == ((live.get("spec") or {}).get("taints") or []):
            return
        metadata = {"resourceVersion": live["metadata"]["resourceVersion"]}
        patch = {"metadata": metadata, "spec": {"taints": wanted or None}}
        self._client.patch("nodes", name, None, patch)

    def _mark_pods(self, node_name: str) -> None:
        """Nobody can tell that these Pods still answer; the kubelet says so again when it is
        back."""
        for pod in self._pods.by_index(BY_NODE, node_name):
            if not meta.is_pod_ready(pod):
                continue
            status: Object = {"conditions": [dict(meta.condition(pod, "Ready") or {})]}
            ready = status["conditions"][0]
            now = meta.now(self._clock.now())
            meta.set_condition(
                status, "Ready", "False", ready.get("reason", ""), ready.get("message", ""), now
            )
            namespace, name = meta.split_key(meta.key_of(pod))
            patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
            try:
                self._client.patch(
                    "pods", name, namespace, patch, patch_type="strategic", subresource="status"
                )
            except (NotFound, Conflict):
                continue  # gone, or another of the same name
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")

    # --- signs of life --------------------------------------------------------------------------

    def _left_s(self, name: str) -> float:
        """Until the node's grace ends; below zero when it has."""
        with self._lock:
            heard = self._heard.setdefault(name, Heard("", self._clock.monotonic()))
            return heard.at + self._grace_s - self._clock.monotonic()

    def _note(self, name: str, sign: str) -> bool:
        """Whether it ends a silence."""
        now = self._clock.monotonic()
        with self._lock:
            heard = self._heard.get(name)
            if heard is None:
                self._heard[name] = Heard(sign, now)
                return True
            if heard.sign == sign:
                return False
            was_silent = now - heard.at >= self._grace_s
            heard.sign, heard.at = sign, now
            return was_silent

    def _forgive_all(self) -> None:
        """We heard nobody because we were deaf: everybody's grace begins anew."""
        with self._lock:
            for heard in self._heard.values():
                heard.at = self._clock.monotonic()

    # --- hearing --------------------------------------------------------------------------------

    def _lease_seen(self, lease: Object) -> None:
        if lease["metadata"].get("namespace") != LEASE_NAMESPACE:
            return
        name = lease["metadata"]["name"]
        if self._note(name, _sign_of(lease)):
            self._loop.add(name)

    def _node_seen(self, node: Object) -> None:
        with self._lock:
            at = self._clock.monotonic()
            self._heard.setdefault(node["metadata"]["name"], Heard("", at))
        self._loop.add(node["metadata"]["name"])

    def _node_updated(self, old: Object, new: Object) -> None:
        name = new["metadata"]["name"]
        posted = [meta.condition(one, "Ready") or {} for one in (old, new)]
        times = [one.get("lastHeartbeatTime") for one in posted]
        if times[0] != times[1]:  # the kubelet has posted; we leave that field alone
            with self._lock:
                heard = self._heard.setdefault(name, Heard("", 0.0))
                heard.at = self._clock.monotonic()
        if _what_counts(old) != _what_counts(new):
            self._loop.add(name)

    def _node_gone(self, node: Object) -> None:
        with self._lock:
            self._heard.pop(node["metadata"]["name"], None)


# --- pure ---------------------------------------------------------------------------------------


def desired_taints(node: Object, now: str) -> list[Object]:
    """The node's taints, ours as its conditions and spec.unschedulable want them.

    Those that are there already keep their timeAdded: it says since when Pods are tolerated.
    """
    current = (node.get("spec") or {}).get("taints") or []
    wanted = _wanted_taints(node, now)
    kept = [
        taint
        for taint in current
        if taint["key"] not in OURS or any(taints.same_taint(taint, one) for one in wanted)
    ]
    new = [one for one in wanted if not any(taints.same_taint(one, taint) for taint in kept)]
    return kept + new


def _wanted_taints(node: Object, now: str) -> list[Object]:
    found: list[Object] = []
    for (type_, value), key in TAINT_OF.items():
        condition = meta.condition(node, type_)
        if condition is None or condition["status"] != value:
            continue
        found.append({"key": key, "effect": taints.NO_SCHEDULE})
        if key in DRIVING_OUT:
            found.append({"key": key, "effect": taints.NO_EXECUTE, "timeAdded": now})
    if (node.get("spec") or {}).get("unschedulable"):
        found.append({"key": taints.UNSCHEDULABLE, "effect": taints.NO_SCHEDULE, "timeAdded": now})
    return found


def _make_unknown(node: Object, status: Object, type_: str, now: str) -> bool:
    """Whether that changed anything. lastHeartbeatTime stays: it is the kubelet's to set."""
    before = meta.condition(node, type_)
    if before is not None and before["status"] == "Unknown":
        return False
    if before is None:
        reason, message = "NodeStatusNeverUpdated", "Kubelet never posted node status."
        heartbeat = node["metadata"].get("creationTimestamp")
    else:
        reason, message = "NodeStatusUnknown", "Kubelet stopped posting node status."
        heartbeat = before.get("lastHeartbeatTime")
    return meta.set_condition(
        status, type_, "Unknown", reason, message, now, lastHeartbeatTime=heartbeat
    )


def _ready(node: Object) -> str:
    """ "True", "False" or "Unknown"; the last also when nothing was ever said."""
    condition = meta.condition(node, "Ready")
    return str(condition["status"]) if condition else "Unknown"


def _sign_of(lease: Object) -> str:
    return str((lease.get("spec") or {}).get("renewTime") or "")


def _what_counts(node: Object) -> tuple[Any, ...]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    said = sorted((one["type"], one["status"]) for one in status.get("conditions") or ())
    return said, spec.get("taints"), spec.get("unschedulable")
