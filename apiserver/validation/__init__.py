"""Is this object sensible? What goes beyond its shape: all causes at once, in Kubernetes' words.

Room: the API server; called by its verbs on every write, after strict decoding (so types are right)
and defaulting. Pure functions. A kind without rules of its own has those of its metadata.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.validation import (
    classes,
    cluster,
    configuration,
    debugging,
    faults,
    pods,
    storage,
    workloads,
)
from apiserver.validation.cluster import validate_binding
from apiserver.validation.ephemeral_containers import ephemeral_containers_update
from apiserver.validation.metadata import validate_metadata, validate_metadata_update
from apiserver.validation.resize import validate_resize
from apiserver.validation.workloads import validate_scale
from podium.api.debugging import BREAKPOINTS
from podium.api.faults import FAULTS
from podium.api.scheme import Resource
from podium.api.status import Cause

__all__ = [
    "validate_binding",
    "validate_create",
    "validate_ephemeral_update",
    "validate_resize_update",
    "validate_scale",
    "validate_status_update",
    "validate_update",
]

Object = dict[str, Any]

_ON_CREATE: dict[str, Callable[[Object], list[Cause]]] = {
    "pods": pods.validate_pod,
    "replicasets.apps": workloads.validate_replicaset,
    "deployments.apps": workloads.validate_deployment,
    "configmaps": configuration.validate_config_map,
    "secrets": configuration.validate_secret,
    "namespaces": cluster.validate_namespace,
    "nodes": cluster.validate_node,
    "events": cluster.validate_event,
    "leases.coordination.k8s.io": cluster.validate_lease,
    "persistentvolumes": storage.validate_persistent_volume,
    "persistentvolumeclaims": storage.validate_claim,
    "priorityclasses.scheduling.k8s.io": classes.validate_priority_class,
    "runtimeclasses.node.k8s.io": classes.validate_runtime_class,
    "storageclasses.storage.k8s.io": storage.validate_storage_class,
    BREAKPOINTS: debugging.validate_breakpoint,
    FAULTS: faults.validate_fault,
}

# Instead of the rules for creation; a kind that is not here has those.
_ON_UPDATE: dict[str, Callable[[Object, Object], list[Cause]]] = {
    "pods": pods.validate_pod_update,
    "configmaps": configuration.validate_config_map_update,
    "secrets": configuration.validate_secret_update,
    "nodes": cluster.validate_node_update,
    "events": cluster.validate_event_update,
    "persistentvolumes": storage.validate_persistent_volume_update,
    "persistentvolumeclaims": storage.validate_claim_update,
    "priorityclasses.scheduling.k8s.io": classes.validate_priority_class_update,
    "runtimeclasses.node.k8s.io": classes.validate_runtime_class_update,
    "storageclasses.storage.k8s.io": storage.validate_storage_class_update,
    BREAKPOINTS: debugging.validate_breakpoint_update,
    FAULTS: faults.validate_fault_update,
}

# Whose selector stays what it was.
_FIXED_SELECTOR = frozenset({"replicasets.apps", "deployments.apps"})


def validate_create(resource: Resource, obj: Object) -> list[Cause]:
    """Every cause that speaks against a new object."""
    rule = _ON_CREATE.get(resource.key)
    return validate_metadata(resource, obj) + (rule(obj) if rule else [])


def validate_update(resource: Resource, new: Object, old: Object) -> list[Cause]:
    """Every cause that speaks against this change; call it once the server has filled in what the
    writer left out of `metadata`."""
    causes = validate_metadata_update(resource, new, old)
    if changed := _ON_UPDATE.get(resource.key):
        return causes + changed(new, old)
    if rule := _ON_CREATE.get(resource.key):
        causes += rule(new)
    if resource.key in _FIXED_SELECTOR:
        causes += workloads.validate_selector_update(new, old)
    return causes


def validate_ephemeral_update(resource: Resource, new: Object, old: Object) -> list[Cause]:
    """For the `ephemeralcontainers` subresource of Pods."""
    return validate_metadata_update(resource, new, old) + ephemeral_containers_update(new, old)


def validate_status_update(resource: Resource, new: Object, old: Object) -> list[Cause]:
    """For the `status` subresource, whose writers change nothing but the status."""
    return validate_metadata_update(resource, new, old)


def validate_resize_update(resource: Resource, new: Object, old: Object) -> list[Cause]:
    """For the `resize` subresource of Pods, whose writers change nothing but resources."""
    return validate_metadata_update(resource, new, old) + validate_resize(new, old)
