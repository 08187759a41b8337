"""Rules for Faults. Room: the API server."""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import forbidden, in_range, invalid, not_supported, required
from podium.api import quantity
from podium.api.faults import DELAYED, LONGEST_DELAY_MS, LONGEST_S, MOST_OPERATIONS, TARGETS
from podium.api.scheme import resource
from podium.api.status import Cause

Object = dict[str, Any]

_ONLY_OF = {
    "delayMilliseconds": DELAYED,
    "memory": {"FillMemory"},
    "bytesPerSecond": {"SlowDisk"},
    "operationsPerSecond": {"SlowDisk"},
}


def validate_fault(fault: Object) -> list[Cause]:
    spec = fault.get("spec") or {}
    type_ = spec.get("type") or ""
    if not type_:
        return [required("spec.type")]
    if type_ not in TARGETS:
        return [not_supported("spec.type", type_, TARGETS)]
    return [
        *in_range("spec.seconds", spec.get("seconds") or 0, 1, LONGEST_S),
        *_target(type_, spec.get("target") or ""),
        *_of_another_type(type_, spec),
        *_delay(type_, spec),
        *_memory(spec),
        *_rates(spec),
    ]


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
    if type_ not in DELAYED:
        return []
    delay = spec.get("delayMilliseconds") or 0
    return in_range("spec.delayMilliseconds", delay, 1, LONGEST_DELAY_MS)


def _memory(spec: Object) -> list[Cause]:
    if spec["type"] != "FillMemory":
        return []
    if not spec.get("memory"):
        return [required("spec.memory", "must say how much")]
    return _positive("memory", spec)


def _rates(spec: Object) -> list[Cause]:
    """Of SlowDisk, which has one of them at least, by default."""
    causes = _positive("bytesPerSecond", spec) if spec.get("bytesPerSecond") else []
    operations = spec.get("operationsPerSecond") or 0
    return causes + in_range("spec.operationsPerSecond", operations, 0, MOST_OPERATIONS)


def _positive(name: str, spec: Object) -> list[Cause]:
    if quantity.memory_bytes(spec[name]) > 0:
        return []
    return [invalid(f"spec.{name}", spec[name], "must be greater than 0")]


def _of_another_type(type_: str, spec: Object) -> list[Cause]:
    return [
        forbidden(f"spec.{name}", f"may not be set for {type_}")
        for name, types in _ONLY_OF.items()
        if spec.get(name) and type_ not in types
    ]
