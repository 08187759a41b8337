"""Room controllers: empties a namespace that is being deleted, then lets it go.

A key is a namespace's name. Kind by kind the contents are deleted, and what is left is counted
(Pods take their time, finalizers may hold things back); the conditions say what it waits for. When
nothing is left the namespace is finalized, and the API server removes it. In between nothing is
polled: the last object of a kind to go from an ending namespace brings its key back.
Source: Kubernetes' namespace controller, v1.32.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from podium.api import meta, scheme
from podium.api.scheme import Resource
from podium.client.clock import Clock
from podium.client.errors import ApiError, NotFound, Unreachable
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client, each_page
from podium.client.informer import Informer, InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

FINALIZER = "kubernetes"
BY_NAMESPACE = "namespace"
# Meanwhile the conditions should not grow too old: how many are left is counted this often.
LOOK_AGAIN_S = 15.0
# Makers before what they make, and what tells the story last.
LAST_KINDS = ("pods", "serviceaccounts", "configmaps", "secrets", "events")
NOT_FOLLOWED = frozenset({"events"})  # many, and gone at once: nothing waits for a finalizer of one

_log = logging.getLogger("namespace")


@dataclass(slots=True)
class Remains:
    """What a pass left behind."""

    counts: dict[str, int] = field(default_factory=dict)  # {"pods.": 2, "deployments.apps": 1}
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def count(self, resource: Resource, objects: list[Object]) -> None:
        if objects:
            self.counts[f"{resource.plural}.{resource.group}"] = len(objects)
        for obj in objects:
            self.finalizers.update(obj["metadata"].get("finalizers") or ())

    @property
    def is_empty(self) -> bool:
        return not self.counts and not self.errors


class NamespaceController:
    """Acts only on namespaces that have a deletionTimestamp."""

    name = "namespace"
    component = "namespace-controller"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        workers: int = 2,
        look_again_s: float = LOOK_AGAIN_S,
    ) -> None:
        self._client, self._clock = client, clock
        self._look_again_s = look_again_s
        self._namespaces = informers.informer("namespaces")
        self._loop = ReconcileLoop(self.name, self.reconcile, workers=workers, clock=clock)
        self._namespaces.add_handler(self._namespace_seen, self._namespace_updated)
        for resource in kinds_to_empty():
            if resource.key not in NOT_FOLLOWED:
                self._follow(informers.informer(resource))

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    # --- reconciling ----------------------------------------------------------------------------

    def reconcile(self, key: str) -> float | None:
        """Delete what can be deleted; seconds until another look if something is left."""
        try:
            namespace = self._client.get("namespaces", key)
        except NotFound:
            return None
        finalizers = (namespace.get("spec") or {}).get("finalizers") or []
        if not is_ending(namespace) or FINALIZER not in finalizers:
            return None
        remains = self._empty(key)
        self._report(namespace, remains)
        if remains.is_empty:
            self._finalize(namespace, finalizers)
            return None
        return self._look_again_s

    def _empty(self, namespace: str) -> Remains:
        """Delete the contents of all kinds, even if one of them fails."""
        remains = Remains()
        for resource in kinds_to_empty():
            try:
                remains.count(resource, self._empty_kind(resource, namespace))
            except Unreachable:
                raise
            except ApiError as error:
                remains.errors.append(f"{resource.key}: {error.message}")
        return remains

    def _empty_kind(self, resource: Resource, namespace: str) -> list[Object]:
        """What is left of a kind."""
        found = list(each_page(self._client, resource, namespace))
        if all(is_ending(obj) for obj in found):
            return found  # nothing, or asked to go already
        self._client.delete_collection(resource, namespace, propagation="Background")
        return list(each_page(self._client, resource, namespace))

    def _report(self, namespace: Object, remains: Remains) -> None:
        """Conditions are written once there is something to say, and then kept true."""
        status = {**(namespace.get("status") or {})}
        status["conditions"] = [dict(one) for one in status.get("conditions") or ()]
        has_changed = status.get("phase") != "Terminating"
        status["phase"] = "Terminating"
        if status["conditions"] or not remains.is_empty:
            now = meta.now(self._clock.now())
            for type_, value, reason, message in conditions(remains):
                has_changed |= meta.set_condition(status, type_, value, reason, message, now)
        if has_changed:
            wanted = {**namespace, "status": status}
            updated = self._client.update("namespaces", wanted, "status")
            namespace["metadata"] = updated["metadata"]

    def _finalize(self, namespace: Object, finalizers: list[str]) -> None:
        """Take our finalizer away; with the last one gone the API server removes the namespace."""
        left = [one for one in finalizers if one != FINALIZER]
        spec = {**namespace["spec"], "finalizers": left}
        _log.info("%s is empty", namespace["metadata"]["name"])
        try:
            self._client.update("namespaces", {**namespace, "spec": spec}, "finalize")
        except NotFound:
            return

    # --- hearing --------------------------------------------------------------------------------

    def _namespace_seen(self, namespace: Object) -> None:
        if is_ending(namespace):
            self._loop.add(meta.key_of(namespace))

    def _namespace_updated(self, old: Object, new: Object) -> None:
        """Not for the conditions that we write ourselves."""
        if _what_counts(old) != _what_counts(new):
            self._namespace_seen(new)

    def _follow(self, informer: Informer) -> None:
        """When the last object of a kind has gone, its namespace is worth a look."""

        def gone(obj: Object) -> None:
            name = obj["metadata"]["namespace"]
            namespace = self._namespaces.get(name)
            is_awaited = namespace is not None and is_ending(namespace)
            if is_awaited and not informer.by_index(BY_NAMESPACE, name):
                self._loop.add(name)

        informer.add_index(BY_NAMESPACE, lambda obj: (obj["metadata"]["namespace"],))
        informer.add_handler(on_delete=gone)


def kinds_to_empty() -> list[Resource]:
    """Every kind that lives in namespaces, in the order in which they are deleted."""
    kinds = [
        resource
        for resource in scheme.all_resources()
        if resource.namespaced and {"list", "deletecollection"} <= set(resource.verbs)
    ]
    rank = {key: place for place, key in enumerate(LAST_KINDS, start=1)}
    return sorted(kinds, key=lambda resource: rank.get(resource.key, 0))


def conditions(remains: Remains) -> list[tuple[str, str, str, str]]:
    """Type, status, reason and message of each condition, as Kubernetes words them."""
    found = [
        (
            "NamespaceDeletionDiscoveryFailure",
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
    ]
    if remains.errors:
        failed = f"{len(remains.errors)} remaining: {'; '.join(remains.errors)}"
        message = f"Failed to delete all resource types, {failed}"
        found.append(("NamespaceDeletionContentFailure", "True", "ContentDeletionFailed", message))
    else:
        message = "All content successfully deleted, may be waiting on finalization"
        found.append(("NamespaceDeletionContentFailure", "False", "ContentDeleted", message))
    if remains.counts:
        left = ", ".join(f"{k} has {n} resource instances" for k, n in remains.counts.items())
        message = f"Some resources are remaining: {left}"
        found.append(("NamespaceContentRemaining", "True", "SomeResourcesRemain", message))
    else:
        message = "All content successfully removed"
        found.append(("NamespaceContentRemaining", "False", "ContentRemoved", message))
    if remains.finalizers:
        held = sorted(remains.finalizers.items())
        left = ", ".join(f"{name} in {count} resource instances" for name, count in held)
        message = f"Some content in the namespace has finalizers remaining: {left}"
        found.append(("NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain", message))
    else:
        message = "All content-preserving finalizers finished"
        found.append(("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers", message))
    return found


def is_ending(namespace: Object) -> bool:
    return bool(namespace["metadata"].get("deletionTimestamp"))


def _what_counts(namespace: Object) -> tuple[Any, ...]:
    finalizers = (namespace.get("spec") or {}).get("finalizers")
    return namespace["metadata"]["uid"], is_ending(namespace), finalizers
