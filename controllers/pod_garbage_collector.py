"""Room controllers: removes Pods that nobody else will.

- bound to a node that is gone: no kubelet will end them;
- being deleted and never bound: no kubelet has heard of them;
- ended, when there are more than `terminated_threshold` of them: the oldest.

Source: Kubernetes' pod garbage collector. Where that looks every 20 s, this acts on changes.
"""

from __future__ import annotations

import logging
from typing import Any

from podium.api import meta
from podium.client.clock import Clock
from podium.client.errors import Conflict, NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

TERMINATED_THRESHOLD = 12500  # Kubernetes' default
# A Node may be made anew with the same name, by a kubelet that registers again.
NODE_GONE_FOR_S = 40.0
BY_NODE = "node"
_ENDED = "*"  # the key for "too many have ended"; no Pod has it
_MESSAGE = "PodGC: node no longer exists"

_log = logging.getLogger("pod-garbage-collector")


class PodGarbageCollector:
    """`reconcile` takes a Pod's key."""

    name = "pod-garbage-collector"
    component = "pod-garbage-collector"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        terminated_threshold: int = TERMINATED_THRESHOLD,
        node_gone_for_s: float = NODE_GONE_FOR_S,
    ) -> None:
        self._client, self._clock = client, clock
        self._terminated_threshold = terminated_threshold
        self._node_gone_for_s = node_gone_for_s
        self._ended: set[str] = set()  # keys; written by the Pods' informer alone
        self._missed: dict[str, float] = {}  # node → when it was first missed (monotonic)
        self._pods = informers.informer("pods")
        self._pods.add_index(BY_NODE, lambda pod: filter(None, [pod["spec"].get("nodeName")]))
        self._nodes = informers.informer("nodes")
        self._loop = ReconcileLoop(self.name, self.reconcile, clock=clock)
        self._pods.add_handler(self._pod_seen, lambda _, new: self._pod_seen(new), self._pod_gone)
        self._nodes.add_handler(on_add=self._node_added, on_delete=self._node_deleted)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    # --- reconciling ----------------------------------------------------------------------------

    def reconcile(self, key: str) -> float | None:
        """Seconds until a missing node counts as gone, or None."""
        if key == _ENDED:
            self._delete_the_oldest()
            return None
        pod = self._pods.get(key)
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if pod["metadata"].get("deletionTimestamp"):
                self._delete(pod)
            return None
        if self._nodes.get(node) is not None:
            return None
        missed_at = self._missed.setdefault(node, self._clock.monotonic())
        left_s = missed_at + self._node_gone_for_s - self._clock.monotonic()
        if left_s > 0:
            return left_s
        if self._is_gone(node):
            self._fail(pod)
            self._delete(pod)
        return None

    def _delete_the_oldest(self) -> None:
        ended = [pod for pod in map(self._pods.get, list(self._ended)) if pod is not None]
        surplus = len(ended) - self._terminated_threshold
        if surplus > 0:
            ended.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
            for pod in ended[:surplus]:
                self._delete(pod)

    def _is_gone(self, node: str) -> bool:
        """Asked live: the cache may lag."""
        try:
            self._client.get("nodes", node)
        except NotFound:
            return True
        return False

    def _fail(self, pod: Object) -> None:
        """Say why it ends, for whoever counts its failures."""
        if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
            return
        status: Object = {"phase": "Failed"}
        now = meta.now(self._clock.now())
        meta.set_condition(status, "DisruptionTarget", "True", "DeletionByPodGC", _MESSAGE, now)
        patch = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        namespace, name = meta.split_key(meta.key_of(pod))
        try:
            self._client.patch(
                "pods", name, namespace, patch, patch_type="strategic", subresource="status"
            )
        except (NotFound, Conflict):
            return  # gone, or another of the same name

    def _delete(self, pod: Object) -> None:
        """At once: nobody is there to be graceful."""
        _log.info("deleting %s", meta.key_of(pod))
        uid = pod["metadata"]["uid"]
        namespace, name = meta.split_key(meta.key_of(pod))
        try:
            self._client.delete("pods", name, namespace, grace_s=0, uid=uid)
        except (NotFound, Conflict):
            return

    # --- hearing --------------------------------------------------------------------------------

    def _pod_seen(self, pod: Object) -> None:
        key = meta.key_of(pod)
        self._count(key, (pod.get("status") or {}).get("phase"))
        node = pod["spec"].get("nodeName")
        is_deleting = bool(pod["metadata"].get("deletionTimestamp"))
        if (node and self._nodes.get(node) is None) or (is_deleting and not node):
            self._loop.add(key)

    def _count(self, key: str, phase: str | None) -> None:
        if phase not in ("Succeeded", "Failed"):
            self._ended.discard(key)
        elif key not in self._ended:
            self._ended.add(key)
            if len(self._ended) > self._terminated_threshold:
                self._loop.add(_ENDED)

    def _pod_gone(self, pod: Object) -> None:
        self._ended.discard(meta.key_of(pod))

    def _node_added(self, node: Object) -> None:
        self._missed.pop(node["metadata"]["name"], None)

    def _node_deleted(self, node: Object) -> None:
        name = node["metadata"]["name"]
        self._missed[name] = self._clock.monotonic()
        for pod in self._pods.by_index(BY_NODE, name):
            self._loop.add(meta.key_of(pod))
