"""Rules for Faults. Room: the API server."""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import forbidden, in_range, invalid, not_supported, required
from podium.api import quantity
from podium.api.faults import DELAYED, LONGEST_DELAY_MS, LONGEST_S, TARGETS
from podium.api.scheme import resource
from podium.api.status import Cause

Object = dict[str, Any]


def validate_fault(fault: Object) -> list[Cause]:
    spec = fault.get("spec") or {}
    type_ = spec.get("type") or ""
    if not type_:
        return [required("spec.type")]
    if type_ not in TARGETS:
        return [not_supported("spec.type", type_, TARGETS)]
    causes = in_range("spec.seconds", spec.get("seconds") or 0, 1, LONGEST_S)
    return causes + _target(type_, spec.get("target") or "") + _delay(type_, spec) + _memory(spec)


def validate_fault_update(new: Object, old: Object) -> list[Cause]:
    if new.get("spec") == old.get("spec"):
        return []
    return [forbidden("spec", "may not be changed: delete the fault, and make another")]


def _target(type_: str, target: str) -> list[Cause]:
    kind = TARGETS[type_]
    if not kind:
        return [forbidden("spec.target", f"may not be set for {type_}")] if target else []
    if not target:
        return [] if kind.startswith("?") else [required("spec.target", f"must name a {kind}")]
    if kind == "?resource":
        try:
            resource(target)
        except LookupError:
            return [invalid("spec.target", target, "must be a resource, such as pods")]
    return []


def _delay(type_: str, spec: Object) -> list[Cause]:
    delay = spec.get("delayMilliseconds") or 0
    if type_ in DELAYED:
        return in_range("spec.delayMilliseconds", delay, 1, LONGEST_DELAY_MS)
    why = f"may not be set for {type_}"
    return [forbidden("spec.delayMilliseconds", why)] if delay else []


def _memory(spec: Object) -> list[Cause]:
    memory = spec.get("memory")
    if spec["type"] != "FillMemory":
        why = f"may not be set for {spec['type']}"
        return [forbidden("spec.memory", why)] if memory else []
    if not memory:
        return [required("spec.memory", "must say how much")]
    if quantity.memory_bytes(memory) <= 0:
        return [invalid("spec.memory", memory, "must be greater than 0")]
    return []
