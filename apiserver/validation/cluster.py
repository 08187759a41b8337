"""Rules for Namespaces, Nodes, Events, Leases and bindings. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation` and `pkg/apis/coordination/validation`, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import (
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    is_same,
    not_negative,
    not_supported,
    required,
)
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def validate_namespace(namespace: Object) -> list[Cause]:
    causes: list[Cause] = []
    for name in (namespace.get("spec") or {}).get("finalizers") or ():
        causes += each_invalid("spec.finalizers", name, names.label_key(name))
        if "/" not in name and name != "kubernetes":
            why = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(invalid("spec.finalizers", name, why))
    return causes


def validate_node(node: Object) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate((node.get("spec") or {}).get("taints") or ()):
        at = f"spec.taints[{index}]"
        key, effect = taint.get("key", ""), taint.get("effect", "")
        causes += each_invalid(f"{at}.key", key, names.label_key(key))
        value = taint.get("value", "")
        causes += each_invalid(f"{at}.value", value, names.label_value(value))
        if not effect:
            causes.append(required(f"{at}.effect"))
        elif effect not in _EFFECTS:
            causes.append(not_supported(f"{at}.effect", effect, _EFFECTS))
        if (key, effect) in seen:
            causes.append(duplicate(at, key))
        seen.add((key, effect))
    return causes


def validate_node_update(new: Object, old: Object) -> list[Cause]:
    causes = validate_node(new)
    spec, was = new.get("spec") or {}, old.get("spec") or {}
    for name in ("podCIDR", "providerID"):
        if was.get(name) and spec.get(name) != was[name]:
            why = f'node updates may not change {name} except from "" to valid'
            path = "podCIDRs" if name == "podCIDR" else name
            causes.append(forbidden(f"spec.{path}", why))
    return causes


def validate_event(event: Object) -> list[Cause]:
    namespace = (event.get("metadata") or {}).get("namespace", "")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    if namespace == about or (not about and namespace in ("", "default")):
        return []
    return [invalid("involvedObject.namespace", about, "does not match event.namespace")]


def validate_event_update(new: Object, old: Object) -> list[Cause]:
    causes = validate_event(new)
    if not is_same(new.get("involvedObject"), old.get("involvedObject")):
        name = (new.get("involvedObject") or {}).get("name", "")
        causes.append(invalid("involvedObject", name, "field is immutable"))
    return causes


def validate_lease(lease: Object) -> list[Cause]:
    spec = lease.get("spec") or {}
    causes: list[Cause] = []
    duration = spec.get("leaseDurationSeconds")
    if duration is not None and duration <= 0:
        causes.append(invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    return causes + not_negative("spec.leaseTransitions", spec.get("leaseTransitions"))


def validate_binding(binding: Object) -> list[Cause]:
    target = binding.get("target") or {}
    causes: list[Cause] = []
    if target.get("kind", "") not in ("", "Node"):
        causes.append(not_supported("target.kind", target["kind"], ("Node", "<empty>")))
    if not target.get("name"):
        causes.append(required("target.name"))
    return causes
