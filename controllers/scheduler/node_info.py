"""Room controllers/scheduler: a node with what is taken of it, as Pods come and go. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from controllers.scheduler.pod_info import ANY_ADDRESS, PodInfo, Port, Resources, amounts

Object = dict[str, Any]


class NodeInfo:
    """Adding and removing a Pod costs the same however many there are. Not thread-safe."""

    __slots__ = (
        "_ports",
        "allocatable",
        "images",
        "is_known",
        "is_unschedulable",
        "labels",
        "max_pods",
        "name",
        "pods",
        "scored_cpu_millicores",
        "scored_memory_bytes",
        "taints",
        "used",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_known = False  # False: Pods are on it, but the Node is not there (yet, or any more)
        self.labels: dict[str, str] = {}
        self.taints: tuple[Object, ...] = ()
        self.is_unschedulable = False
        self.allocatable: Resources = {}
        self.max_pods = 0
        self.images: dict[str, int] = {}  # name → bytes
        self.pods: dict[str, PodInfo] = {}  # by uid
        self.used: Counter[str] = Counter()
        self.scored_cpu_millicores = 0
        self.scored_memory_bytes = 0
        self._ports: Counter[Port] = Counter()

    @classmethod
    def of(cls, node: Object, pods: Iterable[PodInfo] = ()) -> NodeInfo:
        info = cls(node["metadata"]["name"])
        info.describe(node)
        for pod in pods:
            info.add(pod)
        return info

    def describe(self, node: Object) -> None:
        """Take over what the Node object says."""
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.is_known = True
        self.labels = node["metadata"].get("labels") or {}
        self.taints = tuple(spec.get("taints") or ())
        self.is_unschedulable = bool(spec.get("unschedulable"))
        self.allocatable = amounts(status.get("allocatable") or status.get("capacity"))
        self.max_pods = self.allocatable.pop("pods", 0)
        self.images = {
            name: image.get("sizeBytes") or 0
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def forget_description(self) -> None:
        """The Node is gone; its Pods may still be there."""
        self.is_known = False

    def add(self, pod: PodInfo) -> None:
        self.pods[pod.uid] = pod
        self.used.update(pod.requests)
        self.scored_cpu_millicores += pod.scored_cpu_millicores
        self.scored_memory_bytes += pod.scored_memory_bytes
        self._ports.update(pod.ports)

    def remove(self, uid: str) -> PodInfo | None:
        """The Pod that was taken off, None if it was not there."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return None
        self.used.subtract(pod.requests)
        self.scored_cpu_millicores -= pod.scored_cpu_millicores
        self.scored_memory_bytes -= pod.scored_memory_bytes
        for port in pod.ports:
            self._ports[port] -= 1
            if not self._ports[port]:
                del self._ports[port]
        return pod

    def free(self, resource: str) -> int:
        """May be below zero: a node can shrink."""
        return self.allocatable.get(resource, 0) - self.used[resource]

    def has_port_taken(self, wanted: Port) -> bool:
        """Whether a hostPort is in use: on the same address, or either of them on all."""
        protocol, address, number = wanted
        if address == ANY_ADDRESS:
            return any((p, n) == (protocol, number) for p, _, n in self._ports)
        return wanted in self._ports or (protocol, ANY_ADDRESS, number) in self._ports

    def without(self, uids: Iterable[str]) -> NodeInfo:
        """A copy with some Pods less, for asking "what if"."""
        copy = NodeInfo(self.name)
        for name in ("is_known", "labels", "taints", "is_unschedulable", "allocatable", "max_pods"):
            setattr(copy, name, getattr(self, name))
        copy.images = self.images
        gone = set(uids)
        for pod in self.pods.values():
            if pod.uid not in gone:
                copy.add(pod)
        return copy

    def __repr__(self) -> str:
        return f"NodeInfo({self.name}, {len(self.pods)} pods, used {dict(self.used)})"
