"""What an object must be beyond its schema, with every cause, in Kubernetes' words.

Pure functions of the API server: objects in (decoded, defaulted), causes out. One file a family of
kinds; the dispatch is here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from apiserver.validation import configuration, metadata, node, pod, workload
from podium.api.scheme import Resource
from podium.api.status import Cause

Object = dict[str, Any]
Validator = Callable[[Object, list[Cause]], None]
UpdateValidator = Callable[[Object, Object, list[Cause]], None]

_CREATE: dict[str, Validator] = {
    "pods": pod.validate,
    "deployments.apps": workload.validate_deployment,
    "replicasets.apps": workload.validate_replicaset,
    "configmaps": configuration.validate_configmap,
    "secrets": configuration.validate_secret,
    "nodes": node.validate_node,
    "leases.coordination.k8s.io": node.validate_lease,
    "events": node.validate_event,
}
_UPDATE: dict[str, UpdateValidator] = {
    "pods": pod.validate_update,
    "deployments.apps": workload.validate_selector_update,
    "replicasets.apps": workload.validate_selector_update,
    "configmaps": configuration.validate_immutable,
    "secrets": configuration.validate_secret_update,
    "nodes": node.validate_node_update,
}


def validate_create(resource: Resource, obj: Object) -> list[Cause]:
    """Every cause why this object cannot be created; [] when it can."""
    causes: list[Cause] = []
    metadata.validate(resource, obj, causes)
    if resource.key in _CREATE:
        _CREATE[resource.key](obj, causes)
    return causes


def validate_update(resource: Resource, new: Object, old: Object) -> list[Cause]:
    """Every cause why `old` cannot become `new`."""
    causes: list[Cause] = []
    metadata.validate(resource, new, causes)
    metadata.validate_update(new, old, causes)
    if resource.key in _CREATE:
        _CREATE[resource.key](new, causes)
    if resource.key in _UPDATE:
        _UPDATE[resource.key](new, old, causes)
    return causes
