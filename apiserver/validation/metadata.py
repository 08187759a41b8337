"""Rules for `metadata`, labels and selectors, of every kind. Room: the API server.

Source: apimachinery `pkg/api/validation/objectmeta.go`, v0.32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    immutable,
    invalid,
    not_negative,
    required,
    too_long,
)
from podium.api import names
from podium.api.scheme import Resource
from podium.api.status import Cause

Object = dict[str, Any]

MAX_ANNOTATIONS_BYTES = 256 * 1024

_BY_LABEL = frozenset({"namespaces"})  # named like a DNS label; all others like a subdomain


def name_problems(resource: Resource, name: str) -> list[str]:
    rule = names.dns_label if resource.key in _BY_LABEL else names.dns_subdomain
    return rule(name)


def validate_metadata(resource: Resource, obj: Object) -> list[Cause]:
    """Of an object that is to be created; its name has been generated already."""
    meta = obj.get("metadata") or {}
    causes: list[Cause] = []
    prefix = meta.get("generateName")
    if prefix:
        problems = name_problems(resource, _masked(prefix))
        causes += each_invalid("metadata.generateName", prefix, problems)
    name = meta.get("name")
    if not name:
        causes.append(required("metadata.name", "name or generateName is required"))
    else:
        causes += each_invalid("metadata.name", name, name_problems(resource, name))
    causes += _namespace(resource, meta.get("namespace"))
    causes += not_negative("metadata.generation", meta.get("generation"))
    causes += _shared(meta)
    causes += _finalizers(meta.get("finalizers") or [])
    return causes


def validate_metadata_update(resource: Resource, new: Object, old: Object) -> list[Cause]:
    """What may not change does not; a field that the writer left out counts as unchanged."""
    meta, was = new.get("metadata") or {}, old["metadata"]
    causes: list[Cause] = []
    finalizers = meta.get("finalizers") or []
    if was.get("deletionTimestamp"):
        extra = sorted(set(finalizers) - set(was.get("finalizers") or []))
        if extra:
            listed = ", ".join(f'"{name}"' for name in extra)
            why = "no new finalizers can be added if the object is being deleted, found new"
            detail = f"{why} finalizers []string{{{listed}}}"
            causes.append(forbidden("metadata.finalizers", detail))
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp"):
        if meta.get(name):
            causes += immutable(f"metadata.{name}", meta[name], was.get(name))
    causes += _shared(meta)
    return causes + _finalizers(finalizers)


def _shared(meta: Object) -> list[Cause]:
    causes = label_map(meta.get("labels"), "metadata.labels")
    causes += annotation_map(meta.get("annotations"), "metadata.annotations")
    return causes + _owners(meta.get("ownerReferences") or [])


def _masked(prefix: str) -> str:
    """A prefix may end in a dash: something follows."""
    return f"{prefix[:-2]}a" if len(prefix) > 1 and prefix.endswith("-") else prefix


def _namespace(resource: Resource, namespace: str | None) -> list[Cause]:
    path = "metadata.namespace"
    if not resource.namespaced:
        return [forbidden(path, "not allowed on this type")] if namespace else []
    if not namespace:
        return [required(path)]
    return each_invalid(path, namespace, names.dns_label(namespace))


def label_map(found: Mapping[str, str] | None, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in (found or {}).items():
        causes += each_invalid(path, key, names.label_key(key))
        causes += each_invalid(path, value, names.label_value(value))
    return causes


def annotation_map(found: Mapping[str, str] | None, path: str) -> list[Cause]:
    if not found:
        return []
    causes: list[Cause] = []
    for key in found:
        causes += each_invalid(path, key, names.label_key(key.lower()))
    if sum(len(k.encode()) + len(v.encode()) for k, v in found.items()) > MAX_ANNOTATIONS_BYTES:
        causes.append(too_long(path, MAX_ANNOTATIONS_BYTES))
    return causes


def _owners(references: list[Object]) -> list[Cause]:
    path = "metadata.ownerReferences"
    causes: list[Cause] = []
    controller = ""
    for reference in references:
        for name, word in (
            ("apiVersion", "version"),
            ("kind", "kind"),
            ("name", "name"),
            ("uid", "uid"),
        ):
            if not reference.get(name):
                value = reference.get(name, "")
                causes.append(invalid(f"{path}.{name}", value, f"{word} must not be empty"))
        if reference.get("apiVersion") == "v1" and reference.get("kind") == "Event":
            why = "/v1, Kind=Event is disallowed from being an owner"
            causes.append(invalid(path, reference.get("name", ""), why))
        if not reference.get("controller"):
            continue
        this = f"{reference.get('kind')}/{reference.get('name')}"
        if controller:
            why = (
                'Only one reference can have Controller set to true. Found "true" in references for'
            )
            causes.append(invalid(path, this, f"{why} {controller} and {this}"))
        controller = controller or this
    return causes


def _finalizers(finalizers: list[str]) -> list[Cause]:
    path = "metadata.finalizers"
    causes: list[Cause] = []
    for name in finalizers:
        causes += each_invalid(path, name, names.label_key(name))
    if {"orphan", "foregroundDeletion"} <= set(finalizers):
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid(path, finalizers, why))
    return causes


# ---- label selectors ----------------------------------------------------------------------------


def label_selector(selector: Mapping[str, Any], path: str) -> list[Cause]:
    causes = label_map(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        causes += _expression(expression, f"{path}.matchExpressions[{index}]")
    return causes


def _expression(expression: Mapping[str, Any], path: str) -> list[Cause]:
    causes: list[Cause] = []
    values = expression.get("values") or []
    match expression.get("operator", ""):
        case "In" | "NotIn":
            if not values:
                why = "must be specified when `operator` is 'In' or 'NotIn'"
                causes.append(required(f"{path}.values", why))
        case "Exists" | "DoesNotExist":
            if values:
                why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                causes.append(forbidden(f"{path}.values", why))
        case operator:
            causes.append(invalid(f"{path}.operator", operator, "not a valid selector operator"))
    key = expression.get("key", "")
    causes += each_invalid(f"{path}.key", key, names.label_key(key))
    for index, value in enumerate(values):
        causes += each_invalid(f"{path}.values[{index}]", value, names.label_value(value))
    return causes
