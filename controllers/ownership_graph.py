"""Room controllers: who belongs to whom, over all kinds. Pure; used by garbage_collector.py.

A node is known by its uid, which is never used twice. It is *virtual* while it is only spoken of:
some object names it as its owner and no informer has shown it (yet, or any more).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from podium.api.meta import key_of, split_key
from podium.api.scheme import Resource

Object = dict[str, Any]
Reference = dict[str, Any]  # an ownerReference

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"  # finalizers


@dataclass(frozen=True, slots=True)
class Node:
    """An object as far as ownership goes."""

    uid: str
    rv: str
    resource: Resource
    key: str
    owners: tuple[Reference, ...]
    finalizers: tuple[str, ...]
    is_deleting: bool

    @classmethod
    def of(cls, obj: Object, resource: Resource) -> Node:
        meta = obj["metadata"]
        return cls(
            uid=meta["uid"],
            rv=meta["resourceVersion"],
            resource=resource,
            key=key_of(obj),
            owners=tuple(meta.get("ownerReferences") or ()),
            finalizers=tuple(meta.get("finalizers") or ()),
            is_deleting=bool(meta.get("deletionTimestamp")),
        )

    @property
    def namespace(self) -> str | None:
        return split_key(self.key)[0]

    @property
    def name(self) -> str:
        return split_key(self.key)[1]

    @property
    def is_deleting_dependents(self) -> bool:
        """Deleted in the foreground: it goes when those that block it are gone."""
        return self.is_deleting and FOREGROUND in self.finalizers

    @property
    def is_orphaning(self) -> bool:
        """Deleted, and its dependents are to stay."""
        return self.is_deleting and ORPHAN in self.finalizers

    def reference_to(self, uid: str) -> Reference | None:
        return next((one for one in self.owners if one["uid"] == uid), None)

    def blocks(self, uid: str) -> bool:
        """Whether the owner must wait until this is gone."""
        reference = self.reference_to(uid)
        return reference is not None and bool(reference.get("blockOwnerDeletion"))


class OwnershipGraph:
    """Not thread-safe."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._dependents: dict[str, set[str]] = {}  # owner's uid → uids; the owner may be virtual

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def nodes(self) -> list[Node]:
        return list(self._nodes.values())

    def is_virtual(self, uid: str) -> bool:
        return uid not in self._nodes and uid in self._dependents

    def dependents(self, uid: str) -> list[Node]:
        return [self._nodes[one] for one in self._dependents.get(uid, ())]

    def put(self, node: Node) -> Node | None:
        """Add it or replace what was known of it; what was known before."""
        before = self._nodes.get(node.uid)
        self._unlink(before)
        self._nodes[node.uid] = node
        for reference in node.owners:
            self._dependents.setdefault(reference["uid"], set()).add(node.uid)
        return before

    def remove(self, uid: str) -> Node | None:
        """It is gone; its dependents keep speaking of it."""
        node = self._nodes.pop(uid, None)
        self._unlink(node)
        return node

    def _unlink(self, node: Node | None) -> None:
        if node is None:
            return
        for reference in node.owners:
            dependents = self._dependents.get(reference["uid"])
            if dependents is not None:
                dependents.discard(node.uid)
                if not dependents:
                    del self._dependents[reference["uid"]]
