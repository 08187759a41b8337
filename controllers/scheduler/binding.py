"""Room controllers/scheduler: writes what the scheduler has decided.

Deciding takes microseconds, writing a round trip. So decisions wait here under their Pod's key and
a few threads write them: a Binding, or the condition PodScheduled=False that says why there is
none. A newer decision about a Pod replaces one that has not been written; the same decision is not
written twice.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from controllers import volume_matching
from controllers.scheduler.pod_info import PodInfo
from controllers.scheduler.reasons import DECISION, says_the_same
from podium.api import meta
from podium.client.clock import Clock
from podium.client.debug_hook import Picture
from podium.client.errors import ApiError, Conflict, NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

LOOP = "scheduler-binding"
BINDERS = 8  # requests under way at the same time
UNSCHEDULABLE, GATED, FAILED = "Unschedulable", "SchedulingGated", "SchedulerError"
VICTIM_MESSAGE = "default-scheduler: preempting to accommodate a higher priority pod"

_log = logging.getLogger("scheduler")


@dataclass(frozen=True, slots=True)
class Bind:
    """The Pod goes to a node. `record` is why there (reasons.py)."""

    pod: PodInfo
    node: str
    record: str = ""


@dataclass(frozen=True, slots=True)
class Refuse:
    """The Pod goes nowhere for now, and `record` is why (reasons.py). `victims` are deleted to make
    room on `nominated_node`."""

    pod: PodInfo
    reason: str
    message: str
    nominated_node: str = ""
    victims: tuple[PodInfo, ...] = ()
    record: str = ""


@dataclass(frozen=True, slots=True)
class Reserve:
    """The Pod will go to a node once its volumes are there. `claims` are those for which a volume
    is to be made on the node, `volumes` those that are to be kept: (volume, claim)."""

    pod: PodInfo
    node: str
    claims: tuple[Object, ...] = ()
    volumes: tuple[tuple[Object, Object], ...] = ()


Decision = Bind | Refuse | Reserve


class DecisionWriter:
    """`on_failed(pod, message)` hears of bindings that came to nothing."""

    def __init__(
        self,
        client: Client,
        recorder: EventRecorder,
        clock: Clock,
        on_failed: Callable[[PodInfo, str], None],
        *,
        workers: int = BINDERS,
    ) -> None:
        self._client, self._recorder, self._clock = client, recorder, clock
        self._on_failed = on_failed
        self._decisions: dict[str, Decision] = {}
        self._lock = threading.Lock()
        self._loop = ReconcileLoop(
            LOOP, self._write, workers=workers, clock=clock, picture=self._picture
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()

    def put(self, decision: Decision) -> None:
        """Have it written soon; in the place of an older one about the same Pod."""
        with self._lock:
            self._decisions[decision.pod.key] = decision
        self._loop.add(decision.pod.key)

    def drop(self, key: str) -> None:
        """The Pod is gone or has its node: nothing is left to write. Safe to repeat."""
        with self._lock:
            self._decisions.pop(key, None)

    def _write(self, key: str) -> None:
        """Write the newest decision about a Pod; what is raised is tried again with back-off."""
        with self._lock:
            decision = self._decisions.get(key)
        if decision is None:
            return
        try:
            if isinstance(decision, Bind):
                self._bind(decision)
            elif isinstance(decision, Reserve):
                self._reserve(decision)
            else:
                self._refuse(decision)
        except NotFound as error:
            self._failed(decision, error)
        self._done(decision)

    def _done(self, decision: Decision) -> None:
        with self._lock:
            if self._decisions.get(decision.pod.key) is decision:
                del self._decisions[decision.pod.key]

    def _failed(self, decision: Decision, error: ApiError) -> None:
        if isinstance(decision, Bind):
            self._on_failed(decision.pod, error.message)

    def _picture(self, key: str) -> Picture:
        """What a debugger shows of a decision before it is written."""
        with self._lock:
            decision = self._decisions.get(key)
        if decision is None:
            return Picture(None)
        pod = {"apiVersion": "v1", "kind": "Pod", **decision.pod.obj}
        if isinstance(decision, Refuse):
            desired: Object = {"reason": decision.reason, "message": decision.message}
        else:
            desired = {"nodeName": decision.node}
        record = "" if isinstance(decision, Reserve) else decision.record
        return Picture(pod, {"decision": json.loads(record)} if record else {}, desired)

    # --- a binding ------------------------------------------------------------------------------

    def _bind(self, decision: Bind) -> None:
        pod = decision.pod
        namespace, name = meta.split_key(pod.key)
        about: Object = {"name": name, "namespace": namespace, "uid": pod.uid}
        if decision.record:
            about["annotations"] = {DECISION: decision.record}
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": about,
            "target": {"apiVersion": "v1", "kind": "Node", "name": decision.node},
        }
        try:
            self._client.create_subresource("pods", name, namespace, "binding", binding)
        except (NotFound, Conflict) as error:
            # It is gone, is being deleted, or has a node: the watch tells us which.
            _log.debug("binding %s to %s: %s", pod.key, decision.node, error)
            self._failed(decision, error)
        except ApiError as error:
            if error.code >= 500:
                raise
            self._failed(decision, error)
            self._tell(pod, FAILED, f"binding rejected: {error.message}", {})
        else:
            message = f"Successfully assigned {pod.key} to {decision.node}"
            self._recorder.event(pod.obj, "Normal", "Scheduled", message)

    # --- volumes first --------------------------------------------------------------------------

    def _reserve(self, decision: Reserve) -> None:
        """What comes of it the watches tell: the Pod is decided on again when a claim changes."""
        for claim in decision.claims:
            about = claim["metadata"]
            marks = {"annotations": {volume_matching.SELECTED_NODE: decision.node}}
            patch = {"metadata": {"uid": about["uid"], **marks}}
            self._client.patch("persistentvolumeclaims", about["name"], about["namespace"], patch)
        for volume, claim in decision.volumes:
            kept = volume_matching.kept_for(volume, claim)
            try:
                self._client.update("persistentvolumes", kept)
            except Conflict as error:
                _log.debug("%s was faster: %s", volume["metadata"]["name"], error)

    # --- why there is none ----------------------------------------------------------------------

    def _refuse(self, decision: Refuse) -> None:
        pod = decision.pod
        status: Object = {}
        if decision.nominated_node:
            status["nominatedNodeName"] = decision.nominated_node
        self._tell(pod, decision.reason, decision.message, status, decision.record)
        for victim in decision.victims:
            self._evict(victim, pod, decision.nominated_node)

    def _tell(
        self, pod: PodInfo, reason: str, message: str, status: Object, record: str = ""
    ) -> None:
        """Write the condition with the record, and an event, if that has not been said already."""
        now = meta.now(self._clock.now())
        wanted: Object = {"conditions": [dict(c) for c in _conditions(pod.obj)]}
        changed = meta.set_condition(wanted, "PodScheduled", "False", reason, message, now)
        nominated = status.get("nominatedNodeName")
        if nominated == (pod.obj.get("status") or {}).get("nominatedNodeName"):
            status = {}
        if changed and reason != GATED:
            self._recorder.event(pod.obj, "Warning", "FailedScheduling", message)
        if changed:
            status = {**status, "conditions": [meta.condition({"status": wanted}, "PodScheduled")]}
        noted = (pod.obj["metadata"].get("annotations") or {}).get(DECISION)
        is_new = bool(record) and not says_the_same(noted, record)
        if status or is_new:
            self._patch_status(pod, status, {DECISION: record} if record else None)

    def _evict(self, victim: PodInfo, pod: PodInfo, node: str) -> None:
        """Delete a Pod of lower priority; one that has ended by itself is as good."""
        now = meta.now(self._clock.now())
        status: Object = {}
        meta.set_condition(
            status, "DisruptionTarget", "True", "PreemptionByScheduler", VICTIM_MESSAGE, now
        )
        namespace, name = meta.split_key(victim.key)
        try:
            self._patch_status(victim, status)
            self._client.delete("pods", name or "", namespace, uid=victim.uid)
        except (NotFound, Conflict):
            return
        message = f"Preempted by pod {pod.uid} on node {node}"
        self._recorder.event(victim.obj, "Normal", "Preempted", message)

    def _patch_status(
        self, pod: PodInfo, status: Object, annotations: Object | None = None
    ) -> None:
        """The uid makes sure that it is not a new Pod of the same name."""
        namespace, name = meta.split_key(pod.key)
        about: Object = {"uid": pod.uid}
        if annotations:
            about["annotations"] = annotations
        patch = {"metadata": about, "status": status}
        self._client.patch(
            "pods", name, namespace, patch, patch_type="strategic", subresource="status"
        )


def _conditions(pod: Object) -> list[Object]:
    return (pod.get("status") or {}).get("conditions") or []
