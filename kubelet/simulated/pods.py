"""The Pods of a simulated node: the real decisions about containers that are made up.

Room kubelet/simulated. `reconcile(key)` is called by a ReconcileLoop. What it remembers may be
lost: a Pod whose containers are not known any more gets new ones, as after a reboot of its node.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from kubelet import pod_status
from kubelet.pod_plan import Plan, make_plan
from kubelet.pod_status import Observed
from kubelet.probes.plan import Verdict
from kubelet.simulated.containers import Containers
from kubelet.simulated.wishes import Wishes, wishes_of
from podium.api import meta
from podium.client.errors import Conflict, NotFound
from podium.client.event_recorder import Recorder
from podium.client.http import Client
from podium.client.informer import Informer

Object = dict[str, Any]

IMAGE_ID = "sha256:" + "0" * 64


class SimulatedPods:
    """`node` gives the Node as it is; thread-safe for different Pods."""

    def __init__(
        self, client: Client, pods: Informer, recorder: Recorder, *, node: Callable[[], Object],
        pod_cidr: str,
    ) -> None:  # fmt: skip
        self._client, self._pods, self._recorder = client, pods, recorder
        self._node = node
        hosts = ip_network(pod_cidr).hosts()
        self._addresses = itertools.cycle([str(address) for address in hosts][1:])
        self._known: dict[str, tuple[str, Containers]] = {}  # by key: uid, containers

    def reconcile(self, key: str) -> float | None:
        """One look at a Pod; when to look again."""
        pod = self._pods.get(key)
        if pod is None:
            self._known.pop(key, None)
            return None
        containers = self._containers(key, pod)
        if pod["metadata"].get("deletionTimestamp"):
            self._end(pod, containers)
            return None
        if pod_status.is_terminal(pod.get("status")):
            return None
        return self._advance(pod, containers)

    def _containers(self, key: str, pod: Object) -> Containers:
        uid = pod["metadata"]["uid"]
        known = self._known.get(key)
        if known is None or known[0] != uid:
            known = self._known[key] = (uid, Containers(self._address(pod)))
        return known[1]

    def _address(self, pod: Object) -> str:
        if pod["spec"].get("hostNetwork"):
            return pod_status.host_ip(self._node())
        return (pod.get("status") or {}).get("podIP") or next(self._addresses)

    def _advance(self, pod: Object, containers: Containers) -> float | None:
        now, wishes = time.time(), wishes_of(pod)
        status = pod.get("status") or {}
        if not status.get("startTime"):  # seen for the first time: its sandbox is being made
            status = self._write(pod, status, Observed())
        containers.end_what_is_due(now)
        plan = self._plan(pod, status, containers, now)
        for start in plan.starts:
            containers.start(pod, start, wishes, now)
            what = f"Started container {start.container['name']}"
            self._recorder.event(pod, "Normal", "Started", what)
        self._write(pod, status, _observed(containers, wishes, plan))
        if plan.starts:
            return containers.next_end_s(now)
        waits = [s for s in (plan.again_s, containers.next_end_s(now)) if s is not None]
        return min(waits, default=None)

    def _plan(self, pod: Object, status: Object, containers: Containers, now: float) -> Plan:
        return make_plan(
            pod, status, list(containers.found.values()), has_sandbox=True,
            backoffs=containers.backoffs, now=now, verdicts=_verdicts(containers, Wishes()),
        )  # fmt: skip

    def _end(self, pod: Object, containers: Containers) -> None:
        """Stop it, say so, and let the API server forget it."""
        containers.stop(time.time())
        about = pod["metadata"]
        self._write(pod, pod.get("status") or {}, Observed(
            list(containers.found.values()), pod_ip=containers.pod_ip, is_ended=True,
        ))  # fmt: skip
        try:
            self._client.delete(
                "pods", about["name"], about["namespace"], grace_s=0, uid=about["uid"]
            )
        except (NotFound, Conflict):
            return  # gone already

    def _write(self, pod: Object, old: Object, observed: Observed) -> Object:
        """Only what differs; the status as it is then."""
        fresh = pod_status.compute(pod, old, observed, self._node(), meta.now())
        changed = {k: v for k, v in fresh.items() if old.get(k) != v}
        if not changed:
            return fresh
        about = pod["metadata"]
        patch = {"metadata": {"uid": about["uid"]}, "status": changed}
        try:
            written = self._client.patch(
                "pods", about["name"], about["namespace"], patch, subresource="status"
            )
        except (NotFound, Conflict):
            return fresh  # gone, or another Pod of that name: the watch will say so
        found: Object = written["status"]
        return found


def _observed(containers: Containers, wishes: Wishes, plan: Plan) -> Observed:
    return Observed(
        list(containers.found.values()),
        has_sandbox=True,
        pod_ip=containers.pod_ip,
        waiting=plan.waiting,
        image_ids={c.name: IMAGE_ID for c in containers.found.values()},
        verdicts=_verdicts(containers, wishes),
        is_ended=plan.is_over,
    )


def _verdicts(containers: Containers, wishes: Wishes) -> dict[str, Verdict]:
    return {id_: Verdict(is_ready=wishes.is_ready) for id_ in containers.found}
