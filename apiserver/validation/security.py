"""Rules for security contexts of Pods and containers. Room: the API server; called by pods.py and
containers.py.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from apiserver.validation import windows
from apiserver.validation.causes import (
    duplicate,
    forbidden,
    in_range,
    invalid,
    not_supported,
    required,
    too_long,
)
from apiserver.validation.paths import local_path
from podium.api.status import Cause

Object = dict[str, Any]

APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"  # + a container's name
_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_LOCALHOST_PROFILE_MAX = 4095  # PATH_MAX - 1
_SYSCTL_MAX = 253
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"^({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}$"
_IPC_SYSCTLS = ("kernel.sem", "kernel.shm", "kernel.msg", "fs.mqueue.")
_CHOICES = {  # field of a Pod's context → its values, in the order in which they are told
    "fsGroupChangePolicy": ("OnRootMismatch", "Always"),
    "supplementalGroupsPolicy": ("Merge", "Strict"),
    "seLinuxChangePolicy": ("MountOption", "Recursive"),
}


def pod_security(spec: Object, path: str) -> list[Cause]:
    """All of a PodSpec that concerns security and is not a container's alone."""
    context, at = spec.get("securityContext") or {}, f"{path}.securityContext"
    causes = _ids(context, at, ("fsGroup", "runAsUser", "runAsGroup"))
    for index, gid in enumerate(context.get("supplementalGroups") or ()):
        causes += _id(gid, f"{at}.supplementalGroups[{index}]")
    causes += _sysctls(context.get("sysctls") or [], spec, f"{at}.sysctls")
    causes += _profiles(context, at)
    causes += windows.options(context.get("windowsOptions") or {}, f"{at}.windowsOptions")
    for field, values in _CHOICES.items():
        if context.get(field) is not None and context[field] not in values:
            causes.append(not_supported(f"{at}.{field}", context[field], values))
    return causes + windows.pod(spec, path)


def container_security(context: Object, path: str, *, has_host_users: bool) -> list[Cause]:
    causes = _ids(context, path, ("runAsUser", "runAsGroup"))
    causes += _proc_mount(context.get("procMount"), f"{path}.procMount", has_host_users)
    causes += _profiles(context, path)
    if context.get("allowPrivilegeEscalation") is False:
        about = "cannot set `allowPrivilegeEscalation` to false and"
        if context.get("privileged"):
            causes.append(invalid(path, "", f"{about} `privileged` to true"))
        if "CAP_SYS_ADMIN" in ((context.get("capabilities") or {}).get("add") or ()):
            causes.append(invalid(path, "", f"{about} `capabilities.Add` CAP_SYS_ADMIN"))
    return causes + windows.options(context.get("windowsOptions") or {}, f"{path}.windowsOptions")


def apparmor_annotations(annotations: Object, spec: Object, path: str) -> list[Cause]:
    """Of a Pod or a template: the form that AppArmor had before its field."""
    causes: list[Cause] = []
    names = {container.get("name") for _, container in _containers(spec, "")}
    for key, value in annotations.items():
        if not key.startswith(APPARMOR_ANNOTATION):
            continue
        at, name = f"{path}[{key}]", key.removeprefix(APPARMOR_ANNOTATION)
        if name not in names:
            causes.append(invalid(at, name, "container not found"))
        if value not in ("", "runtime/default", "unconfined") and not _is_localhost(value):
            causes.append(invalid(at, value, f'invalid AppArmor profile name: "{value}"'))
    return causes


def apparmor_agrees(annotations: Object, spec: Object, path: str) -> list[Cause]:
    """Of a new Pod: annotation and field say the same where both are there."""
    causes: list[Cause] = []
    of_pod = (spec.get("securityContext") or {}).get("appArmorProfile")
    for at, container in _containers(spec, path):
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or of_pod
        said = annotations.get(f"{APPARMOR_ANNOTATION}{container.get('name')}")
        if profile is None or said is None:
            continue
        where = f"{at}.securityContext.appArmorProfile"
        if _type_in_annotation(said) != profile.get("type"):
            why = "apparmor type in annotation and field must match"
            causes.append(forbidden(f"{where}.type", why))
        elif _is_localhost(said) and said.removeprefix("localhost/") != profile.get(
            "localhostProfile"
        ):
            why = "apparmor profile in annotation and field must match"
            causes.append(forbidden(f"{where}.localhostProfile", why))
    return causes


def _is_localhost(annotation: str) -> bool:
    return annotation.startswith("localhost/")


def _type_in_annotation(annotation: str) -> str:
    if _is_localhost(annotation):
        return "Localhost"
    return {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}.get(annotation, "")


def _containers(spec: Object, path: str) -> Iterator[tuple[str, Object]]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield f"{path}.{kind}[{index}]", container


def _ids(context: Object, path: str, names: tuple[str, ...]) -> list[Cause]:
    found = [(name, context[name]) for name in names if context.get(name) is not None]
    return [cause for name, value in found for cause in _id(value, f"{path}.{name}")]


def _id(value: int, path: str) -> list[Cause]:
    return in_range(path, value, 0, 2**31 - 1)


def _proc_mount(value: str | None, path: str, has_host_users: bool) -> list[Cause]:
    if value is None or value == "Default":
        return []
    if value != "Unmasked":
        return [not_supported(path, value, ("Default", "Unmasked"))]
    why = "`hostUsers` must be false to use `Unmasked`"
    return [invalid(path, value, why)] if has_host_users else []


# ---- profiles -----------------------------------------------------------------------------------


def _profiles(context: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if (found := context.get("seccompProfile")) is not None:
        causes += _seccomp(found, f"{path}.seccompProfile")
    if (found := context.get("appArmorProfile")) is not None:
        causes += _apparmor(found, f"{path}.appArmorProfile")
    return causes


def _seccomp(profile: Object, path: str) -> list[Cause]:
    causes = _profile_type(profile, path, "seccompProfile")
    name, at = profile.get("localhostProfile"), f"{path}.localhostProfile"
    if profile.get("type") == "Localhost":
        if name is None:
            return [*causes, required(at, "must be set when seccomp type is Localhost")]
        return causes + local_path(name, at)
    if name is not None:
        causes.append(invalid(at, name, "can only be set when seccomp type is Localhost"))
    return causes


def _apparmor(profile: Object, path: str) -> list[Cause]:
    causes = _profile_type(profile, path, "appArmorProfile")
    name, at = profile.get("localhostProfile"), f"{path}.localhostProfile"
    if profile.get("type") != "Localhost":
        if name is not None and not causes:
            causes.append(invalid(at, name, "can only be set when AppArmor type is Localhost"))
        return causes
    if not name:
        causes.append(required(at, "must be set when AppArmor type is Localhost"))
    elif name != name.strip():
        causes.append(invalid(at, name, "must not be padded with whitespace"))
    elif len(name.encode()) > _LOCALHOST_PROFILE_MAX:
        causes.append(too_long(at, _LOCALHOST_PROFILE_MAX))
    return causes


def _profile_type(profile: Object, path: str, field: str) -> list[Cause]:
    kind = profile.get("type") or ""
    if not kind:
        return [required(f"{path}.type", f"type is required when {field} is set")]
    if kind not in _PROFILE_TYPES:
        return [not_supported(f"{path}.type", kind, _PROFILE_TYPES)]
    return []


# ---- sysctls ------------------------------------------------------------------------------------


def _sysctls(sysctls: list[Object], spec: Object, path: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            causes.append(required(at))
        elif len(name) > _SYSCTL_MAX or not re.fullmatch(_SYSCTL, name):
            why = f"must have at most {_SYSCTL_MAX} characters and match regex {_SYSCTL}"
            causes.append(invalid(at, name, why))
        elif name in seen:
            causes.append(duplicate(at, name))
        seen.add(name)
        with_dots = name.replace("/", ".")
        if spec.get("hostNetwork") and with_dots.startswith("net."):
            causes.append(invalid(at, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.get("hostIPC") and with_dots.startswith(_IPC_SYSCTLS):
            causes.append(invalid(at, name, "may not be specified when 'hostIPC' is true"))
    return causes
