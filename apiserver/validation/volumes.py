"""Rules for a Pod's volumes. Room: the API server.

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
from apiserver.validation.claims import claim_spec
from apiserver.validation.paths import local_path
from podium.api import names, quantity
from podium.api.status import Cause

Object = dict[str, Any]

_HOST_PATH_TYPES = ("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File",
                    "FileOrCreate", "Socket")  # fmt: skip
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MODE_WORDS = "must be a number between 0 and 0777 (octal), both inclusive"


def volume_list(volumes: list[Object], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        at, name = f"{path}[{index}]", volume.get("name", "")
        causes += _sources(volume, at)
        if not name:
            causes.append(required(f"{at}.name"))
        else:
            causes += each_invalid(f"{at}.name", name, names.dns_label(name))
            if name in seen:
                causes.append(duplicate(f"{at}.name", name))
            seen.add(name)
    return causes


def _sources(volume: Object, at: str) -> list[Cause]:
    kinds = [kind for kind in volume if kind != "name"]
    if not kinds:
        return [required(at, "must specify a volume type")]
    why = "may not specify more than 1 volume type"
    causes = [forbidden(f"{at}.{kind}", why) for kind in kinds[1:]]
    kind, source = kinds[0], volume[kinds[0]]
    path = f"{at}.{kind}"
    match kind:
        case "emptyDir":
            causes += _empty_dir(source, path)
        case "hostPath":
            causes += host_path(source, path)
        case "configMap":
            causes += _files(source, path, "name")
        case "secret":
            causes += _files(source, path, "secretName")
        case "downwardAPI":
            causes += _mode(source.get("defaultMode"), f"{path}.defaultMode")
            causes += _downward_items(source.get("items") or [], f"{path}.items")
        case "projected":
            causes += _projected(source, path)
        case "persistentVolumeClaim":
            if not source.get("claimName"):
                causes.append(required(f"{path}.claimName"))
        case "ephemeral":
            template = source.get("volumeClaimTemplate")
            if template is None:
                causes.append(required(f"{path}.volumeClaimTemplate"))
            else:
                at_spec = f"{path}.volumeClaimTemplate.spec"
                causes += claim_spec(template.get("spec") or {}, at_spec)
        case "image":
            causes += _image(source, path)
    return causes


def _empty_dir(source: Object, path: str) -> list[Cause]:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit) < 0:
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def _image(source: Object, path: str) -> list[Cause]:
    causes = [] if source.get("reference") else [required(f"{path}.reference")]
    policy = source.get("pullPolicy")
    if policy and policy not in _PULL_POLICIES:
        causes.append(not_supported(f"{path}.pullPolicy", policy, _PULL_POLICIES))
    return causes


def host_path(source: Object, path: str) -> list[Cause]:
    where = source.get("path", "")
    if not where:
        return [required(f"{path}.path")]
    causes: list[Cause] = []
    if ".." in where.split("/"):
        causes.append(invalid(f"{path}.path", where, "must not contain '..'"))
    kind = source.get("type") or ""
    if kind not in _HOST_PATH_TYPES:
        causes.append(not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return causes


def _files(source: Object, path: str, name_field: str) -> list[Cause]:
    """A configMap's or a secret's keys as files."""
    causes = [] if source.get(name_field) else [required(f"{path}.{name_field}")]
    causes += _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        at = f"{path}.items[{index}]"
        if not item.get("key"):
            causes.append(required(f"{at}.key"))
        causes += _file_path(item.get("path", ""), f"{at}.path")
        causes += _mode(item.get("mode"), f"{at}.mode")
    return causes


def _downward_items(items: list[Object], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, item in enumerate(items):
        at = f"{path}[{index}]"
        causes += _file_path(item.get("path", ""), f"{at}.path")
        causes += _mode(item.get("mode"), f"{at}.mode")
        references = [n for n in ("fieldRef", "resourceFieldRef") if n in item]
        if not references:
            causes.append(required(at, "one of fieldRef and resourceFieldRef is required"))
        elif len(references) > 1:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            causes.append(invalid(at, "resource", why))
    return causes


def _projected(source: Object, path: str) -> list[Cause]:
    causes = _mode(source.get("defaultMode"), f"{path}.defaultMode")
    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        for kind in ("configMap", "secret"):
            if kind in part:
                causes += _files(part[kind], f"{at}.{kind}", "name")
        if "downwardAPI" in part:
            items = part["downwardAPI"].get("items") or []
            causes += _downward_items(items, f"{at}.downwardAPI.items")
        token = part.get("serviceAccountToken")
        if token is not None:
            causes += _token(token, f"{at}.serviceAccountToken")
        if len(part) > 1:
            causes.append(forbidden(at, "may not specify more than 1 volume type"))
    return causes


def _token(source: Object, at: str) -> list[Cause]:
    seconds, path = source.get("expirationSeconds", 3600), f"{at}.expirationSeconds"
    causes: list[Cause] = []
    if seconds < 600:
        causes.append(invalid(path, seconds, "may not specify a duration less than 10 minutes"))
    elif seconds > 1 << 32:
        why = "may not specify a duration larger than 2^32 seconds"
        causes.append(invalid(path, seconds, why))
    return causes + _file_path(source.get("path", ""), f"{at}.path")


def _file_path(value: str, path: str) -> list[Cause]:
    if not value:
        return [required(path)]
    causes = local_path(value, path)
    if not causes and value.startswith(".."):
        causes.append(invalid(path, value, "must not start with '..'"))
    return causes


def _mode(value: int | None, path: str) -> list[Cause]:
    return [] if value is None or 0 <= value <= 0o777 else [invalid(path, value, _MODE_WORDS)]
