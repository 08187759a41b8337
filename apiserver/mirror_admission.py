"""What a kubelet may create: mirror Pods of its own static Pods, and nothing else. Room apiserver.

Called by admission.py. Source: Kubernetes' admission plugins NodeRestriction and ServiceAccount.
"""

from __future__ import annotations

from typing import Any

from apiserver.authorization import node_of, references
from apiserver.errors import ApiError
from apiserver.request_info import User
from apiserver.validation.mirror_pods import MIRROR
from podium.api import status
from podium.api.scheme import resource

Object = dict[str, Any]


def is_mirror(pod: Object) -> bool:
    return MIRROR in (pod["metadata"].get("annotations") or {})


def check_mirror(user: User, pod: Object) -> None:
    """ApiError 403 for a Pod that a node may not create, or a mirror that refers to API objects."""
    node = node_of(user)
    if node is not None:
        _check_node(node, pod)
    if not is_mirror(pod):
        return
    if (pod.get("spec") or {}).get("serviceAccountName"):
        raise _refused(pod, "a mirror pod may not reference service accounts")
    if any(kind == "secrets" for kind, _ in references(pod)):
        raise _refused(pod, "a mirror pod may not reference secrets")


def _check_node(node: str, pod: Object) -> None:
    if not is_mirror(pod):
        why = f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods'
        raise _refused(pod, why)
    if (pod.get("spec") or {}).get("nodeName") != node:
        why = f'node "{node}" can only create pods with spec.nodeName set to itself'
        raise _refused(pod, why)
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) != 1 or (owners[0].get("kind"), owners[0].get("name")) != ("Node", node):
        why = f'node "{node}" can only create pods with an owner reference set to itself'
        raise _refused(pod, why)
    for kind, _ in references(pod):
        if kind in ("configmaps", "secrets"):
            raise _refused(pod, f'node "{node}" can not create pods that reference {kind}')


def _refused(pod: Object, why: str) -> ApiError:
    return ApiError(status.forbidden(resource("pods"), pod["metadata"].get("name", ""), why))
