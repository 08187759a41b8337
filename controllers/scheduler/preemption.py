"""Room controllers/scheduler: which Pods of lower priority would have to go. Pure.

On each node where that could help, all Pods of lower priority are thought away; if the Pod then
fits, as many as possible are let back in, the most important first. The rest are the victims. The
node whose victims matter least is taken. Source: kube-scheduler's DefaultPreemption, v1.32.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controllers.scheduler.filters import first_rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class Preemption:
    """What making room on a node would take."""

    node: str
    victims: tuple[PodInfo, ...]


def victims_on(pod: PodInfo, node: NodeInfo) -> Preemption | None:
    """The fewest that matter least; None if the Pod would not fit even without all of them."""
    lower = [other for other in node.pods.values() if other.priority < pod.priority]
    if not lower:
        return None
    seen = node.without(other.uid for other in lower)
    if first_rejection(pod, seen) is not None:
        return None
    victims: list[PodInfo] = []
    for other in sorted(lower, key=_importance, reverse=True):
        seen.add(other)
        if first_rejection(pod, seen) is not None:
            seen.remove(other.uid)
            victims.append(other)
    return Preemption(node.name, tuple(victims))


def least_harmful(candidates: Iterable[Preemption]) -> Preemption | None:
    """The lowest highest priority, then the lowest sum, the fewest victims, and by name."""

    def harm(one: Preemption) -> tuple[int, int, int, str]:
        priorities = [victim.priority for victim in one.victims]
        return max(priorities, default=-(2**31)), sum(priorities), len(priorities), one.node

    return min(candidates, key=harm, default=None)


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Higher priority, then longer running; of two strings the greater one sorts last."""
    started = (pod.obj.get("status") or {}).get("startTime") or "9999"
    return pod.priority, "".join(chr(0x10FFFF - ord(c)) for c in started)
