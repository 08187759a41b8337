"""Rules for containers: image, ports, env, mounts, resources. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from apiserver.validation.causes import (
    NOT_NEGATIVE,
    duplicate,
    each_invalid,
    forbidden,
    in_range,
    invalid,
    not_found,
    not_supported,
    required,
)
from apiserver.validation.paths import local_path
from apiserver.validation.resource_fields import resource_field
from apiserver.validation.security import container_security
from podium.api import names, quantity
from podium.api.status import Cause

Object = dict[str, Any]

_CONTAINER_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})
_STANDARD_RESOURCES = _CONTAINER_RESOURCES | {
    "pods", "services", "replicationcontrollers", "resourcequotas", "secrets", "configmaps",
    "storage", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    "requests.cpu", "requests.memory", "requests.ephemeral-storage", "limits.cpu", "limits.memory",
    "limits.ephemeral-storage", "requests.storage",
}  # fmt: skip
_ENV_FIELDS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName",
    "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SUBSCRIPTED = re.compile(r"metadata\.(labels|annotations)\['(.*)'\]")
_PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")


def container_list(
    containers: list[Object], path: str, volumes: Mapping[str, Object], taken: set[str], *,
    has_host_users: bool,
) -> list[Cause]:  # fmt: skip
    """Rules for one list of containers; `taken` are names used so far, and grows."""
    causes: list[Cause] = []
    for index, container in enumerate(containers):
        at = f"{path}[{index}]"
        name = container.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        else:
            causes += each_invalid(f"{at}.name", name, names.dns_label(name))
            if name in taken:
                causes.append(duplicate(f"{at}.name", name))
            taken.add(name)
        causes += _container(container, at, volumes)
        if context := container.get("securityContext"):
            causes += container_security(
                context, f"{at}.securityContext", has_host_users=has_host_users
            )
    return causes


def _container(container: Object, at: str, volumes: Mapping[str, Object]) -> list[Cause]:
    causes = image(container, at)
    policy = container.get("terminationMessagePolicy") or "File"
    if policy not in ("File", "FallbackToLogsOnError"):
        supported = ("FallbackToLogsOnError", "File")
        causes.append(not_supported(f"{at}.terminationMessagePolicy", policy, supported))
    if container.get("ports"):
        causes += _ports(container["ports"], f"{at}.ports")
    if container.get("env"):
        causes += _env(container["env"], f"{at}.env")
    if container.get("envFrom"):
        causes += _env_from(container["envFrom"], f"{at}.envFrom")
    if container.get("volumeMounts"):
        is_privileged = bool((container.get("securityContext") or {}).get("privileged"))
        mounts = container["volumeMounts"]
        causes += _mounts(mounts, f"{at}.volumeMounts", volumes, is_privileged)
    causes += _devices(container, f"{at}.volumeDevices", volumes)
    pull = container.get("imagePullPolicy")
    if pull and pull not in _PULL_POLICIES:
        causes.append(not_supported(f"{at}.imagePullPolicy", pull, _PULL_POLICIES))
    if container.get("resources"):
        causes += resources(container["resources"], f"{at}.resources")
    return causes


def image(container: Object, at: str) -> list[Cause]:
    value = container.get("image", "")
    if not value:
        return [required(f"{at}.image")]
    if value.strip() != value:
        return [invalid(f"{at}.image", value, "must not have leading or trailing whitespace")]
    return []


# ---- ports --------------------------------------------------------------------------------------


def _ports(ports: list[Object], path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at = f"{path}[{index}]"
        name = port.get("name")
        if name:
            problems = names.port_name(name)
            causes += each_invalid(f"{at}.name", name, problems)
            if not problems and name in seen:
                causes.append(duplicate(f"{at}.name", name))
            seen.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            causes.append(required(f"{at}.containerPort"))
        else:
            causes += in_range(f"{at}.containerPort", number, 1, 65535)
        if port.get("hostPort"):
            causes += in_range(f"{at}.hostPort", port["hostPort"], 1, 65535)
        protocol = port.get("protocol", "")
        if not protocol:
            causes.append(required(f"{at}.protocol"))
        elif protocol not in _PROTOCOLS:
            causes.append(not_supported(f"{at}.protocol", protocol, _PROTOCOLS))
    return causes


def host_ports(containers: Iterable[tuple[str, Object]], is_host_network: bool) -> list[Cause]:
    """Of all containers of a Pod: none taken twice. `containers` are (path, container)."""
    causes: list[Cause] = []
    taken: set[str] = set()
    for path, container in containers:
        for index, port in enumerate(container.get("ports") or ()):
            at, number = f"{path}.ports[{index}]", port.get("hostPort", 0)
            if number == 0:
                continue
            if is_host_network and number != port.get("containerPort"):
                why = "must match `hostPort` when `hostNetwork` is true"
                causes.append(invalid(f"{at}.containerPort", port.get("containerPort", 0), why))
            name = f"{port.get('protocol')}/{port.get('hostIP', '')}/{number}"
            if name in taken:
                causes.append(duplicate(f"{at}.hostPort", name))
            taken.add(name)
    return causes


# ---- env ----------------------------------------------------------------------------------------


def _env(variables: list[Object], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, variable in enumerate(variables):
        at, name = f"{path}[{index}]", variable.get("name", "")
        if not name:
            causes.append(required(f"{at}.name"))
        else:
            causes += each_invalid(f"{at}.name", name, names.env_name(name))
        if "valueFrom" in variable:
            causes += _env_source(variable, f"{at}.valueFrom")
    return causes


def _env_source(variable: Object, path: str) -> list[Cause]:
    source = variable["valueFrom"]
    causes: list[Cause] = []
    if reference := source.get("fieldRef"):
        causes += _field_reference(reference, f"{path}.fieldRef")
    if "resourceFieldRef" in source:
        causes += resource_field(source["resourceFieldRef"], f"{path}.resourceFieldRef")
    for name in ("configMapKeyRef", "secretKeyRef"):
        if name in source:
            causes += _key_reference(source[name], f"{path}.{name}")
    if not source:
        kinds = "`fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        why = f"must specify one of: {kinds}"
        causes.append(invalid(path, "", why))
    elif variable.get("value"):
        causes.append(invalid(path, "", "may not be specified when `value` is not empty"))
    elif len(source) > 1:
        causes.append(invalid(path, "", "may not have more than one field specified at a time"))
    return causes


def _field_reference(reference: Object, path: str) -> list[Cause]:
    if not reference.get("apiVersion"):
        return [required(f"{path}.apiVersion")]
    field = reference.get("fieldPath", "")
    if not field:
        return [required(f"{path}.fieldPath")]
    if match := _SUBSCRIPTED.fullmatch(field):
        return each_invalid(path, match[2], names.label_key(match[2].lower()))
    if field in _ENV_FIELDS:
        return []
    if field in ("metadata.labels", "metadata.annotations"):
        return [not_supported(f"{path}.fieldPath", field, _ENV_FIELDS)]
    why = f"error converting fieldPath: field label not supported: {field}"
    return [invalid(f"{path}.fieldPath", field, why)]


def _key_reference(reference: Object, path: str) -> list[Cause]:
    causes = [] if reference.get("name") else [required(f"{path}.name")]
    key = reference.get("key", "")
    if not key:
        return [*causes, required(f"{path}.key")]
    return causes + each_invalid(f"{path}.key", key, names.config_key(key))


def _env_from(sources: list[Object], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for index, source in enumerate(sources):
        at = f"{path}[{index}]"
        if source.get("prefix"):
            problems = names.env_name(source["prefix"])
            causes += each_invalid(f"{at}.prefix", source["prefix"], problems)
        kinds = [k for k in ("configMapRef", "secretRef") if k in source]
        for kind in kinds:
            if not source[kind].get("name"):
                causes.append(required(f"{at}.{kind}.name"))
        if not kinds:
            causes.append(invalid(at, "", "must specify one of: `configMapRef` or `secretRef`"))
        elif len(kinds) > 1:
            causes.append(invalid(at, "", "may not have more than one field specified at a time"))
    return causes


# ---- mounts -------------------------------------------------------------------------------------


def _mounts(
    mounts: list[Object], path: str, volumes: Mapping[str, Object], is_privileged: bool
) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at, name, target = f"{path}[{index}]", mount.get("name", ""), mount.get("mountPath", "")
        if not name:
            causes.append(required(f"{at}.name"))
        elif name not in volumes:
            causes.append(not_found(f"{at}.name", name))
        if not target:
            causes.append(required(f"{at}.mountPath"))
        elif target in seen:
            causes.append(invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        for field in ("subPath", "subPathExpr"):
            causes += local_path(mount.get(field, ""), f"{at}.{field}")
        if mount.get("subPath") and mount.get("subPathExpr"):
            why = "subPathExpr and subPath are mutually exclusive"
            causes.append(invalid(f"{at}.subPathExpr", mount["subPathExpr"], why))
        causes += _propagation(mount, at, is_privileged)
        causes += _recursive_read_only(mount, at)
    return causes


def _propagation(mount: Object, at: str, is_privileged: bool) -> list[Cause]:
    found, path = mount.get("mountPropagation"), f"{at}.mountPropagation"
    if not found:
        return []
    if found not in _PROPAGATIONS:
        return [not_supported(path, found, _PROPAGATIONS)]
    if found == "Bidirectional" and not is_privileged:
        why = "Bidirectional mount propagation is available only to privileged containers"
        return [forbidden(path, why)]
    return []


def _recursive_read_only(mount: Object, at: str) -> list[Cause]:
    found, path = mount.get("recursiveReadOnly"), f"{at}.recursiveReadOnly"
    if found is None or found == "Disabled":
        return []
    if found not in _RECURSIVE:
        return [not_supported(path, found, _RECURSIVE)]
    causes = []
    if not mount.get("readOnly"):
        causes.append(forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        why = "may only be specified when mountPropagation is None or not specified"
        causes.append(forbidden(path, why))
    return causes


def _devices(container: Object, path: str, volumes: Mapping[str, Object]) -> list[Cause]:
    """volumeDevices: each a claim, at a place of its own where nothing is mounted."""
    causes: list[Cause] = []
    names: set[str] = set()
    paths: set[str] = set()
    mounts = container.get("volumeMounts") or ()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        at, name, place = f"{path}[{index}]", device.get("name", ""), device.get("devicePath", "")
        volume = volumes.get(name)
        if not name:
            causes.append(required(f"{at}.name"))
        elif name in names:
            causes.append(invalid(f"{at}.name", name, "must be unique"))
        elif volume is None:
            causes.append(not_found(f"{at}.name", name))
        elif not {"persistentVolumeClaim", "ephemeral"} & set(volume):
            kinds = "PersistentVolumeClaim or Ephemeral"
            why = f"can only use volume source type of {kinds} for block mode"
            causes.append(invalid(f"{at}.name", name, why))
        if any(mount.get("name") == name for mount in mounts):
            causes.append(invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if not place:
            causes.append(required(f"{at}.devicePath"))
        elif place in paths:
            causes.append(invalid(f"{at}.devicePath", place, "must be unique"))
        elif ".." in place.split("/"):
            causes.append(invalid(f"{at}.devicePath", place, "can not contain backsteps ('..')"))
        elif any(mount.get("mountPath") == place for mount in mounts):
            why = "must not already exist as a path in volumeMounts"
            causes.append(invalid(f"{at}.devicePath", place, why))
        names.add(name)
        paths.add(place)
    return causes


# ---- resources ----------------------------------------------------------------------------------


def resources(found: Object, path: str) -> list[Cause]:
    limits, requests = found.get("limits") or {}, found.get("requests") or {}
    causes: list[Cause] = []
    for kind, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            causes += _amount(name, value, f"{path}.{kind}")
    for name, request in requests.items():
        causes += _against_limit(name, request, limits.get(name), path)
    asked = {*limits, *requests}
    if not asked & {"cpu", "memory"} and any(_is_huge_pages(name) for name in asked):
        causes.append(forbidden(path, "HugePages require cpu or memory"))
    return causes


def _amount(name: str, value: Any, path: str) -> list[Cause]:
    at = f"{path}[{name}]"
    causes = _resource_name(name, path)
    number = quantity.parse(value)
    if number < 0:
        return [*causes, invalid(at, str(value), NOT_NEGATIVE)]
    if _is_extended(name) and number.denominator != 1:
        causes.append(invalid(at, quantity.canonical(value), "must be an integer"))
    if _is_huge_pages(name) and not _is_multiple_of_page(name, number):
        size = quantity.canonical(value)
        causes.append(invalid(at, size, f"{size} is not positive integer multiple of {name}"))
    return causes


def _against_limit(name: str, request: Any, limit: Any, path: str) -> list[Cause]:
    """Of what cannot be overcommitted as much is requested as is the limit."""
    is_exact = _is_huge_pages(name) or _is_extended(name)
    if limit is None:
        why = "Limit must be set for non overcommitable resources"
        return [required(f"{path}.limits", why)] if is_exact else []
    wanted, most = quantity.parse(request), quantity.parse(limit)
    word = "equal to" if is_exact else "less than or equal to"
    if (wanted != most) if is_exact else (wanted > most):
        why = f"must be {word} {name} limit of {quantity.canonical(limit)}"
        return [invalid(f"{path}.requests", quantity.canonical(request), why)]
    return []


def _is_huge_pages(name: str) -> bool:
    return name.startswith("hugepages-")


def _is_extended(name: str) -> bool:
    return "/" in name and not name.partition("/")[0].endswith("kubernetes.io")


def _is_multiple_of_page(name: str, number: Fraction) -> bool:
    try:
        page = quantity.parse(name.removeprefix("hugepages-"))
    except ValueError:
        return False
    return page > 0 and number % page == 0


def _resource_name(name: str, path: str) -> list[Cause]:
    if name in _CONTAINER_RESOURCES or _is_huge_pages(name):
        return []
    causes = each_invalid(path, name, names.label_key(name))
    if "/" not in name:
        if name not in _STANDARD_RESOURCES:
            why = "must be a standard resource type or fully qualified"
            causes.append(invalid(path, name, why))
        causes.append(invalid(path, name, "must be a standard resource for containers"))
    return causes
