"""Room controllers: what a loop shows of a key to who has stopped it (podium/client/debugger.py).

Pure: what there is beside what is wished, and what the loop will probably do about it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from controllers import deployment_plan, replicaset_plan
from controllers.ownership_graph import Node
from podium.api import meta
from podium.client.debug_hook import Picture, Planned

Object = dict[str, Any]

MOST_PLANNED = 20


def of_deployment(deployment: Object, owned: list[Object]) -> Picture:
    """`owned` are its ReplicaSets."""
    new, old = deployment_plan.new_and_old(deployment, owned)
    spec = deployment["spec"]
    observed = {
        "replicaSets": [_replicaset(rs, is_new=rs is new) for rs in ([new] if new else []) + old],
        "status": deployment.get("status") or {},
    }
    desired = {
        "replicas": deployment_plan.replicas_of(deployment),
        "paused": bool(spec.get("paused")),
        "strategy": spec.get("strategy") or {},
        "images": [c.get("image") for c in spec["template"]["spec"]["containers"]],
    }
    return Picture(deployment, observed, desired, _rollout(deployment, new, old))


def _replicaset(rs: Object, *, is_new: bool) -> Object:
    status = rs.get("status") or {}
    return {
        "name": rs["metadata"]["name"],
        "isNew": is_new,
        "revision": deployment_plan.revision_of(rs),
        "wanted": deployment_plan.replicas_of(rs),
        "ready": status.get("readyReplicas") or 0,
        "available": status.get("availableReplicas") or 0,
    }


def _rollout(deployment: Object, new: Object | None, old: list[Object]) -> list[Planned]:
    namespace = deployment["metadata"]["namespace"]
    if new is None and not deployment["spec"].get("paused"):
        made = deployment_plan.new_replicaset(deployment, old, meta.owner_reference(deployment))
        return [Planned("create", "replicasets.apps", made["metadata"]["name"], namespace)]
    is_scaling = deployment_plan.needs_scaling(deployment, [*old, *([new] if new else [])])
    if new is None or is_scaling or deployment["spec"].get("paused"):
        steps = deployment_plan.plan_scaling(deployment, new, old)
    elif deployment_plan.is_rolling(deployment):
        steps = deployment_plan.plan_rollout(deployment, new, old)
    else:
        steps = deployment_plan.plan_up(deployment, new, old)
    return [
        Planned("patch", "replicasets.apps", step.replicaset["metadata"]["name"], namespace)
        for step in steps[:MOST_PLANNED]
    ]


def of_replicaset(replicaset: Object, pods: list[Object], now: datetime) -> Picture:
    """`pods` are those that it controls and that have not ended."""
    wanted = deployment_plan.replicas_of(replicaset)
    observed = {"pods": [_pod(pod) for pod in pods], "status": replicaset.get("status") or {}}
    desired = {"replicas": wanted, "missing": wanted - len(pods)}
    return Picture(replicaset, observed, desired, _pods_to_change(replicaset, pods, wanted, now))


def _pod(pod: Object) -> Object:
    return {
        "name": pod["metadata"]["name"],
        "node": pod["spec"].get("nodeName") or "",
        "phase": (pod.get("status") or {}).get("phase") or "",
        "ready": meta.is_pod_ready(pod),
    }


def _pods_to_change(
    replicaset: Object, pods: list[Object], wanted: int, now: datetime
) -> list[Planned]:
    about = replicaset["metadata"]
    if len(pods) <= wanted:
        made = Planned("create", "pods", f"{about['name']}-*", about["namespace"])
        return [made] * min(wanted - len(pods), MOST_PLANNED)
    doomed = replicaset_plan.pods_to_delete(pods, len(pods) - wanted, pods, now)
    names = [pod["metadata"]["name"] for pod in doomed[:MOST_PLANNED]]
    return [Planned("delete", "pods", name, about["namespace"]) for name in names]


def of_owned(node: Node | None, dependents: list[Node], subject: Object | None) -> Picture:
    """An object as the garbage collector sees it."""
    if node is None:
        return Picture(None)
    observed = {
        "owners": [dict(one) for one in node.owners],
        "dependents": [f"{one.resource.kind} {one.key}" for one in dependents],
        "finalizers": list(node.finalizers),
        "isDeleting": node.is_deleting,
    }
    return Picture(subject, observed, {})
