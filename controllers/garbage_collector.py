"""Room controllers: deletes what nobody owns any more, and sees deletions of owners through.

It follows every kind and keeps a graph of ownerReferences; keys are uids. Called for an object it
asks, in this order:

    is it deleted with the finalizer "orphan"?    take its dependents' references away, let it go
    ... with the finalizer "foregroundDeletion"?  wait for dependents that block it, let it go
    which of its owners are still there?          any: drop the references to the others
                                                  none: delete it

That an owner is gone is believed only after a live GET by name and uid: a watch may lag, and an
owner of an unknown kind or one not seen yet is no reason to delete. Kubernetes' documentation:
"Garbage Collection", "Owners and Dependents".
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

from controllers import pictures
from controllers.ownership_graph import FOREGROUND, ORPHAN, Node, OwnershipGraph, Reference
from podium.api import scheme
from podium.api.scheme import Resource
from podium.client.clock import Clock
from podium.client.debug_hook import Picture
from podium.client.errors import NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

WORKERS = 4
MAX_ABSENT = 4096  # owners remembered as gone; a uid does not come back
IGNORED = frozenset({"events"})  # many, and owned by nobody

_log = logging.getLogger("garbage-collector")


class GarbageCollector:
    """Follows all kinds that can be listed, watched and deleted, but Events."""

    name = "garbage-collector"
    component = "garbage-collector-controller"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        workers: int = WORKERS,
    ) -> None:
        self._client, self._recorder = client, recorder
        self._lock = threading.Lock()  # guards the two below
        self._graph = OwnershipGraph()
        self._absent: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._loop = ReconcileLoop(
            self.name, self.reconcile, workers=workers, clock=clock, picture=self.picture
        )
        for resource in scheme.all_resources():
            if is_collected(resource):
                self._follow(informers, resource)

    def start(self) -> None:
        """What was heard of while the informers synced has been waiting in the queue."""
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    # --- reconciling ----------------------------------------------------------------------------

    def reconcile(self, key: str) -> None:
        """`key` is a uid. Does one step; what follows from it comes back as a change."""
        with self._lock:
            node = self._graph.get(key)
            dependents = self._graph.dependents(key)
        if node is None:
            return  # gone: its dependents were queued when it went
        if node.is_orphaning:
            self._orphan(node, dependents)
        elif node.is_deleting_dependents:
            self._finish_foreground(node, dependents)
        elif node.owners and not node.is_deleting:
            self._judge(node, dependents)

    def _judge(self, node: Node, dependents: list[Node]) -> None:
        """Keep, trim or delete an object by what its owners are."""
        solid: list[Reference] = []
        waiting: list[Reference] = []
        for reference in node.owners:
            owner = self._owner(node, reference)
            if owner == "there":
                solid.append(reference)
            elif owner == "waiting":
                waiting.append(reference)
        if solid:
            if len(solid) < len(node.owners):
                self._patch(node, {"ownerReferences": solid})
        elif waiting and dependents:
            self._unblock_circle(node, dependents)
            self._delete(node, "Foreground")
        else:
            self._delete(node, _policy_of(node))

    def _orphan(self, node: Node, dependents: list[Node]) -> None:
        for dependent in dependents:
            left = [one for one in dependent.owners if one["uid"] != node.uid]
            self._patch(dependent, {"ownerReferences": left or None})
        self._drop_finalizer(node, ORPHAN)

    def _finish_foreground(self, node: Node, dependents: list[Node]) -> None:
        if not any(dependent.blocks(node.uid) for dependent in dependents):
            self._drop_finalizer(node, FOREGROUND)
            return
        for dependent in dependents:
            if not dependent.is_deleting:
                self._loop.add(dependent.uid)

    def _unblock_circle(self, node: Node, dependents: list[Node]) -> None:
        """If a dependent of it is itself waiting for dependents, all could wait for one another."""
        if any(dependent.is_deleting_dependents for dependent in dependents):
            references = [{**one, "blockOwnerDeletion": False} for one in node.owners]
            if references != list(node.owners):
                self._patch(node, {"ownerReferences": references})

    # --- owners ---------------------------------------------------------------------------------

    def _owner(self, node: Node, reference: Reference) -> str:
        """ "there", "waiting" (for its dependents to go) or "absent"."""
        with self._lock:
            seen = self._graph.get(reference["uid"])
        if seen is not None and _is_meant(seen, node, reference):
            return "waiting" if seen.is_deleting_dependents else "there"
        try:
            resource = scheme.by_kind(reference["apiVersion"], reference["kind"])
        except LookupError:
            return "there"  # a kind that is not served: nothing can be said of it
        is_misplaced = resource.namespaced and (
            node.namespace is None or (seen is not None and seen.namespace != node.namespace)
        )
        if is_misplaced:
            self._tell_misplaced(node, reference)
            if node.namespace is None:
                return "there"  # there is no telling where to look
        return self._live_owner(node, resource, reference)

    def _live_owner(self, node: Node, resource: Resource, reference: Reference) -> str:
        namespace = node.namespace if resource.namespaced else None
        uid, name = reference["uid"], reference["name"]
        remembered = (uid, resource.key, namespace or "", name)
        with self._lock:
            if remembered in self._absent:
                return "absent"
        try:
            owner = self._client.get(resource, name, namespace)
        except NotFound:
            owner = None
        if owner is not None and owner["metadata"]["uid"] == uid:
            found = Node.of(owner, resource)
            return "waiting" if found.is_deleting_dependents else "there"
        with self._lock:
            self._absent[remembered] = None
            if len(self._absent) > MAX_ABSENT:
                self._absent.popitem(last=False)
        return "absent"

    def _tell_misplaced(self, node: Node, reference: Reference) -> None:
        shown = "[{apiVersion}/{kind}, namespace: {ns}, name: {name}, uid: {uid}]".format(
            ns=node.namespace or "", **reference
        )
        message = f'ownerRef {shown} does not exist in namespace "{node.namespace or ""}"'
        self._recorder.event(_as_object(node), "Warning", "OwnerRefInvalidNamespace", message)

    # --- writing --------------------------------------------------------------------------------

    def _delete(self, node: Node, policy: str) -> None:
        """The version makes sure that nobody has given it an owner since we looked."""
        _log.debug("deleting %s %s (%s)", node.resource.key, node.key, policy)
        try:
            self._client.delete(
                node.resource,
                node.name,
                node.namespace,
                propagation=policy,
                uid=node.uid,
                resource_version=node.rv,
            )
        except NotFound:
            return

    def _drop_finalizer(self, node: Node, finalizer: str) -> None:
        left = [one for one in node.finalizers if one != finalizer]
        self._patch(node, {"finalizers": left or None})

    def _patch(self, node: Node, changes: Object) -> None:
        """Raises Conflict if the object has changed since we saw it: then look again."""
        metadata = {"uid": node.uid, "resourceVersion": node.rv, **changes}
        try:
            self._client.patch(node.resource, node.name, node.namespace, {"metadata": metadata})
        except NotFound:
            return

    def picture(self, key: str) -> Picture:
        """What a debugger shows of an object."""
        with self._lock:
            node, dependents = self._graph.get(key), self._graph.dependents(key)
        return pictures.of_owned(node, dependents, _as_object(node) if node else None)

    # --- hearing --------------------------------------------------------------------------------

    def _follow(self, informers: InformerFactory, resource: Resource) -> None:
        def updated(old: Object, new: Object) -> None:
            if old["metadata"]["uid"] != new["metadata"]["uid"]:
                self._gone(old["metadata"]["uid"])
            self._seen(Node.of(new, resource))

        informers.informer(resource).add_handler(
            lambda obj: self._seen(Node.of(obj, resource)),
            updated,
            lambda obj: self._gone(obj["metadata"]["uid"]),
        )

    def _seen(self, node: Node) -> None:
        with self._lock:
            before = self._graph.put(node)
            wanted = self._wanted_by(node, before)
        for uid in wanted:
            self._loop.add(uid)

    def _wanted_by(self, node: Node, before: Node | None) -> list[str]:
        """Whom a change makes worth a look."""
        dependents = self._graph.dependents(node.uid)
        wanted: list[str] = []
        if node.is_orphaning or node.is_deleting_dependents:
            wanted.append(node.uid)
            if before is None or not before.is_deleting_dependents:
                wanted += [one.uid for one in dependents]
        if before is None or before.owners != node.owners:
            owners = [self._graph.get(one["uid"]) for one in node.owners]
            if any(one is None or one.is_deleting or not _is_near(one, node) for one in owners):
                wanted.append(node.uid)
        if before is None:  # until now it was only spoken of, perhaps by some that must not
            wanted += [one.uid for one in dependents if not _is_near(node, one)]
        else:
            wanted += [uid for uid in _no_longer_blocked(before, node) if self._is_waiting(uid)]
        return wanted

    def _is_waiting(self, uid: str) -> bool:
        owner = self._graph.get(uid)
        return owner is not None and owner.is_deleting_dependents

    def _gone(self, uid: str) -> None:
        with self._lock:
            node = self._graph.remove(uid)
            wanted = [dependent.uid for dependent in self._graph.dependents(uid)]
            if node is not None:
                wanted += [o["uid"] for o in node.owners if self._is_waiting(o["uid"])]
        for one in wanted:
            self._loop.add(one)


def is_collected(resource: Resource) -> bool:
    """Whether objects of this kind can be followed and deleted."""
    can = {"list", "watch", "delete"} <= set(resource.verbs)
    return can and resource.key not in IGNORED


def _policy_of(node: Node) -> str:
    """Its own finalizers say what is to become of its dependents."""
    if ORPHAN in node.finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in node.finalizers else "Background"


def _is_near(owner: Node, dependent: Node) -> bool:
    """Whether it can be an owner: of no namespace, or of the same."""
    return owner.namespace is None or owner.namespace == dependent.namespace


def _is_meant(owner: Node, dependent: Node, reference: Reference) -> bool:
    """Whether what has the uid is also what the reference says it is."""
    group = reference["apiVersion"].rpartition("/")[0]
    said = (group, reference["kind"], reference["name"])
    is_so = (owner.resource.group, owner.resource.kind, owner.name)
    return said == is_so and _is_near(owner, dependent)


def _no_longer_blocked(before: Node, node: Node) -> list[str]:
    """The owners that this object kept waiting and keeps no more."""
    return [
        reference["uid"]
        for reference in before.owners
        if reference.get("blockOwnerDeletion") and not node.blocks(reference["uid"])
    ]


def _as_object(node: Node) -> Object:
    """Enough of the object for an Event about it."""
    return {
        "apiVersion": node.resource.api_version,
        "kind": node.resource.kind,
        "metadata": {"name": node.name, "namespace": node.namespace, "uid": node.uid},
    }
