"""Nodes, Leases and Events."""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import duplicate, each, forbidden, invalid, unsupported
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def validate_node(node: Object, causes: list[Cause]) -> None:
    seen = set()
    for index, taint in enumerate((node.get("spec") or {}).get("taints") or []):
        at = f"spec.taints[{index}]"
        each(f"{at}.key", taint.get("key", ""), names.label_key(taint.get("key", "")), causes)
        if taint.get("value"):
            each(f"{at}.value", taint["value"], names.label_value(taint["value"]), causes)
        if taint.get("effect") not in EFFECTS:
            causes.append(unsupported(f"{at}.effect", taint.get("effect", ""), EFFECTS))
        identity = (taint.get("key"), taint.get("effect"))
        if identity in seen:
            causes.append(duplicate(at, taint))
        seen.add(identity)


def validate_node_update(new: Object, old: Object, causes: list[Cause]) -> None:
    before, after = (old.get("spec") or {}).get("podCIDR"), (new.get("spec") or {}).get("podCIDR")
    if before and after != before:
        causes.append(forbidden("spec.podCIDRs", "node updates may not change podCIDR except from \"\" to valid"))


def validate_lease(lease: Object, causes: list[Cause]) -> None:
    spec = lease.get("spec") or {}
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        causes.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if spec.get("leaseTransitions", 0) < 0:
        causes.append(
            invalid("spec.leaseTransitions", spec["leaseTransitions"], "must be greater than or equal to 0")
        )


def validate_event(event: Object, causes: list[Cause]) -> None:
    about, namespace = event.get("involvedObject") or {}, event["metadata"].get("namespace", "")
    if (about.get("namespace") or "default") != namespace:
        causes.append(invalid("involvedObject.namespace", about.get("namespace", ""), "does not match event.namespace"))
    if event.get("type") not in ("Normal", "Warning"):
        causes.append(invalid("type", event.get("type", ""), "has invalid value: " + str(event.get("type", ""))))
