"""Rules for what belongs to Windows nodes, and for Pods that say which system they are for. Room:
the API server; called by security.py.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

import re
from typing import Any

from apiserver.validation.causes import each_invalid, forbidden, invalid, not_supported, required
from podium.api import names
from podium.api.status import Cause

Object = dict[str, Any]

_SYSTEMS = ("linux", "windows")
_NOT_ON_WINDOWS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup", "fsGroupChangePolicy",
    "sysctls", "runAsUser", "runAsGroup", "supplementalGroups", "supplementalGroupsPolicy",
)  # fmt: skip
_NOT_IN_WINDOWS_CONTAINERS = (
    "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
    "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount", "runAsUser",
    "runAsGroup",
)  # fmt: skip
_GMSA_SPEC_MAX_KIB = 64
_DOMAIN_MAX, _USER_MAX = 256, 104
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")


def options(found: Object, path: str) -> list[Cause]:
    """A WindowsSecurityContextOptions."""
    causes: list[Cause] = []
    if (name := found.get("gmsaCredentialSpecName")) is not None:
        at = f"{path}.gmsaCredentialSpecName"
        causes += each_invalid(at, name, names.dns_subdomain(name))
    if (spec := found.get("gmsaCredentialSpec")) is not None:
        at = f"{path}.gmsaCredentialSpec"
        if not spec:
            causes.append(invalid(at, spec, "gmsaCredentialSpec cannot be an empty string"))
        elif len(spec.encode()) > _GMSA_SPEC_MAX_KIB * 1024:
            why = f"gmsaCredentialSpec size must be under {_GMSA_SPEC_MAX_KIB} KiB"
            causes.append(invalid(at, spec, why))
    if (user := found.get("runAsUserName")) is not None:
        at = f"{path}.runAsUserName"
        causes += [invalid(at, user, f"runAsUserName{why}") for why in _user_problems(user)]
    return causes


def _user_problems(text: str) -> list[str]:
    if not text:
        return [" cannot be an empty string"]
    if re.search(r"[\x00-\x1f\x7f]", text):
        return [" cannot contain control characters"]
    if text.count("\\") > 1:
        return [" cannot contain more than one backslash"]
    domain, backslash, user = text.rpartition("\\")
    rules = (
        (len(domain) < _DOMAIN_MAX, f"'s Domain length must be under {_DOMAIN_MAX} characters"),
        (
            not backslash or _NETBIOS.fullmatch(domain) or _DNS.fullmatch(domain),
            "'s Domain doesn't match the NetBios nor the DNS format",
        ),
        (user, "'s User cannot be empty"),
        (
            len(user) <= _USER_MAX,
            f"'s User length must not be longer than {_USER_MAX} characters",
        ),
        (user.strip(". ") or not user, "'s User cannot contain only periods or spaces"),
        (
            not re.search(r'["/\\:;|=,+*?<>@\[\]]', user),
            "'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]",
        ),
    )
    return [why for is_fine, why in rules if not is_fine]


def pod(spec: Object, path: str) -> list[Cause]:
    """spec.os, what does not go with it, and HostProcess containers."""
    containers = [
        (f"{path}.{kind}[{index}].securityContext", container.get("securityContext") or {})
        for kind in ("initContainers", "containers", "ephemeralContainers")
        for index, container in enumerate(spec.get(kind) or ())
    ]
    causes = _host_process(spec, path, containers)
    if (system := spec.get("os")) is None:
        return causes
    name = system.get("name") or ""
    if not name:
        return [*causes, required(f"{path}.os.name", "cannot be empty")]
    if name not in _SYSTEMS:
        return [*causes, not_supported(f"{path}.os", name, _SYSTEMS)]
    contexts = [(f"{path}.securityContext", spec.get("securityContext") or {}), *containers]
    if name == "linux":
        why = "windows options cannot be set for a linux pod"
        return causes + [
            forbidden(f"{at}.windowsOptions", why)
            for at, context in contexts
            if context.get("windowsOptions") is not None
        ]
    return causes + _not_on_windows(spec, path, containers)


def _not_on_windows(spec: Object, path: str, containers: list[tuple[str, Object]]) -> list[Cause]:
    context = spec.get("securityContext") or {}
    found = [f"{path}.securityContext.{f}" for f in _NOT_ON_WINDOWS if context.get(f) is not None]
    found += [f"{path}.{f}" for f in ("hostPID", "hostIPC", "shareProcessNamespace") if spec.get(f)]
    found += [f"{path}.hostUsers"] if spec.get("hostUsers") is not None else []
    for at, own in containers:
        found += [f"{at}.{f}" for f in _NOT_IN_WINDOWS_CONTAINERS if own.get(f) is not None]
    return [forbidden(at, "cannot be set for a windows pod") for at in found]


def _host_process(spec: Object, path: str, containers: list[tuple[str, Object]]) -> list[Cause]:
    causes: list[Cause] = []
    options = (spec.get("securityContext") or {}).get("windowsOptions") or {}
    of_pod, count = options.get("hostProcess"), 0
    for at, context in containers:
        own = (context.get("windowsOptions") or {}).get("hostProcess")
        if of_pod is not None and own is not None and of_pod != own:
            said = "true" if of_pod else "false"
            why = f"pod hostProcess value must be identical if both are specified, was {said}"
            causes.append(invalid(f"{at}.windowsOptions.hostProcess", own, why))
        count += bool(of_pod if own is None else own)
    if count and count != len(containers):
        why = "If pod contains any hostProcess containers then all containers must be HostProcess"
        causes.append(invalid(path, "", f"{why} containers"))
    if count and not spec.get("hostNetwork"):
        why = "hostNetwork must be true if pod contains any hostProcess containers"
        causes.append(invalid(f"{path}.hostNetwork", False, why))
    return causes
