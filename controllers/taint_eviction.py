"""Room controllers: drives Pods from nodes with a NoExecute taint that they do not tolerate.

A key is a Pod's. A toleration with tolerationSeconds lets it stay for so long from the taint's
timeAdded (or from when we first saw the taint); the key comes back when that time is over, and if
the taint has gone meanwhile, nothing happens.
Source: Kubernetes' taint eviction controller, v1.32.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from controllers import taints
from podium.api import meta
from podium.client.clock import Clock
from podium.client.errors import Conflict, NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

BY_NODE = "node"
_MESSAGE = "Taint manager: deleting due to NoExecute taint"

_log = logging.getLogger("taint-eviction")


class TaintEvictionController:
    """Deletes gracefully: what runs on a node that can be reached gets its grace period."""

    name = "taint-eviction"
    component = "taint-eviction-controller"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        workers: int = 2,
    ) -> None:
        self._client, self._recorder, self._clock = client, recorder, clock
        self._first_seen: dict[tuple[str, str], datetime] = {}  # (node, taint's key)
        self._pending: set[str] = set()  # uids of Pods that will have to go
        self._pods = informers.informer("pods")
        self._pods.add_index(BY_NODE, lambda pod: filter(None, [pod["spec"].get("nodeName")]))
        self._nodes = informers.informer("nodes")
        self._loop = ReconcileLoop(self.name, self.reconcile, workers=workers, clock=clock)
        self._nodes.add_handler(self._node_seen, self._node_updated, self._node_gone)
        self._pods.add_handler(self._pod_seen, self._pod_updated, self._pod_gone)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    def reconcile(self, key: str) -> float | None:
        """Delete the Pod if its time on its node is over; else the seconds that are left."""
        pod = self._pods.get(key)
        if pod is None or pod["metadata"].get("deletionTimestamp"):
            return None
        driving = self._driving_out(pod["spec"].get("nodeName") or "")
        left_s = stay_s(pod["spec"].get("tolerations") or (), driving, self._clock.now())
        uid = pod["metadata"]["uid"]
        if left_s is None:
            if uid in self._pending:
                self._pending.discard(uid)
                self._tell(pod, f"Cancelling deletion of Pod {key}")
            return None
        if left_s > 0:
            self._pending.add(uid)
            return left_s
        self._evict(pod)
        self._pending.discard(uid)
        return None

    def _driving_out(self, node_name: str) -> list[tuple[Object, datetime]]:
        """The NoExecute taints of a node, and since when they are there."""
        node = self._nodes.get(node_name)
        found = []
        for taint in no_execute(node):
            if taint.get("timeAdded"):
                since = meta.parse_time(taint["timeAdded"])
            else:
                at = (node_name, taint["key"])
                since = self._first_seen.setdefault(at, self._clock.now())
            found.append((taint, since))
        return found

    def _evict(self, pod: Object) -> None:
        key, uid = meta.key_of(pod), pod["metadata"]["uid"]
        namespace, name = meta.split_key(key)
        self._tell(pod, f"Marking for deletion Pod {key}")
        status: Object = {}
        now = meta.now(self._clock.now())
        meta.set_condition(
            status, "DisruptionTarget", "True", "DeletionByTaintManager", _MESSAGE, now
        )
        patch = {"metadata": {"uid": uid}, "status": status}
        try:
            self._client.patch(
                "pods", name, namespace, patch, patch_type="strategic", subresource="status"
            )
            self._client.delete("pods", name, namespace, uid=uid)
        except (NotFound, Conflict):
            return  # gone, or another of the same name

    def _tell(self, pod: Object, message: str) -> None:
        self._recorder.event(pod, "Normal", "TaintManagerEviction", message)

    # --- hearing --------------------------------------------------------------------------------

    def _node_seen(self, node: Object) -> None:
        if no_execute(node):
            self._look_at_pods_of(node)

    def _node_updated(self, old: Object, new: Object) -> None:
        before, after = no_execute(old), no_execute(new)
        if before == after:
            return
        for taint in before:
            if not any(taints.same_taint(taint, one) for one in after):
                self._first_seen.pop((new["metadata"]["name"], taint["key"]), None)
        self._look_at_pods_of(new)

    def _node_gone(self, node: Object) -> None:
        for taint in no_execute(node):
            self._first_seen.pop((node["metadata"]["name"], taint["key"]), None)

    def _look_at_pods_of(self, node: Object) -> None:
        for pod in self._pods.by_index(BY_NODE, node["metadata"]["name"]):
            self._loop.add(meta.key_of(pod))

    def _pod_seen(self, pod: Object) -> None:
        node = self._nodes.get(pod["spec"].get("nodeName") or "")
        if no_execute(node):
            self._loop.add(meta.key_of(pod))

    def _pod_updated(self, old: Object, new: Object) -> None:
        def what_counts(pod: Object) -> tuple[Any, ...]:
            spec, about = pod["spec"], pod["metadata"]
            return about["uid"], spec.get("nodeName"), spec.get("tolerations")

        if what_counts(old) != what_counts(new):
            self._pod_seen(new)

    def _pod_gone(self, pod: Object) -> None:
        self._pending.discard(pod["metadata"]["uid"])


# --- pure ---------------------------------------------------------------------------------------


def no_execute(node: Object | None) -> list[Object]:
    """The taints that drive Pods out."""
    found = ((node or {}).get("spec") or {}).get("taints") or ()
    return [taint for taint in found if taint.get("effect") == taints.NO_EXECUTE]


def stay_s(
    tolerations: Iterable[Object], driving: Iterable[tuple[Object, datetime]], now: datetime
) -> float | None:
    """How long a Pod may stay: None for ever, zero or less not at all.

    `driving`: the taints, each with the time since when it is there.
    """
    left: list[float] = []
    for taint, since in driving:
        matching = [one for one in tolerations if taints.tolerates(one, taint)]
        if not matching:
            return 0.0
        bounds = [one["tolerationSeconds"] for one in matching if _is_bounded(one)]
        if bounds:
            left.append(max(min(bounds), 0) - (now - since).total_seconds())
    return min(left, default=None)


def _is_bounded(toleration: Object) -> bool:
    return toleration.get("tolerationSeconds") is not None
