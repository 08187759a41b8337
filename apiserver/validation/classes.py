"""Rules for PriorityClasses and RuntimeClasses. Room: the API server.

Source: Kubernetes' `pkg/apis/scheduling/validation` and `pkg/apis/node/validation`, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    immutable,
    invalid,
    not_supported,
    required,
)
from podium.api import names, quantity
from podium.api.status import Cause

Object = dict[str, Any]

SYSTEM_PRIORITIES = {
    "system-node-critical": 2_000_001_000,
    "system-cluster-critical": 2_000_000_000,
}
_HIGHEST_OF_USERS = 1_000_000_000
_POLICIES = ("Never", "PreemptLowerPriority")


def validate_priority_class(found: Object) -> list[Cause]:
    name, value = found["metadata"].get("name", ""), int(found.get("value") or 0)
    causes: list[Cause] = []
    if name.startswith("system-"):
        if SYSTEM_PRIORITIES.get(name) != value:
            why = (
                "priority class names with 'system-' prefix are reserved for system use only. "
                f"error: {name} is not a known system priority class"
            )
            causes.append(forbidden("metadata.name", why))
    elif value > _HIGHEST_OF_USERS:
        why = f"maximum allowed value of a user defined priority is {_HIGHEST_OF_USERS}"
        causes.append(forbidden("value", why))
    policy = found.get("preemptionPolicy")
    if policy is not None and policy not in _POLICIES:
        causes.append(not_supported("preemptionPolicy", policy, _POLICIES))
    return causes


def validate_priority_class_update(new: Object, old: Object) -> list[Cause]:
    causes: list[Cause] = []
    if int(new.get("value") or 0) != int(old.get("value") or 0):
        causes.append(forbidden("value", "may not be changed in an update."))
    return causes + immutable(
        "preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy")
    )


def validate_runtime_class(found: Object) -> list[Cause]:
    handler = found.get("handler") or ""
    causes = [] if handler else [required("handler")]
    if handler:
        causes += each_invalid("handler", handler, names.dns_label(handler))
    for name, value in ((found.get("overhead") or {}).get("podFixed") or {}).items():
        if quantity.parse(value) < 0:
            why = "must be greater than or equal to 0"
            causes.append(invalid(f"overhead.podFixed[{name}]", str(value), why))
    scheduling = found.get("scheduling") or {}
    for key, value in (scheduling.get("nodeSelector") or {}).items():
        at = f"scheduling.nodeSelector[{key}]"
        causes += each_invalid("scheduling.nodeSelector", key, names.label_key(key))
        causes += each_invalid(at, value, names.label_value(value))
    return causes


def validate_runtime_class_update(new: Object, old: Object) -> list[Cause]:
    causes = validate_runtime_class(new)
    return causes + immutable("handler", new.get("handler"), old.get("handler"))
