"""Whether a Pod that is bound here fits here: the node's last word after the scheduler's.

Room kubelet; called by pod_sync.py before a Pod's first start. Two schedulers, or somebody who sets
nodeName by hand, can bind more than there is; such a Pod fails with Kubernetes' reasons.
Source: kubelet `pkg/kubelet/lifecycle/predicate.go`.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from kubelet.hardware import HUGE_PAGES
from kubelet.network import HostPort
from kubelet.network_wishes import is_same_port, taken_ports
from kubelet.resources import amount, containers_of, pod_request

Object = dict[str, Any]

RESOURCES = ("pods", "cpu", "memory", "ephemeral-storage")  # compared in this order, then others


@dataclass(frozen=True)
class Rejection:
    """`reason` and `message` of the event and, after "Pod was rejected: ", of the failed Pod's
    status."""

    reason: str
    message: str


class Admission:
    """Sums up what the admitted Pods request. Thread-safe; a Pod is counted once."""

    def __init__(self, problems: Callable[[Object], Iterable[str]] = lambda _: ()) -> None:
        """`problems(pod)` says why the machine cannot do what the Pod's annotations ask for."""
        self._lock = threading.Lock()
        self._problems = problems
        self._requests: dict[str, dict[str, int]] = {}
        self._ports: dict[str, list[HostPort]] = {}
        self._used: Counter[str] = Counter()

    def admit(self, pod: Object, node: Object) -> Rejection | None:
        """Count the Pod and give None, or say why it cannot run here."""
        spec, labels = pod["spec"], node["metadata"].get("labels") or {}
        if ((spec.get("os") or {}).get("name") or "linux") != "linux":
            return Rejection(
                "PodOSNotSupported",
                "Failed to admit pod as the OS field doesn't match node OS",
            )
        if any(labels.get(k) != v for k, v in (spec.get("nodeSelector") or {}).items()):
            return Rejection(
                "NodeAffinity",
                "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
            )
        if found := "; ".join(self._problems(pod)):
            return Rejection(
                "UnexpectedAdmissionError",
                f"Allocate failed due to {found}, which is unexpected",
            )
        with self._lock:
            uid = pod["metadata"]["uid"]
            if uid in self._requests:
                return None
            wanted = _requests(pod)
            if self._clashes(pod):
                return Rejection(
                    "NodePorts",
                    "Predicate NodePorts failed: node(s) didn't have free ports "
                    "for the requested pod ports",
                )
            rejection = self._over(wanted, (node.get("status") or {}).get("allocatable") or {})
            if rejection is None:
                self._count(pod, wanted)
            return rejection

    def count(self, pod: Object) -> None:
        """A Pod that runs already: it was admitted by a life before this one."""
        with self._lock:
            if pod["metadata"]["uid"] not in self._requests:
                self._count(pod, _requests(pod))

    def resize(self, pod: Object, node: Object) -> Literal["", "Deferred", "Infeasible"]:
        """Count a Pod that runs with what it now requests, or say why it cannot have that: not with
        those that are here, or never on this node."""
        allocatable = (node.get("status") or {}).get("allocatable") or {}
        wanted, uid = _requests(pod), pod["metadata"]["uid"]
        resizable = {name: wanted[name] for name in ("cpu", "memory") if name in allocatable}
        if any(value > amount(name, allocatable[name]) for name, value in resizable.items()):
            return "Infeasible"
        with self._lock:
            mine = self._requests.get(uid, {})
            for name, value in resizable.items():
                others = self._used[name] - mine.get(name, 0)
                if value > mine.get(name, 0) and others + value > amount(name, allocatable[name]):
                    return "Deferred"
            for name, value in mine.items():
                self._used[name] -= value
            self._count(pod, wanted)
        return ""

    def release(self, uid: str) -> None:
        """It has ended. Safe to repeat."""
        with self._lock:
            self._ports.pop(uid, None)
            for name, value in self._requests.pop(uid, {}).items():
                self._used[name] -= value

    def _count(self, pod: Object, wanted: dict[str, int]) -> None:
        uid = pod["metadata"]["uid"]
        self._requests[uid] = wanted
        if ports := taken_ports(pod):
            self._ports[uid] = ports
        for name, value in wanted.items():
            self._used[name] += value

    def _clashes(self, pod: Object) -> bool:
        """Whether a port of the node that it wants is somebody else's."""
        taken = [port for ports in self._ports.values() for port in ports]
        return any(is_same_port(one, other) for one in taken_ports(pod) for other in taken)

    def _over(self, wanted: dict[str, int], allocatable: Object) -> Rejection | None:
        for name in sorted(wanted, key=_order):
            if name not in allocatable and not name.startswith(HUGE_PAGES):
                continue  # a resource of the cluster's, not of a node's
            capacity = amount(name, allocatable.get(name, 0))
            if wanted[name] and self._used[name] + wanted[name] > capacity:
                return Rejection(
                    f"OutOf{name}",
                    f"Node didn't have enough resource: {name}, requested: "
                    f"{wanted[name]}, used: {self._used[name]}, capacity: {capacity}",
                )
        return None


def _order(name: str) -> tuple[int, str]:
    return (RESOURCES.index(name) if name in RESOURCES else len(RESOURCES), name)


def _requests(pod: Object) -> dict[str, int]:
    asked = {
        name
        for container in containers_of(pod)
        for amounts in (container.get("resources") or {}).values()
        if isinstance(amounts, dict)
        for name in amounts
    }
    names = {"cpu", "memory", *asked, *(pod["spec"].get("overhead") or {})}
    return {"pods": 1} | {name: pod_request(pod, name) for name in names}
