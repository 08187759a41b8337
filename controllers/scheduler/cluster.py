"""Room controllers/scheduler: all nodes with the Pods on them, as the next decision must see them.

A Pod counts from the moment its node is decided (it is *assumed*), not when its binding has come
back through the watch; else two Pods would be promised the same room. Pure; not thread-safe.
"""

from __future__ import annotations

from typing import Any

from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo

Object = dict[str, Any]


class Cluster:
    """What is taken is kept up with each change and never counted anew."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._node_of: dict[str, str] = {}  # a Pod's uid → its node's name
        self._assumed: set[str] = set()
        self._nominated: dict[str, tuple[str, PodInfo]] = {}  # uid → where victims make room for it

    # --- nodes ----------------------------------------------------------------------------------

    def nodes(self) -> list[NodeInfo]:
        """Those that exist (a Pod can be bound to one that does not)."""
        return [node for node in self._nodes.values() if node.is_known]

    def node(self, name: str) -> NodeInfo | None:
        found = self._nodes.get(name)
        return found if found is not None and found.is_known else None

    def put_node(self, node: Object) -> None:
        self._node_info(node["metadata"]["name"]).describe(node)

    def remove_node(self, name: str) -> None:
        """Its Pods stay counted: the node may come back before they are gone."""
        node = self._nodes.get(name)
        if node is not None:
            node.forget_description()
            self._drop_if_empty(node)

    # --- Pods -----------------------------------------------------------------------------------

    def place(self, pod: PodInfo, node_name: str) -> None:
        """The Pod is on the node, whatever was assumed. Safe to repeat."""
        self.remove(pod.uid)
        self._node_info(node_name).add(pod)
        self._node_of[pod.uid] = node_name

    def assume(self, pod: PodInfo, node_name: str) -> None:
        """The Pod will be on the node, until `forget` or `place` says what came of it."""
        self.place(pod, node_name)
        self._assumed.add(pod.uid)

    def forget(self, uid: str) -> str | None:
        """The binding came to nothing; the node's name, None if it was not assumed (any more)."""
        return self.remove(uid) if uid in self._assumed else None

    def remove(self, uid: str) -> str | None:
        """The Pod takes nothing any more; the name of the node it was on, None for none."""
        self._assumed.discard(uid)
        self._nominated.pop(uid, None)
        name = self._node_of.pop(uid, None)
        if name is not None:
            node = self._nodes[name]
            node.remove(uid)
            self._drop_if_empty(node)
        return name

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    # --- room that is being made ----------------------------------------------------------------

    def nominate(self, pod: PodInfo, node_name: str) -> None:
        """Pods of lower priority are leaving this node to make room for the Pod."""
        self._nominated[pod.uid] = node_name, pod

    def withdraw(self, uid: str) -> None:
        """Undo `nominate`. Safe to repeat."""
        self._nominated.pop(uid, None)

    def nominated_node(self, uid: str) -> str | None:
        found = self._nominated.get(uid)
        return found[0] if found else None

    def seen_by(self, pod: PodInfo, node: NodeInfo) -> NodeInfo:
        """The node with the room taken that is being made for Pods at least as important."""
        if not self._nominated:
            return node
        before = [
            other
            for uid, (name, other) in self._nominated.items()
            if name == node.name and uid != pod.uid and other.priority >= pod.priority
        ]
        if not before:
            return node
        seen = node.without(())
        for other in before:
            seen.add(other)
        return seen

    def _node_info(self, name: str) -> NodeInfo:
        if name not in self._nodes:
            self._nodes[name] = NodeInfo(name)
        return self._nodes[name]

    def _drop_if_empty(self, node: NodeInfo) -> None:
        if not node.is_known and not node.pods:
            del self._nodes[node.name]
