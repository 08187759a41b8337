"""Rules for Breakpoints. Room: the API server."""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    immutable,
    in_range,
    invalid,
    not_negative,
    not_supported,
    required,
)
from apiserver.validation.metadata import label_selector
from podium.api import debugging, names
from podium.api.expression import Expression, ExpressionError
from podium.api.scheme import all_resources, resource
from podium.api.status import Cause

Object = dict[str, Any]


def validate_breakpoint(found: Object) -> list[Cause]:
    spec = found.get("spec") or {}
    causes = _controller(spec)
    causes += _selector(spec)
    causes += _condition(spec)
    causes += not_negative("spec.skipHits", spec.get("skipHits"))
    seconds = spec.get("maxStopSeconds")
    if seconds is not None:
        causes += in_range("spec.maxStopSeconds", seconds, 1, debugging.LONGEST_STOP_S)
    return causes + _action(spec.get("action"))


def validate_breakpoint_update(new: Object, old: Object) -> list[Cause]:
    causes = validate_breakpoint(new)
    return causes + immutable("spec.controller", *(o["spec"].get("controller") for o in (new, old)))


def _controller(spec: Object) -> list[Cause]:
    controller = spec.get("controller") or ""
    if not controller:
        return [required("spec.controller")]
    node = debugging.node_of(controller)
    if node is not None:
        return each_invalid("spec.controller", controller, names.dns_subdomain(node))
    if controller not in debugging.LOOPS:
        known = (*debugging.LOOPS, f"{debugging.KUBELET_PREFIX}<node>")
        return [not_supported("spec.controller", controller, known)]
    return []


def _selector(spec: Object) -> list[Cause]:
    selector = spec.get("selector") or {}
    causes: list[Cause] = []
    for name, check in (("namespace", names.dns_label), ("name", names.dns_subdomain)):
        if selector.get(name):
            causes += each_invalid(f"spec.selector.{name}", selector[name], check(selector[name]))
    if selector.get("labelSelector"):
        causes += label_selector(selector["labelSelector"], "spec.selector.labelSelector")
        if spec.get("controller") == "garbage-collector":
            why = "the garbage collector does not look at labels"
            causes.append(forbidden("spec.selector.labelSelector", why))
    if not _controller(spec):
        causes += _kind(spec["controller"], selector)
    return causes


def _kind(controller: str, selector: Object) -> list[Cause]:
    """A selector must be able to select what the loop works on."""
    found = [resource(key) for key in debugging.kinds_of(controller)] or list(all_resources())
    kind = selector.get("kind")
    if kind and kind not in {one.kind for one in found}:
        return [not_supported("spec.selector.kind", kind, sorted({one.kind for one in found}))]
    found = [one for one in found if kind in (None, "", one.kind)]
    if selector.get("namespace") and not any(one.namespaced for one in found):
        why = f"may not be set: {found[0].plural} have no namespace"
        return [forbidden("spec.selector.namespace", why)]
    return []


def _condition(spec: Object) -> list[Cause]:
    text = spec.get("condition")
    if not text:
        return []
    try:
        Expression(text, debugging.CONDITION_VARIABLES)
    except ExpressionError as error:
        return [invalid("spec.condition", text, str(error))]
    return []


def _action(action: Object | None) -> list[Cause]:
    if action is None:
        return []
    type_, inject = action.get("type") or "", action.get("inject") or ""
    if not type_:
        return [required("spec.action.type")]
    if type_ not in debugging.ACTIONS:
        return [not_supported("spec.action.type", type_, debugging.ACTIONS)]
    if type_ != "Inject":
        return [forbidden("spec.action.inject", f"may not be set for {type_}")] if inject else []
    if not inject:
        return [required("spec.action.inject", "must say what to inject")]
    if inject not in debugging.INJECTIONS:
        return [not_supported("spec.action.inject", inject, debugging.INJECTIONS)]
    return []
