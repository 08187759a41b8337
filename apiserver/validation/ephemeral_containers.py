"""Rules for ephemeral containers, and for adding them to a Pod. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32 (KEP-277).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apiserver.validation.causes import forbidden, is_same, not_found
from apiserver.validation.containers import container_list
from apiserver.validation.mirror_pods import MIRROR
from podium.api.status import Cause

Object = dict[str, Any]

_PATH = "spec.ephemeralContainers"
_WHY = "cannot be set for an Ephemeral Container"
# What makes a container part of the workload; the others may be set.
_REFUSED = ("lifecycle", "livenessProbe", "ports", "readinessProbe", "resizePolicy", "resources",
            "restartPolicy", "startupProbe")  # fmt: skip


def ephemeral_containers(spec: Object, path: str, volumes: Mapping[str, Object]) -> list[Cause]:
    found = spec.get("ephemeralContainers") or []
    others = {
        container.get("name", "")
        for kind in ("containers", "initContainers")
        for container in spec.get(kind) or ()
    }
    has_host_users = spec.get("hostUsers") is not False
    causes = container_list(found, path, volumes, set(others), has_host_users=has_host_users)
    for index, container in enumerate(found):
        at, target = f"{path}[{index}]", container.get("targetContainerName")
        if target and target not in others:
            causes.append(not_found(f"{at}.targetContainerName", target))
        causes += [forbidden(f"{at}.{name}", _WHY) for name in _REFUSED if container.get(name)]
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            causes += [
                forbidden(f"{at}.volumeMounts[{number}].{name}", _WHY)
                for name in ("subPath", "subPathExpr")
                if mount.get(name)
            ]
    return causes


def ephemeral_containers_update(new: Object, old: Object) -> list[Cause]:
    """For the `ephemeralcontainers` subresource: those that are there stay as they are."""
    if MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods do not support ephemeral containers")]
    spec = new["spec"]
    volumes = {volume.get("name", ""): volume for volume in spec.get("volumes") or ()}
    causes = ephemeral_containers(spec, _PATH, volumes)
    by_name = {c.get("name"): c for c in spec.get("ephemeralContainers") or ()}
    for was in old["spec"].get("ephemeralContainers") or ():
        about = f'existing ephemeral containers "{was["name"]}" may not be'
        if was["name"] not in by_name:
            causes.append(forbidden(_PATH, f"{about} removed\n"))
        elif not is_same(was, by_name[was["name"]]):
            causes.append(forbidden(_PATH, f"{about} changed\n"))
    return causes
