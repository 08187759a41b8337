"""Rules for PersistentVolumes, their claims and StorageClasses. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation` and `pkg/apis/storage/validation`, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import (
    each_invalid,
    forbidden,
    immutable,
    invalid,
    is_same,
    not_supported,
    required,
)
from apiserver.validation.claims import (
    MORE_THAN_0,
    access_modes,
    claim_spec,
    class_name,
    volume_mode,
)
from apiserver.validation.volumes import host_path
from podium.api import names, quantity
from podium.api.status import Cause

Object = dict[str, Any]

_RECLAIM_POLICIES = ("Delete", "Recycle", "Retain")
_BINDING_MODES = ("Immediate", "WaitForFirstConsumer")
_NOT_A_SOURCE = frozenset(
    {"capacity", "accessModes", "claimRef", "persistentVolumeReclaimPolicy", "storageClassName",
     "mountOptions", "volumeMode", "nodeAffinity", "volumeAttributesClassName"}
)  # fmt: skip
_FIXED_SPEC = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
    "bound claims"
)


# ---- volumes ------------------------------------------------------------------------------------


def validate_persistent_volume(volume: Object) -> list[Cause]:
    spec = volume.get("spec") or {}
    causes = access_modes(spec.get("accessModes"), "spec.accessModes")
    causes += _capacity(spec.get("capacity") or {})
    policy = spec.get("persistentVolumeReclaimPolicy") or ""
    if policy not in _RECLAIM_POLICIES:
        path = "spec.persistentVolumeReclaimPolicy"
        causes.append(not_supported(path, policy, _RECLAIM_POLICIES))
    causes += _affinity(spec.get("nodeAffinity"), bool(spec.get("local")))
    causes += _source(spec)
    causes += class_name(spec.get("storageClassName"), "spec.storageClassName")
    return causes + volume_mode(spec.get("volumeMode"), "spec.volumeMode")


def _capacity(capacity: Object) -> list[Cause]:
    if not capacity:
        return [required("spec.capacity")]
    if list(capacity) != ["storage"]:
        return [not_supported("spec.capacity", sorted(capacity), ("storage",))]
    if quantity.parse(capacity["storage"]) <= 0:
        return [invalid("spec.capacity[storage]", str(capacity["storage"]), MORE_THAN_0)]
    return []


def _affinity(affinity: Object | None, is_local: bool) -> list[Cause]:
    at = "spec.nodeAffinity"
    if affinity is None:
        return [required(at, "Local volume requires node affinity")] if is_local else []
    wanted = affinity.get("required")
    if wanted is None:
        return [required(f"{at}.required", "must specify required node constraints")]
    if not wanted.get("nodeSelectorTerms"):
        why = "must have at least one node selector term"
        return [required(f"{at}.required.nodeSelectorTerms", why)]
    return []


def _source(spec: Object) -> list[Cause]:
    kinds = [name for name in spec if name not in _NOT_A_SOURCE]
    if not kinds:
        return [required("spec", "must specify a volume type")]
    why = "may not specify more than 1 volume type"
    causes = [forbidden(f"spec.{kind}", why) for kind in kinds[1:]]
    kind, source = kinds[0], spec[kinds[0]]
    match kind:
        case "hostPath":
            causes += host_path(source, "spec.hostPath")
            if source.get("path") == "/" and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
                why = "may not be 'recycle' for a hostPath mount of '/'"
                causes.append(forbidden("spec.persistentVolumeReclaimPolicy", why))
        case "local":
            path = source.get("path", "")
            if not path:
                causes.append(required("spec.local.path"))
            elif ".." in path.split("/"):
                causes.append(invalid("spec.local.path", path, "must not contain '..'"))
        case "csi":
            for name in ("driver", "volumeHandle"):
                if not source.get(name):
                    causes.append(required(f"spec.csi.{name}"))
    return causes


def validate_persistent_volume_update(new: Object, old: Object) -> list[Cause]:
    causes = validate_persistent_volume(new)
    spec, was = new.get("spec") or {}, old.get("spec") or {}
    for kind in sorted((set(spec) | set(was)) - _NOT_A_SOURCE):
        if not is_same(spec.get(kind), was.get(kind)):
            why = "spec.persistentvolumesource is immutable after creation"
            causes.append(forbidden("spec.persistentvolumesource", why))
            break
    causes += immutable("spec.volumeMode", spec.get("volumeMode"), was.get("volumeMode"))
    if was.get("nodeAffinity") is not None and not is_same(
        spec.get("nodeAffinity"), was["nodeAffinity"]
    ):
        causes.append(
            invalid("spec.nodeAffinity", spec.get("nodeAffinity") or {}, "field is immutable")
        )
    return causes


# ---- claims -------------------------------------------------------------------------------------


def validate_claim(claim: Object) -> list[Cause]:
    return claim_spec(claim.get("spec") or {}, "spec")


def validate_claim_update(new: Object, old: Object) -> list[Cause]:
    """A bound claim may ask for more; the binder may fill in the volume, and a late default the
    class."""
    causes = validate_claim(new)
    spec, was = dict(new.get("spec") or {}), dict(old.get("spec") or {})
    if not was.get("volumeName"):
        was["volumeName"] = spec.get("volumeName")
    if was.get("storageClassName") is None:
        was["storageClassName"] = spec.get("storageClassName")
    is_bound = (old.get("status") or {}).get("phase") == "Bound"
    size, size_was = _requested(spec), _requested(was)
    path = "spec.resources.requests.storage"
    if is_bound and size < size_was:
        least = quantity.parse(((old.get("status") or {}).get("capacity") or {}).get("storage", 0))
        if size <= least:
            causes.append(forbidden(path, "field can not be less than status.capacity"))
    if is_bound:
        spec["resources"] = was["resources"] = None
        spec["volumeAttributesClassName"] = was["volumeAttributesClassName"] = None
    if not is_same(spec, was):
        causes.append(forbidden("spec", _FIXED_SPEC))
    return causes


def _requested(spec: Object) -> Any:
    return quantity.parse(((spec.get("resources") or {}).get("requests") or {}).get("storage", 0))


# ---- classes ------------------------------------------------------------------------------------


def validate_storage_class(storage_class: Object) -> list[Cause]:
    causes: list[Cause] = []
    provisioner = storage_class.get("provisioner") or ""
    if not provisioner:
        causes.append(required("provisioner", provisioner))
    else:
        causes += each_invalid("provisioner", provisioner, names.label_key(provisioner.lower()))
    policy = storage_class.get("reclaimPolicy")
    if policy and policy not in ("Delete", "Retain"):
        causes.append(not_supported("reclaimPolicy", policy, ("Delete", "Retain")))
    mode = storage_class.get("volumeBindingMode")
    if not mode:
        causes.append(required("volumeBindingMode"))
    elif mode not in _BINDING_MODES:
        causes.append(not_supported("volumeBindingMode", mode, _BINDING_MODES))
    return causes


def validate_storage_class_update(new: Object, old: Object) -> list[Cause]:
    causes = validate_storage_class(new)
    if not is_same(new.get("parameters"), old.get("parameters")):
        causes.append(forbidden("parameters", "updates to parameters are forbidden."))
    for name in ("provisioner", "reclaimPolicy"):
        if new.get(name) != old.get(name):
            causes.append(forbidden(name, f"updates to {name} are forbidden."))
    return causes + immutable(
        "volumeBindingMode", new.get("volumeBindingMode"), old.get("volumeBindingMode")
    )
