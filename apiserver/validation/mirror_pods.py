"""Rules for mirror Pods, which stand for a node's static Pods. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver.validation.causes import forbidden, invalid
from podium.api.status import Cause

Object = dict[str, Any]

MIRROR = "kubernetes.io/config.mirror"
_PATH = f"metadata.annotations[{MIRROR}]"


def _mirror(pod: Object) -> str | None:
    found: str | None = ((pod.get("metadata") or {}).get("annotations") or {}).get(MIRROR)
    return found


def mirror_pod(pod: Object) -> list[Cause]:
    value = _mirror(pod)
    if value is None or (pod.get("spec") or {}).get("nodeName"):
        return []
    return [invalid(_PATH, value, "must set spec.nodeName if mirror pod annotation is set")]


def mirror_pod_update(new: Object, old: Object) -> list[Cause]:
    """What stands for what never changes."""
    now, was = _mirror(new), _mirror(old)
    if now == was:
        return []
    word = "add" if was is None else "remove" if now is None else "update"
    return [forbidden(_PATH, f"may not {word} mirror pod annotation")]
