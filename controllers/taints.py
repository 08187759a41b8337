"""Room controllers: taints and who tolerates them. Pure functions.

The scheduler asks before it places a Pod, taint_eviction.py asks whether a Pod may stay, and
node_lifecycle.py writes the taints. Source: API reference, Taint and Toleration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"

NO_SCHEDULE, PREFER_NO_SCHEDULE, NO_EXECUTE = "NoSchedule", "PreferNoSchedule", "NoExecute"


def tolerates(toleration: Object, taint: Object) -> bool:
    """An empty effect or (with Exists) an empty key stands for any."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Exists":
        return True
    return operator == "Equal" and (toleration.get("value") or "") == (taint.get("value") or "")


def is_tolerated(taint: Object, tolerations: Iterable[Object]) -> bool:
    """Whether any of them does."""
    return any(tolerates(toleration, taint) for toleration in tolerations)


def shown(taint: Object) -> str:
    """ "gpu=yes:NoSchedule", as kubectl writes it."""
    value = f"={taint['value']}" if taint.get("value") else ""
    return f"{taint.get('key', '')}{value}:{taint.get('effect', '')}"


def same_taint(one: Object, other: Object) -> bool:
    """A node has a taint once: by key and effect, whatever its value."""
    return one.get("key") == other.get("key") and one.get("effect") == other.get("effect")
