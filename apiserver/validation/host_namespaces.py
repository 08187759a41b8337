"""Which namespaces of the host a Pod may ask for together. Room: the API server.

Source: Kubernetes' `ValidatePodSecurityContext` and `validateHostUsers`, v1.32, whose internal
PodSpec has these fields in its securityContext: hence the paths.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import forbidden, invalid
from podium.api.status import Cause

Object = dict[str, Any]


def host_namespaces(spec: Object, path: str) -> list[Cause]:
    causes = []
    at = f"{path}.securityContext"
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        why = "ShareProcessNamespace and HostPID cannot both be enabled"
        causes.append(invalid(f"{at}.shareProcessNamespace", True, why))
    if spec.get("hostUsers") is False:
        causes += [
            forbidden(f"{at}.{shown}", "when `pod.Spec.HostUsers` is false")
            for field, shown in _NOT_WITH_USERS.items()
            if spec.get(field)
        ]
    return causes


_NOT_WITH_USERS = {"hostNetwork": "hostNetwork", "hostPID": "HostPID", "hostIPC": "HostIPC"}
