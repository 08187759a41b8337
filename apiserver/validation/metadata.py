"""Names, labels, annotations, owners, finalizers: the rules for every kind."""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import IMMUTABLE, duplicate, each, forbidden, invalid, required
from podium.api import names
from podium.api.scheme import Resource
from podium.api.status import Cause

Object = dict[str, Any]

MAX_ANNOTATIONS_BYTES = 256 * 1024
_LABEL_NAMED = {"namespaces"}


def validate(resource: Resource, obj: Object, causes: list[Cause]) -> None:
    meta = obj.get("metadata") or {}
    name, prefix = meta.get("name"), meta.get("generateName")
    check = names.dns_label if resource.plural in _LABEL_NAMED else names.dns_subdomain
    if name:
        each("metadata.name", name, check(name), causes)
    elif prefix:
        each("metadata.generateName", prefix, check(prefix.rstrip("-") or "x"), causes)
    else:
        causes.append(required("metadata.name", "name or generateName is required"))
    if resource.namespaced:
        namespace = meta.get("namespace", "")
        each("metadata.namespace", namespace, names.dns_label(namespace), causes)
    elif meta.get("namespace"):
        causes.append(forbidden("metadata.namespace", "not allowed on this type"))
    labels(meta.get("labels"), "metadata.labels", causes)
    _annotations(meta.get("annotations") or {}, causes)
    _owners(meta.get("ownerReferences") or [], causes)


def labels(found: dict[str, str] | None, field: str, causes: list[Cause]) -> None:
    for key, value in (found or {}).items():
        each(field, key, names.label_key(key), causes)
        each(field, value, names.label_value(value), causes)


def _annotations(annotations: dict[str, str], causes: list[Cause]) -> None:
    for key in annotations:
        each("metadata.annotations", key, names.label_key(key.lower()), causes)
    size = sum(len(k.encode()) + len(v.encode()) for k, v in annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        message = f"Too long: may not be more than {MAX_ANNOTATIONS_BYTES} bytes"
        causes.append(Cause("metadata.annotations", message, "FieldValueTooLong"))


def _owners(owners: list[Object], causes: list[Cause]) -> None:
    controllers = []
    for index, owner in enumerate(owners):
        at = f"metadata.ownerReferences[{index}]"
        for name in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(name):
                causes.append(invalid(f"{at}.{name}", owner.get(name, ""), f"{name} must not be empty"))
        if owner.get("controller"):
            controllers.append(owner)
    if len(controllers) > 1:
        causes.append(
            invalid("metadata.ownerReferences", owners, "Only one reference can have Controller set to true")
        )
    uids = [o.get("uid") for o in owners]
    causes.extend(
        duplicate(f"metadata.ownerReferences[{i}].uid", uid) for i, uid in enumerate(uids) if uid in uids[:i]
    )


def validate_update(new: Object, old: Object, causes: list[Cause]) -> None:
    before, after = old["metadata"], new["metadata"]
    for name in ("name", "namespace", "uid", "creationTimestamp"):
        if after.get(name) != before.get(name):
            causes.append(invalid(f"metadata.{name}", after.get(name, ""), IMMUTABLE))
    if before.get("deletionTimestamp"):
        added = set(after.get("finalizers") or []) - set(before.get("finalizers") or [])
        if added:
            causes.append(
                forbidden(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{', '.join(repr(f).replace(chr(39), chr(34)) for f in sorted(added))}}}",
                )
            )
