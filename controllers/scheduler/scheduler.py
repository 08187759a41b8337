"""Room controllers/scheduler: finds a node for each Pod that has none.

Three threads' work meets here. The informers tell of Pods and nodes: that keeps `Cluster` and
`SchedulingQueue` true and takes microseconds. One thread decides, Pod by Pod, from memory alone.
The threads of `DecisionWriter` write. A decided Pod counts as placed at once (it is assumed), so
that the next decision need not wait for the round trip.

A Pod that no node would take waits. It is tried again when a node comes, goes or changes, and when
a Pod leaves a node on which it would then fit; never because time has passed.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

from controllers.scheduler import preemption, scores, verdict
from controllers.scheduler.binding import (
    BINDERS,
    GATED,
    UNSCHEDULABLE,
    Bind,
    Decision,
    DecisionWriter,
    Refuse,
)
from controllers.scheduler.cluster import Cluster
from controllers.scheduler.filters import Rejection, first_rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo, pod_requests, with_resizes
from controllers.scheduler.queue import SchedulingQueue
from controllers.scheduler.reasons import Record
from controllers.scheduler.volumes import PodVolumes, VolumeView
from podium.api.meta import key_of, now_micro
from podium.api.trace_context import now_us
from podium.client import tracing
from podium.client.causes import Reasons
from podium.client.clock import Clock
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"
_EVERYTHING = "pending"  # the one key of the loop: whatever waits

_log = logging.getLogger("scheduler")


class Scheduler:
    """One per cluster (behind the Lease); `scheduler_name` says which Pods are its own."""

    name = "scheduler"
    component = "default-scheduler"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        scheduler_name: str = "default-scheduler",
        binders: int = BINDERS,
    ) -> None:
        self.scheduler_name = scheduler_name
        self._clock = clock
        self._lock = threading.RLock()  # guards the five below
        self._cluster = Cluster()
        self._queue = SchedulingQueue()
        self._causes: dict[str, Reasons] = {}  # why those that wait do, by key
        self._freed: set[str] = set()  # nodes that Pods have left since the last look
        self._has_changed = False  # nodes have come, gone or changed since the last look
        self._writer = DecisionWriter(
            client, recorder, clock, self._binding_failed, workers=binders
        )
        self._loop = ReconcileLoop(self.name, self._schedule_pending, clock=clock)
        informers.informer("nodes").add_handler(
            self._node_added, self._node_updated, self._node_deleted
        )
        self._volumes = VolumeView(
            informers.informer("persistentvolumeclaims"),
            informers.informer("persistentvolumes"),
            informers.informer("storageclasses"),
            self._storage_changed,
        )
        informers.informer("pods").add_handler(
            self._pod_added, self._pod_updated, self._pod_deleted
        )

    def start(self) -> None:
        """Begin to decide; the informers must have synced, else full nodes would look empty."""
        self._writer.start()
        self._loop.start()
        self._loop.add(_EVERYTHING)

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()
        self._writer.stop()

    # --- deciding -------------------------------------------------------------------------------

    def _schedule_pending(self, _: str) -> float | None:
        """Decide on every Pod that waits; seconds until the next one that backs off is due."""
        self._wake_those_that_could_fit()
        while True:
            with self._lock:
                now = self._clock.monotonic()
                pod = self._queue.pop(now)
                if pod is None:
                    due = self._queue.next_due()
                    return None if due is None else max(due - now, 0.001)
            try:
                with tracing.reconciling(self.name, pod.key, self._causes_of(pod), always=True):
                    self.reconcile(pod.key)
            except Exception:
                with self._lock:
                    self._queue.back_off(pod.key, self._clock.monotonic())
                raise

    def reconcile(self, key: str) -> None:
        """Decide on one waiting Pod and hand the decision to the writer."""
        with self._lock:
            pod = self._queue.get(key)
            if pod is None:
                return
            decision = self._decide(pod)
            if isinstance(decision, Bind):
                self._cluster.assume(pod, decision.node)
            else:
                self._queue.park(key)
            if isinstance(decision, Refuse) and decision.nominated_node:
                self._cluster.nominate(pod, decision.nominated_node)
            self._writer.put(decision)

    def _causes_of(self, pod: PodInfo) -> Reasons:
        """The change that made it wait; what has woken it since, if something has, is a link."""
        with self._lock:
            own = self._causes.get(pod.key, Reasons())
        woken_by = tuple(cause for cause in tracing.causes() if cause not in own.causes)
        return Reasons((*own.causes, *woken_by[: tracing.LINKS_MAX]), own.since_us)

    def _decide(self, pod: PodInfo) -> Decision:
        """Where a Pod goes, from what is known now; writes nothing and changes nothing."""
        nodes = self._cluster.nodes()
        record = Record(now_micro(self._clock.now()), len(nodes))
        if pod.obj["spec"].get("schedulingGates"):
            return _refused(pod, record, GATED, GATED_MESSAGE)
        if not nodes:
            return _refused(pod, record, UNSCHEDULABLE, verdict.NO_NODES)
        volumes = self._volumes.of(pod, nodes)
        if volumes.refusal:
            message = verdict.unfit_anywhere(len(nodes), volumes.refusal)
            return _refused(pod, record, UNSCHEDULABLE, message, volumes.refusal)
        rejections: dict[str, Rejection] = {}
        feasible: list[NodeInfo] = []
        for node in nodes:
            seen = self._cluster.seen_by(pod, node)
            rejection = first_rejection(pod, seen) or volumes.rejection(node)
            if rejection is None:
                feasible.append(node)
            else:
                rejections[node.name] = rejection
        self._record_rejections(record, pod, volumes, rejections)
        if feasible:
            ranking = scores.Ranking(pod, feasible)
            best = ranking.best
            record.bound(best.name, ranking)
            return volumes.reserve(pod, best) or Bind(pod, best.name, record.text())
        return self._refusal(pod, record, nodes, rejections)

    def _record_rejections(
        self, record: Record, pod: PodInfo, volumes: PodVolumes, rejections: dict[str, Rejection]
    ) -> None:
        """With the numbers that the filters have seen."""
        if not rejections:
            return

        def judge(changed: PodInfo, node: NodeInfo) -> Rejection | None:
            return first_rejection(changed, node) or volumes.rejection(node)

        nodes = self._cluster.nodes()
        seen = [(self._cluster.seen_by(pod, node), rejections[node.name])
                for node in nodes if node.name in rejections]  # fmt: skip
        record.rejected(pod, seen, judge)

    def _refusal(
        self,
        pod: PodInfo,
        record: Record,
        nodes: list[NodeInfo],
        rejections: dict[str, Rejection],
    ) -> Refuse:
        chosen, outcome = self._preempt(pod, nodes, rejections)
        reasons = [reason for rejection in rejections.values() for reason in rejection.reasons]
        message = verdict.none_available(len(nodes), reasons, outcome)
        record.refused(UNSCHEDULABLE)
        if chosen is None:
            kept = self._cluster.nominated_node(pod.uid) or ""
            return Refuse(pod, UNSCHEDULABLE, message, kept, record=record.text())
        record.preempting(chosen.node, chosen.victims)
        return Refuse(
            pod, UNSCHEDULABLE, message, chosen.node, chosen.victims, record=record.text()
        )

    def _preempt(
        self, pod: PodInfo, nodes: list[NodeInfo], rejections: dict[str, Rejection]
    ) -> tuple[preemption.Preemption | None, str]:
        """Who would have to go; if nobody, why not."""
        if pod.obj["spec"].get("preemptionPolicy") == "Never":
            return None, verdict.NEVER_PREEMPTS
        if self._waits_for_victims(pod):
            return None, verdict.WAITS_FOR_VICTIMS
        candidates: list[preemption.Preemption] = []
        reasons: list[str] = []
        for node in nodes:
            if not rejections[node.name].would_preemption_help:
                reasons.append(verdict.NOT_HELPFUL)
                continue
            found = preemption.victims_on(pod, self._cluster.seen_by(pod, node))
            if found is None:
                reasons.append(verdict.NO_VICTIMS)
            else:
                candidates.append(found)
        chosen = preemption.least_harmful(candidates)
        return chosen, "" if chosen else verdict.none_available(len(nodes), reasons)

    def _waits_for_victims(self, pod: PodInfo) -> bool:
        """Whether room is being made already."""
        name = self._cluster.nominated_node(pod.uid)
        node = self._cluster.node(name) if name else None
        return node is not None and any(
            other.priority < pod.priority and other.obj["metadata"].get("deletionTimestamp")
            for other in node.pods.values()
        )

    def _wake_those_that_could_fit(self) -> None:
        with self._lock:
            freed, self._freed = self._freed, set()
            has_changed, self._has_changed = self._has_changed, False
            if has_changed:
                self._queue.wake()
                return
            nodes = [node for node in map(self._cluster.node, freed) if node is not None]
            if nodes:
                self._queue.wake(lambda pod: self._could_use(pod, nodes))

    def _could_use(self, pod: PodInfo, nodes: list[NodeInfo]) -> bool:
        """Whether one of the nodes would take the Pod, at once or by preemption."""
        seen = [self._cluster.seen_by(pod, node) for node in nodes]
        return any(
            first_rejection(pod, node) is None or preemption.victims_on(pod, node) is not None
            for node in seen
        )

    def _binding_failed(self, pod: PodInfo, message: str) -> None:
        """Called by the writer. The Pod is tried again, unless the watch has told otherwise."""
        with self._lock:
            freed = self._cluster.forget(pod.uid)
            if freed is None:
                return
            _log.info("%s is not bound: %s", pod.key, message)
            self._freed.add(freed)
            self._queue.back_off(pod.key, self._clock.monotonic())
        self._loop.add(_EVERYTHING)

    # --- hearing of Pods ------------------------------------------------------------------------

    def _pod_added(self, pod: Object) -> None:
        if pod["spec"].get("nodeName"):
            self._pod_placed(pod)
        elif self._is_ours(pod):
            self._offer(pod)

    def _pod_updated(self, old: Object, new: Object) -> None:
        if old["metadata"]["uid"] != new["metadata"]["uid"]:
            self._pod_deleted(old)
            self._pod_added(new)
        elif _has_ended(new):
            self._pod_deleted(new)
        elif new["spec"].get("nodeName"):
            if not old["spec"].get("nodeName") or _is_ending(old) != _is_ending(new):
                self._pod_placed(new)
            elif _is_resized(old, new):
                self._pod_resized(new)
        elif not self._is_ours(new):
            self._pod_deleted(new)
        elif _what_counts(old) != _what_counts(new):
            self._offer(new)
        else:
            with self._lock:
                self._queue.refresh(PodInfo.of(new))

    def _pod_placed(self, pod: Object) -> None:
        """It has a node, by us or by somebody else."""
        key = key_of(pod)
        if _has_ended(pod):
            self._pod_deleted(pod)
            return
        with self._lock:
            self._queue.remove(key)
            self._causes.pop(key, None)
            self._cluster.place(PodInfo.of(pod), pod["spec"]["nodeName"])
        self._writer.drop(key)

    def _pod_resized(self, pod: Object) -> None:
        """It takes more of its node, or leaves more for others."""
        self._pod_placed(pod)
        with self._lock:
            self._freed.add(pod["spec"]["nodeName"])
        self._loop.add(_EVERYTHING)

    def _pod_deleted(self, pod: Object) -> None:
        """It takes nothing any more: gone, ended, or no longer ours to place. Safe to repeat."""
        key, uid = key_of(pod), pod["metadata"]["uid"]
        with self._lock:
            waiting = self._queue.get(key)
            if waiting is not None and waiting.uid == uid:
                self._queue.remove(key)
                self._causes.pop(key, None)
                self._writer.drop(key)
            freed = self._cluster.remove(uid)
            if freed is None:
                return
            self._freed.add(freed)
        self._loop.add(_EVERYTHING)

    def _offer(self, pod: Object) -> None:
        """It waits for a node."""
        info = PodInfo.of(pod)
        with self._lock:
            if self._cluster.is_assumed(info.uid):
                self._queue.refresh(info)
                return
            nominated = (pod.get("status") or {}).get("nominatedNodeName")
            if nominated:
                self._cluster.nominate(info, nominated)
            self._queue.add(info)
            self._causes[info.key] = Reasons(tracing.causes(), now_us())
        self._loop.add(_EVERYTHING)

    def _is_ours(self, pod: Object) -> bool:
        wanted = pod["spec"].get("schedulerName") or "default-scheduler"
        return wanted == self.scheduler_name and not _is_ending(pod) and not _has_ended(pod)

    # --- hearing of volumes ---------------------------------------------------------------------

    def _storage_changed(self) -> None:
        """A claim, a volume or a class: whoever waits for one of them may go on."""
        with self._lock:
            self._has_changed = True
        self._loop.add(_EVERYTHING)

    # --- hearing of nodes -----------------------------------------------------------------------

    def _node_added(self, node: Object) -> None:
        with self._lock:
            self._cluster.put_node(node)
            self._has_changed = True
        self._loop.add(_EVERYTHING)

    def _node_updated(self, old: Object, new: Object) -> None:
        """Most updates are heartbeats, which change nothing for us."""
        if _what_nodes_offer(old) == _what_nodes_offer(new):
            if (old.get("status") or {}).get("images") != (new.get("status") or {}).get("images"):
                with self._lock:
                    self._cluster.put_node(new)
            return
        self._node_added(new)

    def _node_deleted(self, node: Object) -> None:
        with self._lock:
            self._cluster.remove_node(node["metadata"]["name"])
            self._has_changed = True
        self._loop.add(_EVERYTHING)


def _refused(pod: PodInfo, record: Record, reason: str, message: str, why: str = "") -> Refuse:
    """For what no node can help."""
    record.refused(reason, why or message)
    return Refuse(pod, reason, message, record=record.text())


def _has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _is_ending(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _is_resized(old: Object, new: Object) -> bool:
    """Whether it takes another part of its node."""
    if _resources_of(old) == _resources_of(new):
        return False
    return pod_requests(with_resizes(old)) != pod_requests(with_resizes(new))


def _resources_of(pod: Object) -> object:
    status = pod.get("status") or {}
    shown = status.get("containerStatuses") or ()
    return (
        [container.get("resources") for container in pod["spec"]["containers"]],
        [(found.get("resources"), found.get("allocatedResources")) for found in shown],
        status.get("resize"),
    )


def _what_counts(pod: Object) -> tuple[Any, ...]:
    """What could change a decision about a Pod that waits; its status could not."""
    return pod["spec"], pod["metadata"].get("labels")


def _what_nodes_offer(node: Object) -> tuple[Any, ...]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    offers = status.get("allocatable") or status.get("capacity")
    labels = node["metadata"].get("labels")
    return offers, labels, spec.get("taints"), spec.get("unschedulable")
