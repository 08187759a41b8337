"""What every object has: names, owners, conditions, times. Objects are dicts in wire form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]


def key_of(obj: Object) -> str:
    """ "namespace/name", or "name" for what has no namespace."""
    meta = obj["metadata"]
    namespace = meta.get("namespace")
    return f"{namespace}/{meta['name']}" if namespace else str(meta["name"])


def split_key(key: str) -> tuple[str | None, str]:
    """The inverse of `key_of`."""
    namespace, _, name = key.rpartition("/")
    return namespace or None, name


def now(moment: datetime | None = None) -> str:
    """ "2026-11-24T01:02:03Z": metav1.Time."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


def now_micro(moment: datetime | None = None) -> str:
    """ "2026-11-24T01:02:03.000000Z": metav1.MicroTime, six digits."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """Either kind of time; raises ValueError."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError(f"a time without a zone: {text}")
    return moment


def controller_of(obj: Object) -> dict[str, Any] | None:
    """The ownerReference with controller: true."""
    for reference in obj["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            return dict(reference)
    return None


def owner_reference(owner: Object, controller: bool = True) -> dict[str, Any]:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": controller,
        "blockOwnerDeletion": controller,
    }


def condition(obj: Object, type_: str) -> dict[str, Any] | None:
    """The object's status condition of that type."""
    for found in (obj.get("status") or {}).get("conditions") or ():
        if found.get("type") == type_:
            return dict(found)
    return None


def set_condition(  # noqa: PLR0917 - the order in which Kubernetes prints them
    status: dict[str, Any],
    type_: str,
    value: str,
    reason: str = "",
    message: str = "",
    now: str = "",
    **extra: Any,
) -> bool:
    """Set a condition in place; True when anything but the time changed.

    lastTransitionTime moves only when the value ("True", "False", "Unknown") does. `extra` goes in
    as it is ("lastUpdateTime").
    """
    conditions = status.setdefault("conditions", [])
    wanted = {"type": type_, "status": value, **{k: v for k, v in extra.items() if v is not None}}
    if reason:
        wanted["reason"] = reason
    if message:
        wanted["message"] = message
    for index, found in enumerate(conditions):
        if found.get("type") != type_:
            continue
        moved = found.get("status") != value
        wanted["lastTransitionTime"] = now if moved else found.get("lastTransitionTime", now)
        times = ("lastTransitionTime", "lastUpdateTime", "lastProbeTime", "lastHeartbeatTime")
        same = {k: v for k, v in found.items() if k not in times and v is not None} == {
            k: v for k, v in wanted.items() if k not in times
        }
        if same:
            return False
        conditions[index] = wanted
        return True
    wanted["lastTransitionTime"] = now
    conditions.append(wanted)
    return True


def is_pod_ready(pod: Object) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.get("status") == "True"


def is_pod_active(pod: Object) -> bool:
    """Neither ended nor ending."""
    phase = (pod.get("status") or {}).get("phase")
    return phase not in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp")
