"""What a DELETE does to an object: at once, after a grace period, or once its finalizers are done.

Room apiserver; called by verbs.py. Pure functions on a copy of the object.
Source: apiserver `pkg/registry/rest/delete.go` and `generic/registry/store.go`, v1.32.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from apiserver.errors import ApiError
from apiserver.strategies import is_finished, without
from podium.api import meta, status
from podium.api.scheme import Resource

Object = dict[str, Any]
Outcome = Literal["gone", "changed", "unchanged"]

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
DEFAULT_GRACE_S = 30
IMMORTAL_NAMESPACES = ("default", "kube-system", "kube-public")
_POLICIES = ("Background", "Foreground", "Orphan")


def check_options(resource: Resource, options: Object) -> None:
    """ApiError 422 for options that make no sense."""
    policy = options.get("propagationPolicy")
    if policy is not None and options.get("orphanDependents") is not None:
        raise _invalid_options("propagationPolicy: Invalid value: "
                               f'"{policy}": orphanDependents and deletionPropagation cannot be '
                               f'both set')  # fmt: skip
    if policy is not None and policy not in _POLICIES:
        supported = '"Foreground","Background","Orphan", or nil'
        raise _invalid_options(
            f'propagationPolicy: Invalid value: "{policy}": must be one of {supported}'
        )


def _invalid_options(cause: str) -> ApiError:
    details = {"group": "meta.k8s.io", "kind": "DeleteOptions"}
    return ApiError(
        status.status(422, "Invalid", f'DeleteOptions.meta.k8s.io "" is invalid: {cause}', details)
    )


def check_preconditions(resource: Resource, obj: Object, options: Object) -> None:
    """409 when the object is not the one that the client means."""
    wanted = options.get("preconditions") or {}
    metadata = obj["metadata"]
    for field, label, precondition in (
        ("uid", "UID", wanted.get("uid")),
        ("resourceVersion", "ResourceVersion", wanted.get("resourceVersion")),
    ):
        if precondition is not None and precondition != metadata[field]:
            why = (
                f"Precondition failed: {label} in precondition: {precondition}, {label} in "
                f"object meta: "
                f"{metadata[field]}"
            )
            raise ApiError(status.conflict(resource, metadata["name"], why))


def mark(resource: Resource, obj: Object, options: Object, now: datetime | None = None) -> Outcome:
    """Change `obj` as this DELETE asks. "gone": it can be removed now; "changed": it waits for its
    grace period or finalizers; "unchanged": it waits already."""
    if resource.key == "namespaces" and obj["metadata"]["name"] in IMMORTAL_NAMESPACES:
        raise ApiError(
            status.forbidden(resource, obj["metadata"]["name"], "this namespace may not be deleted")
        )
    moment = now or datetime.now(UTC)
    before = _marks(obj)
    _set_finalizers(obj, options)
    grace_s = _grace(resource, obj, options)
    _set_deadline(obj, grace_s, moment)
    if resource.key == "namespaces":
        obj.setdefault("status", {})["phase"] = "Terminating"
    if is_finished(resource, obj):
        return "gone"
    if _marks(obj) == before:
        return "unchanged"
    if not before[0] and obj["metadata"].get("generation"):
        obj["metadata"]["generation"] += 1
    return "changed"


def _marks(obj: Object) -> tuple[Any, ...]:
    metadata = obj["metadata"]
    return (metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds"),
            list(metadata.get("finalizers") or ()))  # fmt: skip


def _set_finalizers(obj: Object, options: Object) -> None:
    """What happens to the dependents is left to the garbage collector, as finalizers."""
    metadata = obj["metadata"]
    policy = options.get("propagationPolicy")
    if options.get("orphanDependents") is not None:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if policy is None:
        return
    kept = without(metadata.get("finalizers") or (), ORPHAN, FOREGROUND)
    if policy == "Orphan":
        kept.append(ORPHAN)
    elif policy == "Foreground":
        kept.append(FOREGROUND)
    if kept:
        metadata["finalizers"] = kept
    else:
        metadata.pop("finalizers", None)


def _grace(resource: Resource, obj: Object, options: Object) -> int:
    """Seconds; 0 for everything but Pods that may be running somewhere."""
    if resource.key != "pods":
        return 0
    spec = obj.get("spec") or {}
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in (
        "Succeeded",
        "Failed",
    ):
        return 0
    wanted = options.get("gracePeriodSeconds")
    if wanted is None:
        wanted = spec.get("terminationGracePeriodSeconds", DEFAULT_GRACE_S)
    return max(1, int(wanted)) if int(wanted) < 0 else int(wanted)


def _set_deadline(obj: Object, grace_s: int, moment: datetime) -> None:
    """A second DELETE may shorten the grace period, never lengthen it."""
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata:
        have_s = int(metadata.get("deletionGracePeriodSeconds") or 0)
        if grace_s >= have_s:
            return
        began = meta.parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=have_s)
        moment = (
            began
            if began + timedelta(seconds=grace_s) > moment
            else moment - timedelta(seconds=grace_s)
        )
    at = moment + timedelta(seconds=grace_s)
    metadata["deletionTimestamp"] = meta.now(
        at.replace(second=math.floor(at.second), microsecond=0)
    )
    metadata["deletionGracePeriodSeconds"] = grace_s
