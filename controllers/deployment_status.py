"""Room controllers: a Deployment's status, worked out without any I/O.

Called by `deployment.py`. Reasons and messages are Kubernetes' own: `kubectl rollout status` and
many tools read them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from controllers.deployment_plan import counted, max_unavailable, replicas_of, total
from podium.api import meta

Object = dict[str, Any]

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
NEW_AVAILABLE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
PAUSED, RESUMED = "DeploymentPaused", "DeploymentResumed"
NO_DEADLINE_S = 2**31 - 1


def deadline_s(deployment: Object) -> int | None:
    """progressDeadlineSeconds; None if progress is not watched."""
    found = deployment["spec"].get("progressDeadlineSeconds")
    return None if found is None or found == NO_DEADLINE_S else int(found)


def with_counts(
    deployment: Object, new: Object | None, owned: list[Object], now: datetime
) -> Object:
    """The status as counted from the ReplicaSets, and the condition Available. Other conditions
    are those that the Deployment has."""
    found = deployment.get("status") or {}
    available = counted(owned, "availableReplicas")
    counts = {
        "replicas": counted(owned, "replicas"),
        "updatedReplicas": counted([new] if new else [], "replicas"),
        "readyReplicas": counted(owned, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, total(owned) - available),
    }
    status: Object = {
        "observedGeneration": deployment["metadata"].get("generation") or 1,
        **{name: count for name, count in counts.items() if count},
        "conditions": [dict(condition) for condition in found.get("conditions") or ()],
    }
    if found.get("collisionCount") is not None:
        status["collisionCount"] = found["collisionCount"]
    _set_available(status, available >= replicas_of(deployment) - max_unavailable(deployment), now)
    return status


def _set_available(status: Object, is_available: bool, now: datetime) -> None:
    if is_available:
        message = "Deployment has minimum availability."
        _put(status, _condition(AVAILABLE, "True", "MinimumReplicasAvailable", message, now))
    else:
        message = "Deployment does not have minimum availability."
        _put(status, _condition(AVAILABLE, "False", "MinimumReplicasUnavailable", message, now))


def note_new_replicaset(
    deployment: Object, status: Object, name: str, now: datetime, *, is_created: bool
) -> None:
    """Progressing because a ReplicaSet was created or found."""
    if deadline_s(deployment) is None:
        return
    if is_created:
        message = f'Created new replica set "{name}"'
        _put(status, _condition(PROGRESSING, "True", "NewReplicaSetCreated", message, now))
    elif find(status, PROGRESSING) is None:
        message = f'Found new replica set "{name}"'
        _put(status, _condition(PROGRESSING, "True", "FoundNewReplicaSet", message, now))


def note_failed_creation(deployment: Object, status: Object, message: str, now: datetime) -> None:
    """Not progressing because the ReplicaSet could not be created."""
    if deadline_s(deployment) is not None:
        _put(status, _condition(PROGRESSING, "False", "ReplicaSetCreateError", message, now))


def note_pause(deployment: Object, status: Object, now: datetime) -> None:
    """Progressing is unknown while paused, and right after."""
    reason = (find(status, PROGRESSING) or {}).get("reason")
    is_paused = bool(deployment["spec"].get("paused"))
    if deadline_s(deployment) is None or reason == TIMED_OUT or is_paused == (reason == PAUSED):
        return
    if is_paused:
        _put(status, _condition(PROGRESSING, "Unknown", PAUSED, "Deployment is paused", now))
    else:
        _put(status, _condition(PROGRESSING, "Unknown", RESUMED, "Deployment is resumed", now))


def note_progress(
    deployment: Object, new: Object | None, owned: list[Object], status: Object, now: datetime
) -> None:
    """Progressing by what the counts say now, compared with those in the Deployment's status."""
    current = find(status, PROGRESSING)
    if deadline_s(deployment) is None:
        _remove(status, PROGRESSING)
    elif not _was_complete(status, current):
        _judge_progress(deployment, new, status, current, now)
    failure = _failure(new, owned)
    if failure is None:
        _remove(status, REPLICA_FAILURE)
    else:
        _put(status, failure)


def _was_complete(status: Object, current: Object | None) -> bool:
    is_all_new = status.get("replicas", 0) == status.get("updatedReplicas", 0)
    return is_all_new and current is not None and current.get("reason") == NEW_AVAILABLE


def _judge_progress(
    deployment: Object, new: Object | None, status: Object, current: Object | None, now: datetime
) -> None:
    kind, about = ("ReplicaSet", new) if new else ("Deployment", deployment)
    name = f'{kind} "{about["metadata"]["name"]}"'
    if is_complete(deployment, status):
        message = f"{name} has successfully progressed."
        _put(status, _condition(PROGRESSING, "True", NEW_AVAILABLE, message, now))
    elif _has_progressed(deployment.get("status") or {}, status):
        message = f"{name} is progressing."
        moved = _condition(PROGRESSING, "True", "ReplicaSetUpdated", message, now)
        _replace(status, moved)  # even if it says the same: the deadline starts anew
    elif is_timed_out(deployment, status, now):
        message = f"{name} has timed out progressing."
        _put(status, _condition(PROGRESSING, "False", TIMED_OUT, message, now))


def is_complete(deployment: Object, status: Object) -> bool:
    """Whether all that is wanted is new and available, and nothing old is left."""
    wanted = replicas_of(deployment)
    names = ("replicas", "updatedReplicas", "availableReplicas")
    is_seen = (status.get("observedGeneration") or 0) >= (
        deployment["metadata"].get("generation") or 0
    )
    return is_seen and all((status.get(name) or 0) == wanted for name in names)


def _has_progressed(old: Object, new: Object) -> bool:
    def grew(name: str) -> bool:
        return (new.get(name) or 0) > (old.get(name) or 0)

    def outdated(status: Object) -> int:
        return (status.get("replicas") or 0) - (status.get("updatedReplicas") or 0)

    has_grown = grew("updatedReplicas") or grew("readyReplicas") or grew("availableReplicas")
    return has_grown or outdated(new) < outdated(old)


def is_timed_out(deployment: Object, status: Object, now: datetime) -> bool:
    """Whether nothing has moved for the whole deadline."""
    current, limit_s = find(status, PROGRESSING), deadline_s(deployment)
    if current is None or limit_s is None or current.get("reason") == NEW_AVAILABLE:
        return False
    if current.get("reason") == TIMED_OUT:
        return True
    return _last_moved(current) + timedelta(seconds=limit_s) < now


def seconds_until_deadline(deployment: Object, status: Object, now: datetime) -> float | None:
    """When to look whether it is stuck; None if it cannot be."""
    current, limit_s = find(status, PROGRESSING), deadline_s(deployment)
    if current is None or limit_s is None or deployment["spec"].get("paused"):
        return None
    if current.get("reason") in (TIMED_OUT, NEW_AVAILABLE):
        return None
    left_s = (_last_moved(current) - now).total_seconds() + limit_s
    return max(left_s, 0.0) + 1.0  # times are kept in whole seconds


def _last_moved(condition: Object) -> datetime:
    return meta.parse_time(condition.get("lastUpdateTime") or condition["lastTransitionTime"])


def _failure(new: Object | None, owned: Iterable[Object]) -> Object | None:
    """The new ReplicaSet's failure, or else any other's."""
    for rs in [new, *owned] if new else owned:
        found = find(rs.get("status") or {}, REPLICA_FAILURE)
        if found is not None:
            return {**found, "lastUpdateTime": found.get("lastTransitionTime")}
    return None


def conditions_differ(old: Object, new: Object) -> bool:
    """Whether somebody who waits for a condition has something to see."""

    def seen(status: Object) -> set[tuple[str, str, str]]:
        found = status.get("conditions") or ()
        return {(c["type"], c["status"], c.get("reason") or "") for c in found}

    return seen(old) != seen(new)


# --- conditions ---------------------------------------------------------------------------------


def find(status: Object, type_: str) -> Object | None:
    """The condition of a type."""
    return next((c for c in status.get("conditions") or () if c.get("type") == type_), None)


def _condition(type_: str, value: str, reason: str, message: str, now: datetime) -> Object:
    moment = meta.now(now)
    return {
        "type": type_,
        "status": value,
        "reason": reason,
        "message": message,
        "lastUpdateTime": moment,
        "lastTransitionTime": moment,
    }


def _put(status: Object, wanted: Object) -> None:
    """Set it, unless it has this value for this reason already."""
    current = find(status, wanted["type"])
    same = ("status", "reason")
    if current is None or any(current.get(name) != wanted.get(name) for name in same):
        _replace(status, wanted)


def _replace(status: Object, wanted: Object) -> None:
    current = find(status, wanted["type"])
    if current is not None and current["status"] == wanted["status"]:
        wanted = {**wanted, "lastTransitionTime": current["lastTransitionTime"]}
    _remove(status, wanted["type"])
    status["conditions"].append(wanted)


def _remove(status: Object, type_: str) -> None:
    kept = [c for c in status.get("conditions") or () if c.get("type") != type_]
    status["conditions"] = kept
