"""What every cluster has from its first start. Room apiserver; called by server.py."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

from apiserver.errors import Conflicted
from apiserver.storage import Store
from apiserver.strategies import prepare_create
from apiserver.validation.classes import SYSTEM_PRIORITIES
from podium.api.scheme import resource

STANDARD_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "podium.dev/local-path",
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}
_WORDS = {
    "system-node-critical": "Used for system critical pods that must not be moved from their "
    "current node.",
    "system-cluster-critical": "Used for system critical pods that must run in the cluster, but "
    "can be moved to another node if necessary.",
}
PRIORITY_CLASSES = [
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
        "description": _WORDS[name],
        "preemptionPolicy": "PreemptLowerPriority",
    }
    for name, value in SYSTEM_PRIORITIES.items()
]
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def create_default_objects(store: Store) -> None:
    """Create what is missing. Safe to call at each start, and by several servers at once."""
    for name in NAMESPACES:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        _ensure(store, "namespaces", namespace)
    for priority_class in PRIORITY_CLASSES:
        _ensure(store, "priorityclasses", copy.deepcopy(priority_class))
    _ensure(store, "storageclasses", copy.deepcopy(STANDARD_CLASS))


def _ensure(store: Store, plural: str, obj: dict[str, Any]) -> None:
    kind = resource(plural)
    if store.get(kind.key, "", obj["metadata"]["name"]) is not None:
        return
    prepare_create(kind, obj)
    with contextlib.suppress(Conflicted):  # another server was faster
        store.write(kind.key, obj, None)
