"""What the cluster picture needs of an object: a few hundred bytes instead of some thousand.

Room apiserver/ui; called by feed.py, once for each change whoever looks. Pure functions. What a
Pod's state is called is what `kubectl get` calls it (tables.py).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from apiserver.tables import PodView
from podium.api import meta, quantity

Object = dict[str, Any]
log = logging.getLogger("apiserver.ui.picture")

REVISION = "deployment.kubernetes.io/revision"
MESSAGE_LENGTH = 300  # of an event; its page shows all of it


def record(resource: str, obj: Object) -> Object:
    """An object of one of `KINDS` as the picture wants it."""
    about = obj["metadata"]
    owner = meta.controller_of(obj)
    try:
        special = KINDS[resource](obj)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # One strange object shall not take the picture from everybody.
        log.warning("%s %s is drawn by its name alone: %r", resource, about["name"], error)
        special = KINDS[resource]({"metadata": about})
    return special | {
        "uid": about["uid"],
        "ns": about.get("namespace", ""),
        "name": about["name"],
        "rv": int(about["resourceVersion"]),
        "born": about.get("creationTimestamp"),
        "dying": about.get("deletionTimestamp"),
        "owner": owner["uid"] if owner else None,
    }


def _pod(pod: Object) -> Object:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    view = PodView(pod)
    return {
        "node": spec.get("nodeName"),
        "phase": status.get("phase"),
        "reason": view.reason,
        "ready": meta.is_pod_ready(pod),
        "containersReady": view.ready,
        "containers": view.total,
        "restarts": view.restarts,
        "ip": status.get("podIP"),
        "cpu": _requested(spec, "cpu", quantity.cpu_millicores),
        "memory": _requested(spec, "memory", quantity.memory_bytes),
    }


def _requested(spec: Object, name: str, read: Callable[[str], int]) -> int:
    asked = (c.get("resources") or {} for c in spec.get("containers") or ())
    return sum(read((r.get("requests") or {}).get(name, 0)) for r in asked)


def _deployment(deployment: Object) -> Object:
    spec, status = deployment.get("spec") or {}, deployment.get("status") or {}
    return _template(spec) | {
        "replicas": spec.get("replicas", 1),
        "ready": status.get("readyReplicas", 0),
        "updated": status.get("updatedReplicas", 0),
        "available": status.get("availableReplicas", 0),
        "paused": bool(spec.get("paused")),
        "revision": _revision(deployment),
    }


def _replicaset(replicaset: Object) -> Object:
    spec, status = replicaset.get("spec") or {}, replicaset.get("status") or {}
    return _template(spec) | {
        "replicas": spec.get("replicas", 1),
        "current": status.get("replicas", 0),
        "ready": status.get("readyReplicas", 0),
        "revision": _revision(replicaset),
    }


def _template(spec: Object) -> Object:
    containers = ((spec.get("template") or {}).get("spec") or {}).get("containers") or ()
    return {"images": [c.get("image", "") for c in containers]}


def _revision(obj: Object) -> str:
    return str((obj["metadata"].get("annotations") or {}).get(REVISION, ""))


def _node(node: Object) -> Object:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    allocatable, info = status.get("allocatable") or {}, status.get("nodeInfo") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    addresses = {a.get("type"): a.get("address") for a in status.get("addresses") or ()}
    return {
        "ready": conditions.get("Ready") == "True",
        "pressure": [t for t, s in conditions.items() if t.endswith("Pressure") and s == "True"],
        "unschedulable": bool(spec.get("unschedulable")),
        "cpu": quantity.cpu_millicores(allocatable.get("cpu", 0)),
        "memory": quantity.memory_bytes(allocatable.get("memory", 0)),
        "pods": int(quantity.parse(allocatable.get("pods", 0))),
        "ip": addresses.get("InternalIP", ""),
        "os": info.get("osImage", ""),
        "kernel": info.get("kernelVersion", ""),
        "runtime": info.get("containerRuntimeVersion", ""),
    }


def _event(event: Object) -> Object:
    about, series = event.get("involvedObject") or {}, event.get("series") or {}
    first = event.get("eventTime") or event.get("firstTimestamp")
    last = series.get("lastObservedTime") or event.get("lastTimestamp") or first
    source = (event.get("source") or {}).get("component") or event.get("reportingComponent") or ""
    return {
        "type": event.get("type", ""),
        "reason": event.get("reason", ""),
        "message": (event.get("message") or "").strip()[:MESSAGE_LENGTH],
        "count": series.get("count") or event.get("count") or 1,
        "last": last or event["metadata"].get("creationTimestamp"),
        "by": source,
        "about": {
            "kind": about.get("kind", ""),
            "ns": about.get("namespace", ""),
            "name": about.get("name", ""),
            "uid": about.get("uid", ""),
            "apiVersion": about.get("apiVersion", ""),
        },
    }


KINDS: dict[str, Callable[[Object], Object]] = {
    "nodes": _node,
    "deployments.apps": _deployment,
    "replicasets.apps": _replicaset,
    "pods": _pod,
    "events": _event,
}
