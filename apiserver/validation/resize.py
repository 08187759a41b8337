"""Rules for resizing a Pod where it runs: what its subresource `resize` may change. Room: the API
server.

Source: Kubernetes' `ValidatePodResize` and `pkg/registry/core/pod/strategy.go`, v1.32, KEP-1287.
"""

from __future__ import annotations

from typing import Any

from apiserver.strategies import qos_class
from apiserver.validation.causes import (
    duplicate,
    forbidden,
    invalid,
    is_same,
    not_supported,
    required,
)
from apiserver.validation.containers import resources
from podium.api import quantity
from podium.api.status import Cause

Object = dict[str, Any]

RESIZABLE = ("cpu", "memory")
RESIZE_POLICIES = ("NotRequired", "RestartContainer")
MIRROR_ANNOTATION = "kubernetes.io/config.mirror"


def validate_resize(new: Object, old: Object) -> list[Cause]:
    """Every cause that speaks against this resize; the server has put back all else."""
    if (old["metadata"].get("annotations") or {}).get(MIRROR_ANNOTATION) is not None:
        return [forbidden("", "static pods cannot be resized")]
    causes: list[Cause] = []
    qos = qos_class(new["spec"])
    if qos != qos_class(old["spec"]):
        why = "Pod QOS Class may not change as a result of resizing"
        causes.append(invalid("spec", qos, why))
    if not _runs_where_resize_is_known(old):
        causes.append(forbidden("spec", "Pod running on node without support for resize"))
    pairs = zip(new["spec"]["containers"], old["spec"]["containers"], strict=True)
    for index, (container, was) in enumerate(pairs):
        causes += _container(container, was, f"spec.containers[{index}]")
    return causes


def _runs_where_resize_is_known(pod: Object) -> bool:
    for found in (pod.get("status") or {}).get("containerStatuses") or ():
        if (found.get("state") or {}).get("running"):
            return found.get("resources") is not None
    return True


def _container(container: Object, was: Object, at: str) -> list[Cause]:
    now, before = container.get("resources") or {}, was.get("resources") or {}
    causes = resources(now, f"{at}.resources")
    for kind in ("limits", "requests"):
        amounts, old = now.get(kind) or {}, before.get(kind) or {}
        if old.keys() - amounts.keys():
            why = f"resource {kind} cannot be removed"
            causes.append(forbidden(f"{at}.resources.{kind}", why))
        elif any(not _is_equal(amounts[name], old.get(name)) for name in _fixed(amounts)):
            causes.append(forbidden("spec", "only cpu and memory resources are mutable"))
    if not is_same(container.get("resizePolicy"), was.get("resizePolicy")) or not is_same(
        now.get("claims"), before.get("claims")
    ):
        causes.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return causes


def _fixed(amounts: Object) -> list[str]:
    return [name for name in amounts if name not in RESIZABLE]


def _is_equal(now: Any, before: Any) -> bool:
    return before is not None and quantity.parse(now) == quantity.parse(before)


def policies(spec: Object, path: str) -> list[Cause]:
    """What a change of cpu or memory does to containers that run."""
    restart_policy = spec.get("restartPolicy", "")
    causes: list[Cause] = []
    for index, container in enumerate(spec.get("containers") or ()):
        causes += _policies(container, f"{path}.containers[{index}].resizePolicy", restart_policy)
    for index, container in enumerate(spec.get("initContainers") or ()):
        if container.get("resizePolicy"):
            at = f"{path}.initContainers[{index}].resizePolicy"
            why = "must not be set for init containers"
            causes.append(invalid(at, container["resizePolicy"], why))
    return causes


def _policies(container: Object, path: str, restart_policy: str) -> list[Cause]:
    causes: list[Cause] = []
    seen: set[str] = set()
    for index, policy in enumerate(container.get("resizePolicy") or ()):
        name, restart = policy.get("resourceName", ""), policy.get("restartPolicy", "")
        if name in seen:
            causes.append(duplicate(f"{path}[{index}]", name))
        seen.add(name)
        if name not in RESIZABLE:
            causes.append(not_supported(path, name, RESIZABLE))
        if not restart:
            causes.append(required(path))
        elif restart not in RESIZE_POLICIES:
            causes.append(not_supported(path, restart, RESIZE_POLICIES))
        if restart_policy == "Never" and restart != "NotRequired":
            why = "must be 'NotRequired' when `restartPolicy` is 'Never'"
            causes.append(invalid(path, restart, why))
    return causes
