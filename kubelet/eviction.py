"""Keeps the node alive when memory, disk or process numbers run short, at the cost of Pods.

Room kubelet; made by agent.py, which calls `synchronize` every ten seconds and whenever
memory_watch.py says so. What is decided is in eviction_plan.py and storage_limits.py; Pods are
ended by pod_sync.py. One Pod a turn: the next turn sees whether that was enough.
Source: Kubernetes docs "Node-pressure Eviction"; kubelet `pkg/kubelet/eviction`, v1.32.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from kubelet import machine, resources, thresholds
from kubelet.admission import Rejection
from kubelet.configuration import KubeletConfiguration
from kubelet.early_end import EarlyEnd
from kubelet.eviction_plan import RESOURCE_OF, Candidate, Left, Pressure, eviction_message, rank
from kubelet.memory_watch import MemoryWatch
from kubelet.pod_usage import PodUsage
from kubelet.storage_limits import excess
from kubelet.thresholds import Threshold
from podium.api import meta
from podium.client.event_recorder import Recorder

Object = dict[str, Any]
log = logging.getLogger("eviction")

EVERY_S = 10.0
AT_ONCE_S = 1.0  # what a hard threshold leaves a container to end
_MIRROR = "kubernetes.io/config.mirror"
_SOURCE = "kubernetes.io/config.source"  # a static Pod says "file"
_MEMORY_TAINT = "node.kubernetes.io/memory-pressure"
_REASON = "Evicted"


class Eviction:
    """`pods()` gives all that are bound here, `evict(uid, how)` ends one, `reclaim_images()` frees
    disk without hurting anybody, `changed()` hears that the node's conditions have."""

    def __init__(
        self, settings: KubeletConfiguration, usage: PodUsage, recorder: Recorder, *,
        node_dir: str, node: Callable[[], Object], pods: Callable[[], list[Object]],
        evict: Callable[[str, EarlyEnd], None], reclaim_images: Callable[[], object],
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self._settings, self._usage, self._recorder = settings, usage, recorder
        self._node_dir, self._node, self._pods = node_dir, node, pods
        self._evict, self._reclaim_images, self._changed = evict, reclaim_images, changed
        self._pressure = Pressure(settings.thresholds(), settings.eviction_pressure_transition_s)
        self._lock = threading.Lock()
        self._conditions: frozenset[str] = frozenset()
        self._evicted: dict[str, float] = {}  # uid → when; until the Pod has gone

    # ---- what others ask ----

    def conditions(self) -> frozenset[str]:
        """Those of MemoryPressure, DiskPressure, PIDPressure that hold."""
        return self._conditions

    def rejection(self, pod: Object) -> Rejection | None:
        """Whether a node that is short of something takes this Pod: no, unless it is critical; if
        only memory is short those that have asked for some are welcome."""
        if not self._conditions or is_critical(pod):
            return None
        if self._conditions == {"MemoryPressure"} and (
            resources.qos_class(pod) != "BestEffort" or _tolerates_memory_pressure(pod)
        ):
            return None
        shown = " ".join(sorted(self._conditions))
        return Rejection(_REASON, f"The node had condition: [{shown}]. ")

    def memory_watch(self) -> MemoryWatch:
        """Has the kernel call for a turn when the largest of the memory thresholds is passed."""
        capacity = machine.resources(self._node_dir).memory
        amounts = [
            one.value.of(capacity)
            for one in self._settings.thresholds()
            if one.signal == thresholds.MEMORY
        ]
        return MemoryWatch(max(amounts, default=0), capacity, self.synchronize)

    # ---- a turn ----

    def synchronize(self) -> None:
        """Look, and evict at most one Pod for the node's sake."""
        with self._lock:
            observed, now = observe(self._node_dir), time.monotonic()
            due = self._pressure.update(observed, now)
            self._show(self._pressure.conditions(now))
            pods = [pod for pod in self._pods() if self._can_be_evicted(pod)]
            if self._end_the_greedy(pods) or not due:
                return
            self._relieve(due[0], observed, pods)

    def _show(self, conditions: frozenset[str]) -> None:
        if conditions != self._conditions:
            self._conditions = conditions
            self._changed()

    def _can_be_evicted(self, pod: Object) -> bool:
        return bool(
            meta.is_pod_active(pod)
            and (pod.get("status") or {}).get("startTime")
            and pod["metadata"]["uid"] not in self._evicted
        )

    def _end_the_greedy(self, pods: list[Object]) -> bool:
        """Whether any Pod was over a limit of its own."""
        found = False
        for pod in pods:
            if not is_critical(pod) and (message := excess(pod, self._usage)):
                self._end(pod, message, AT_ONCE_S)
                found = True
        return found

    def _relieve(self, threshold: Threshold, observed: dict[str, Left], pods: list[Object]) -> None:
        resource = RESOURCE_OF[threshold.signal]
        log.warning("short of %s (%s): %s", resource, threshold, observed[threshold.signal])
        self._recorder.event(
            self._node(), "Warning", "EvictionThresholdMet", f"Attempting to reclaim {resource}"
        )
        is_disk = resource not in ("memory", "pids")
        if is_disk:
            self._reclaim_images()
            observed = observe(self._node_dir)
            left = observed[threshold.signal]
            if left.available >= threshold.value.of(left.capacity):
                return
        by_uid = {pod["metadata"]["uid"]: pod for pod in pods if not is_critical(pod)}
        candidates = [self._usage.candidate(pod, with_disk=is_disk) for pod in by_uid.values()]
        for candidate in rank(threshold.signal, candidates)[:1]:
            self._evict_for(threshold, observed[threshold.signal], by_uid[candidate.uid], candidate)

    def _evict_for(
        self, threshold: Threshold, left: Left, pod: Object, candidate: Candidate
    ) -> None:
        grace_s = AT_ONCE_S
        if not threshold.is_hard:
            own_s = pod["spec"].get("terminationGracePeriodSeconds")
            longest_s = self._settings.eviction_max_pod_grace_s
            grace_s = float(longest_s if own_s is None else min(longest_s, own_s))
        self._end(pod, eviction_message(threshold, left, candidate), grace_s)

    def _end(self, pod: Object, message: str, grace_s: float) -> None:
        uid = pod["metadata"]["uid"]
        living = {one["metadata"]["uid"] for one in self._pods()}
        self._evicted = {old: at for old, at in self._evicted.items() if old in living}
        self._evicted[uid] = time.monotonic()
        log.warning("evicting %s: %s", meta.key_of(pod), message)
        self._recorder.event(pod, "Warning", _REASON, message)
        self._evict(uid, EarlyEnd(_REASON, message, grace_s, is_disruption=True))


def is_critical(pod: Object) -> bool:
    """Static, mirrored, or of a priority that only the system has."""
    annotations = pod["metadata"].get("annotations") or {}
    if _MIRROR in annotations or annotations.get(_SOURCE, "api") != "api":
        return True
    return resources.is_critical(pod)


def _tolerates_memory_pressure(pod: Object) -> bool:
    for one in pod["spec"].get("tolerations") or ():
        is_of_effect = one.get("effect") in (None, "", "NoSchedule")
        is_of_key = one.get("key") == _MEMORY_TAINT or not one.get("key")
        if is_of_effect and is_of_key and one.get("operator") == "Exists":
            return True
    return False


def observe(node_dir: str) -> dict[str, Left]:
    """Every signal, as the machine has it now."""
    found = machine.resources(node_dir)
    disks = {
        (thresholds.DISK, thresholds.INODES): node_dir,
        (thresholds.IMAGE_DISK, thresholds.IMAGE_INODES): f"{node_dir}/images",
    }
    observed = {
        thresholds.MEMORY: Left(found.memory_left, found.memory),
        thresholds.PIDS: Left(found.pids_left, found.pids),
    }
    for (space, inodes), directory in disks.items():
        disk = os.statvfs(directory)
        observed[space] = Left(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
        if disk.f_files:  # btrfs has no such number
            observed[inodes] = Left(disk.f_favail, disk.f_files)
    return observed
