"""/podium/v1/cluster: nodes, Pods and their owners at a moment, small enough to be drawn at once.

Room apiserver/time_travel; read through the same pages as every LIST.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from apiserver import listing, tables
from apiserver.storage import Record, Store
from apiserver.time_travel.moments import Moment, reach
from podium.api import meta, scheme
from podium.api.scheme import Resource, resource

Object = dict[str, Any]

NODES, PODS = resource("nodes"), resource("pods")
OWNERS = tuple(r for r in scheme.all_resources() if "all" in r.categories and r != PODS)
KINDS = (NODES, PODS, *OWNERS)


def picture(store: Store, moment: Moment) -> Object:
    """The answer. Raises Compacted."""
    known = reach(store)
    now = moment.time or datetime.now(UTC)

    def of(kind: Resource, shown: Callable[[Resource, Object], Object]) -> list[Object]:
        return [
            _common(kind, record) | shown(kind, record.object)
            for record in _records(store, kind, moment.revision)
        ]

    return {
        "kind": "ClusterPicture", "apiVersion": "podium.dev/v1", "at": moment.to_json(),
        "oldest": known.oldest.to_json(), "current": known.current.to_json(),
        "nodes": of(NODES, lambda kind, node: _node(kind, node, now)),
        "pods": of(PODS, lambda kind, pod: _pod(kind, pod, now)),
        "owners": [item for kind in OWNERS for item in of(kind, _owner)],
    }  # fmt: skip


def _records(store: Store, kind: Resource, revision: int) -> Iterator[Record]:
    for page in listing.pages(store, kind, listing.Filter(None), at=revision):
        yield from page.records


def _common(kind: Resource, record: Record) -> Object:
    about = record.object["metadata"]
    found: Object = {
        "name": record.name, "uid": about.get("uid"), "revision": record.rv,
        "created": about.get("creationTimestamp"),
    }  # fmt: skip
    return {"namespace": record.namespace, **found} if kind.namespaced else found


def _node(kind: Resource, node: Object, now: datetime) -> Object:
    ready = meta.condition(node, "Ready") or {}
    return {
        "ready": ready.get("status") == "True",
        "unschedulable": bool((node.get("spec") or {}).get("unschedulable")),
        "status": tables.row(kind, node, now)[1],
    }


def _pod(kind: Resource, pod: Object, now: datetime) -> Object:
    spec, found = pod.get("spec") or {}, pod.get("status") or {}
    _, ready, word, restarts, *_ = tables.row(kind, pod, now)
    return {
        "node": spec.get("nodeName"), "phase": found.get("phase"), "status": word, "ready": ready,
        "isReady": meta.is_pod_ready(pod), "restarts": int(str(restarts).split()[0]),
        "deleting": bool(pod["metadata"].get("deletionTimestamp")), "owner": _owner_of(pod),
    }  # fmt: skip


def _owner(kind: Resource, obj: Object) -> Object:
    spec, found = obj.get("spec") or {}, obj.get("status") or {}
    desired = found.get("desiredNumberScheduled", spec.get("replicas", spec.get("completions")))
    ready = found.get("numberReady", found.get("readyReplicas", found.get("ready")))
    return {
        "resource": kind.key, "kind": kind.kind, "desired": desired, "ready": ready or 0,
        "deleting": bool(obj["metadata"].get("deletionTimestamp")), "owner": _owner_of(obj),
    }  # fmt: skip


def _owner_of(obj: Object) -> str | None:
    reference = meta.controller_of(obj)
    return None if reference is None else str(reference["uid"])
