"""Objects for tests, in wire form, with what a stored object has (uid, resourceVersion).

a_pod(name="web", cpu="500m", node="a", ready=True)
a_deployment(name="web", replicas=3)
"""

from __future__ import annotations

import itertools
import uuid
from typing import Any

Object = dict[str, Any]

_versions = itertools.count(1)
CREATED = "2026-11-24T01:02:03Z"


def a_meta(name: str, namespace: str | None = "default", **more: Any) -> Object:
    meta: Object = {
        "name": name,
        "uid": str(uuid.uuid4()),
        "resourceVersion": str(next(_versions)),
        "creationTimestamp": CREATED,
    }
    if namespace:
        meta["namespace"] = namespace
    return meta | {key: value for key, value in more.items() if value is not None}


def a_pod_spec(
    *,
    cpu: str | None = None,
    memory: str | None = None,
    image: str = "host",
    node: str | None = None,
    **more: Any,
) -> Object:
    requests = {k: v for k, v in (("cpu", cpu), ("memory", memory)) if v}
    container: Object = {"name": "main", "image": image, "command": ["sleep", "infinity"]}
    if requests:
        container["resources"] = {"requests": requests}
    spec: Object = {"containers": [container]}
    if node:
        spec["nodeName"] = node
    return spec | more


def a_pod(
    name: str = "web",
    namespace: str = "default",
    *,
    labels: dict[str, str] | None = None,
    owner: Object | None = None,
    phase: str | None = None,
    ready: bool | None = None,
    ready_since: str = CREATED,
    cpu: str | None = None,
    memory: str | None = None,
    node: str | None = None,
    meta: Object | None = None,
    **spec: Any,
) -> Object:
    """A stored Pod; `ready` sets phase Running and the condition, `meta` adds to its metadata."""
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": a_meta(name, namespace, labels=labels or {"app": "web"}) | (meta or {}),
        "spec": a_pod_spec(cpu=cpu, memory=memory, node=node, **spec),
        "status": {"phase": phase or ("Pending" if ready is None else "Running")},
    }
    if owner is not None:
        pod["metadata"]["ownerReferences"] = [an_owner(owner)]
    if ready is not None:
        pod["status"] |= a_readiness(ready, ready_since)
    return pod


def a_readiness(ready: bool = True, since: str = CREATED) -> Object:
    """What a kubelet would write into a Pod's status."""
    value = "True" if ready else "False"
    condition = {"type": "Ready", "status": value, "lastTransitionTime": since}
    return {"phase": "Running", "conditions": [condition]}


def an_owner(owner: Object, controller: bool = True) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def a_template(labels: dict[str, str] | None = None, **spec: Any) -> Object:
    return {"metadata": {"labels": labels or {"app": "web"}}, "spec": a_pod_spec(**spec)}


def a_replicaset(
    name: str = "web",
    replicas: int = 3,
    namespace: str = "default",
    *,
    labels: dict[str, str] | None = None,
    owner: Object | None = None,
    template: Object | None = None,
    annotations: dict[str, str] | None = None,
    status: Object | None = None,
    meta: Object | None = None,
    **spec: Any,
) -> Object:
    labels = labels or {"app": "web"}
    found: Object = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": a_meta(name, namespace, labels=labels, annotations=annotations, generation=1)
        | (meta or {}),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template or a_template(labels),
        }
        | spec,
        "status": status or {"replicas": 0},
    }
    if owner is not None:
        found["metadata"]["ownerReferences"] = [an_owner(owner)]
    return found


def a_deployment(
    name: str = "web",
    replicas: int = 3,
    namespace: str = "default",
    *,
    labels: dict[str, str] | None = None,
    template: Object | None = None,
    max_surge: int | str = "25%",
    max_unavailable: int | str = "25%",
    strategy: Object | None = None,
    meta: Object | None = None,
    **spec: Any,
) -> Object:
    labels = labels or {"app": "web"}
    rolling = {"maxSurge": max_surge, "maxUnavailable": max_unavailable}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": a_meta(name, namespace, labels=labels, generation=1) | (meta or {}),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": template or a_template(labels),
            "strategy": strategy or {"type": "RollingUpdate", "rollingUpdate": rolling},
            "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 10,
        }
        | spec,
        "status": {},
    }


def a_node(
    name: str = "node-1",
    *,
    cpu: str = "4",
    memory: str = "8Gi",
    pods: str = "110",
    ready: bool = True,
    labels: dict[str, str] | None = None,
    taints: list[Object] | None = None,
    unschedulable: bool = False,
    meta: Object | None = None,
) -> Object:
    capacity = {"cpu": cpu, "memory": memory, "pods": pods}
    spec: Object = {}
    if taints:
        spec["taints"] = taints
    if unschedulable:
        spec["unschedulable"] = True
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": "KubeletReady",
        "lastHeartbeatTime": CREATED,
        "lastTransitionTime": CREATED,
    }
    all_labels = {"kubernetes.io/hostname": name} | (labels or {})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": a_meta(name, None, labels=all_labels) | (meta or {}),
        "spec": spec,
        "status": {"capacity": capacity, "allocatable": dict(capacity), "conditions": [condition]},
    }


def a_namespace(name: str = "lab", **meta: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": a_meta(name, None, **meta),
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def unstored(obj: Object) -> Object:
    """The object as one would create it: without what the server gives."""
    given = ("uid", "resourceVersion", "creationTimestamp", "generation")
    meta = {key: value for key, value in obj["metadata"].items() if key not in given}
    return {key: value for key, value in obj.items() if key != "status"} | {"metadata": meta}
