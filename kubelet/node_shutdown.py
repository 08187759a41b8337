"""Ends the Pods of a machine that is going down, the important ones last.

Room kubelet; made by agent.py. It begins when logind says so (logind.py), or with SIGPWR where
there is no systemd. Only where grace periods are set (shutdownGracePeriod,
shutdownGracePeriodByPodPriority): without them Pods end with the machine, and come back with it.
Source: Kubernetes docs "Node Shutdowns"; kubelet `pkg/kubelet/nodeshutdown`, v1.32.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kubelet.admission import Rejection
from kubelet.configuration import KubeletConfiguration, ShutdownStep
from kubelet.early_end import SHUTDOWN_MESSAGE, EarlyEnd
from kubelet.resources import SYSTEM_CRITICAL_PRIORITY
from podium.api import meta

Object = dict[str, Any]
log = logging.getLogger("node-shutdown")

NOT_READY = "node is shutting down"
_LOOK_EVERY_S = 0.1


class NodeShutdown:
    """`pods()` gives those bound here, `end(uid, how)` ends one, `is_over(uid)` says whether
    nothing of it runs any more, `changed()` hears that the node's state has."""

    def __init__(
        self, settings: KubeletConfiguration, *, pods: Callable[[], list[Object]],
        end: Callable[[str, EarlyEnd], None], is_over: Callable[[str], bool],
        changed: Callable[[], None],
    ) -> None:  # fmt: skip
        self.steps = steps_of(settings)
        self._pods, self._end, self._is_over, self._changed = pods, end, is_over, changed
        self._lock = threading.Lock()
        self.is_on = False

    @property
    def grace_s(self) -> float:
        """All steps together; 0: not asked for."""
        return sum(step.grace_s for step in self.steps)

    def why_not_ready(self) -> str:
        return NOT_READY if self.is_on else ""

    def rejection(self, pod: Object) -> Rejection | None:
        if not self.is_on:
            return None
        return Rejection("NodeShutdown", "Pod was rejected as the node is shutting down.")

    def begin(self) -> None:
        """Returns when all Pods have ended or their time is up. A second call waits for the
        first."""
        with self._lock:
            if self.is_on or not self.grace_s:
                return
            self.is_on = True
            self._changed()
            for step, pods in grouped(self.steps, filter(meta.is_pod_active, self._pods())):
                self._end_group(step, pods)
            log.info("every Pod has ended, or had its time")

    def cancel(self) -> None:
        """The machine goes on after all. What has ended stays ended."""
        self.is_on = False
        self._changed()

    def _end_group(self, step: ShutdownStep, pods: list[Object]) -> None:
        if not pods:
            return
        log.info("ending %d Pods of priority %d and above", len(pods), step.priority)
        for pod in pods:
            own_s = pod["spec"].get("terminationGracePeriodSeconds")
            grace_s = step.grace_s if own_s is None else min(step.grace_s, float(own_s))
            how = EarlyEnd("Terminated", SHUTDOWN_MESSAGE, grace_s, is_disruption=True)
            self._end(pod["metadata"]["uid"], how)
        until = time.monotonic() + step.grace_s
        waiting = {pod["metadata"]["uid"] for pod in pods}
        while waiting and time.monotonic() < until:
            waiting = {uid for uid in waiting if not self._is_over(uid)}
            time.sleep(_LOOK_EVERY_S)


def steps_of(settings: KubeletConfiguration) -> tuple[ShutdownStep, ...]:
    """The lowest first; () where nothing is asked for."""
    if settings.shutdown_grace_by_priority:
        return settings.shutdown_grace_by_priority
    if not settings.shutdown_grace_s:
        return ()
    critical_s = settings.shutdown_grace_critical_s
    return (
        ShutdownStep(0, settings.shutdown_grace_s - critical_s),
        ShutdownStep(SYSTEM_CRITICAL_PRIORITY, critical_s),
    )


def grouped(
    steps: Sequence[ShutdownStep], pods: Iterable[Object]
) -> list[tuple[ShutdownStep, list[Object]]]:
    """Each Pod with the highest step that is not above it; those below all with the lowest."""
    groups: list[tuple[ShutdownStep, list[Object]]] = [(step, []) for step in steps]
    for pod in pods:
        priority = int(pod["spec"].get("priority") or 0)
        reached = [group for step, group in groups if step.priority <= priority]
        (reached[-1] if reached else groups[0][1]).append(pod)
    return groups
