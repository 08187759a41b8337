"""Room controllers: what a ReplicaSet needs, worked out without any I/O.

Called by `replicaset.py`. Source of the ranks: the Kubernetes documentation of ReplicaSet ("scaling
down") and of the annotation `controller.kubernetes.io/pod-deletion-cost`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from podium.api.meta import condition, is_pod_active, is_pod_ready, parse_time, set_condition

Object = dict[str, Any]

DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
REPLICA_FAILURE = "ReplicaFailure"
PHASE_RANK = {"Pending": 0, "Unknown": 1, "Running": 2}
# The counts that are left out of the status when they are zero.
OPTIONAL_COUNTS = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")


# --- which Pods to delete -----------------------------------------------------------------------


def pods_to_delete(
    pods: list[Object], count: int, related: Iterable[Object], now: datetime
) -> list[Object]:
    """The `count` Pods that are missed least.

    `related` are the Pods of all ReplicaSets with the same owner: where many of them stand on one
    node, one of ours there goes first.
    """
    if count >= len(pods):
        return list(pods)
    crowd = Counter(node_of(pod) for pod in related if is_pod_active(pod))
    return sorted(pods, key=lambda pod: deletion_rank(pod, crowd[node_of(pod)], now))[:count]


def deletion_rank(pod: Object, neighbours: int, now: datetime) -> tuple[Any, ...]:
    """Sorts Pods, the first to be deleted first.

    Unassigned before assigned, Pending before Unknown before Running, not ready before ready, cheap
    before dear, many neighbours before few, ready since a short time before ready since long,
    restarted often before seldom, young before old. Times count by their order of magnitude, so
    that it is not always the youngest that goes.
    """
    is_ready = is_pod_ready(pod)
    return (
        bool(node_of(pod)),
        PHASE_RANK.get((pod.get("status") or {}).get("phase") or "", 0),
        is_ready,
        deletion_cost(pod),
        -neighbours,
        age_magnitude(ready_since(pod), now) if is_ready else 0,
        -restarts(pod),
        age_magnitude(_time(pod["metadata"].get("creationTimestamp")), now),
        pod["metadata"]["uid"],
    )


def node_of(pod: Object) -> str:
    """ "" when it is not bound yet."""
    return str((pod.get("spec") or {}).get("nodeName") or "")


def deletion_cost(pod: Object) -> int:
    """As annotated; 0 if it is not, or not as a 32-bit number."""
    text = (pod["metadata"].get("annotations") or {}).get(DELETION_COST, "0")
    try:
        cost = int(text)
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


def restarts(pod: Object) -> int:
    """Of the container that was restarted most often."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((s.get("restartCount") or 0 for s in statuses), default=0)


def ready_since(pod: Object) -> datetime | None:
    """When it became ready; None if it is not."""
    found = condition(pod, "Ready")
    if found is None or found.get("status") != "True":
        return None
    return _time(found.get("lastTransitionTime"))


def age_magnitude(moment: datetime | None, now: datetime) -> int:
    """The logarithm (base 2, of nanoseconds) of an age; -1 for none or the future."""
    age_s = (now - moment).total_seconds() if moment else 0.0
    return int(math.log2(age_s * 1e9)) if age_s > 0 else -1


# --- status -------------------------------------------------------------------------------------


def next_status(
    replicaset: Object, pods: list[Object], failure: tuple[str, str] | None, now: datetime
) -> Object:
    """The status for these (active) Pods; `failure`: the reason and message of a ReplicaFailure."""
    spec = replicaset["spec"]
    wanted_labels = (spec["template"].get("metadata") or {}).get("labels") or {}
    min_ready_s = spec.get("minReadySeconds") or 0
    status: Object = {
        "replicas": len(pods),
        "fullyLabeledReplicas": sum(has_labels(pod, wanted_labels) for pod in pods),
        "readyReplicas": sum(map(is_pod_ready, pods)),
        "availableReplicas": sum(is_available(pod, min_ready_s, now) for pod in pods),
        "observedGeneration": replicaset["metadata"].get("generation") or 1,
    }
    for name in OPTIONAL_COUNTS:
        if not status[name]:
            del status[name]
    conditions = _conditions(replicaset, failure, now)
    return status | {"conditions": conditions} if conditions else status


def _conditions(replicaset: Object, failure: tuple[str, str] | None, now: datetime) -> list[Object]:
    found = list((replicaset.get("status") or {}).get("conditions") or ())
    if failure is None:
        return [c for c in found if c.get("type") != REPLICA_FAILURE]
    if any(c.get("type") == REPLICA_FAILURE for c in found):
        return found  # the first failure stays until it is over
    status: Object = {"conditions": found}
    set_condition(status, REPLICA_FAILURE, "True", *failure, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return found


def has_labels(pod: Object, labels: dict[str, str]) -> bool:
    found = pod["metadata"].get("labels") or {}
    return all(found.get(key) == value for key, value in labels.items())


def is_available(pod: Object, min_ready_s: int, now: datetime) -> bool:
    """Ready, and for long enough."""
    since = ready_since(pod)
    if since is None:
        return is_pod_ready(pod) and not min_ready_s
    return not min_ready_s or since + timedelta(seconds=min_ready_s) < now


def seconds_until_available(
    pods: Iterable[Object], min_ready_s: int, now: datetime
) -> float | None:
    """When the next ready Pod will count as available; None if none will."""
    waits = [
        (since - now).total_seconds() + min_ready_s
        for pod in pods
        if (since := ready_since(pod)) and not is_available(pod, min_ready_s, now)
    ]
    return max(min(waits), 0.0) + 0.001 if waits else None


# --- Pods ---------------------------------------------------------------------------------------


def pod_from_template(replicaset: Object, reference: Object) -> Object:
    """The Pod to create; the server gives it its name."""
    template = replicaset["spec"]["template"]
    given = template.get("metadata") or {}
    meta: Object = {
        "generateName": f"{replicaset['metadata']['name']}-",
        "namespace": replicaset["metadata"].get("namespace"),
        "ownerReferences": [reference],
    }
    for name in ("labels", "annotations", "finalizers"):
        if given.get(name):
            meta[name] = given[name]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}


def what_matters(pod: Object) -> tuple[Any, ...]:
    """What a ReplicaSet looks at in a Pod: a change in nothing else needs a reconcile."""
    meta, status = pod["metadata"], pod.get("status") or {}
    return (
        meta.get("labels"),
        meta.get("ownerReferences"),
        meta.get("deletionTimestamp"),
        status.get("phase") in ("Succeeded", "Failed"),
        ready_since(pod),
        is_pod_ready(pod),
    )


def _time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
