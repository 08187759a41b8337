"""What a claim says of the volume that it wants. Room: the API server; rules for claims, for the
templates of ephemeral volumes and in part for PersistentVolumes.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import (
    duplicate,
    each_invalid,
    forbidden,
    invalid,
    not_supported,
    required,
)
from podium.api import names, quantity
from podium.api.status import Cause

Object = dict[str, Any]

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
MORE_THAN_0 = "must be greater than zero"
_VOLUME_MODES = ("Block", "Filesystem")


def claim_spec(spec: Object, at: str) -> list[Cause]:
    """Also of the template of an ephemeral volume."""
    causes = access_modes(spec.get("accessModes"), f"{at}.accessModes")
    requested = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    path = f"{at}.resources[storage]"
    if requested is None:
        causes.append(required(path))
    elif quantity.parse(requested) <= 0:
        causes.append(invalid(path, str(requested), MORE_THAN_0))
    causes += class_name(spec.get("storageClassName"), f"{at}.storageClassName")
    return causes + volume_mode(spec.get("volumeMode"), f"{at}.volumeMode")


def access_modes(modes: list[str] | None, at: str) -> list[Cause]:
    if not modes:
        return [required(at, "at least 1 access mode is required")]
    causes = [not_supported(at, m, ACCESS_MODES) for m in modes if m not in ACCESS_MODES]
    causes += [duplicate(at, m) for m in sorted({m for m in modes if modes.count(m) > 1})]
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        why = "may not use ReadWriteOncePod with other access modes"
        causes.append(forbidden(at, why))
    return causes


def class_name(name: str | None, at: str) -> list[Cause]:
    return each_invalid(at, name, names.dns_subdomain(name)) if name else []


def volume_mode(mode: str | None, at: str) -> list[Cause]:
    if mode and mode not in _VOLUME_MODES:
        return [not_supported(at, mode, _VOLUME_MODES)]
    return []
