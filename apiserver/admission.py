"""What must be so before an object may come to be, and what is filled in on the cluster's behalf.

Room apiserver; called by verbs.py on create, before validation.
Source: Kubernetes' admission plugins NamespaceLifecycle, ServiceAccount, DefaultTolerationSeconds
and Priority, v1.32.
"""

from __future__ import annotations

from typing import Any

from apiserver import pod_classes, service_account_admission, storage_admission
from apiserver.authorization import node_of
from apiserver.errors import ApiError
from apiserver.mirror_admission import check_mirror, is_mirror
from apiserver.request_info import User
from apiserver.storage import Store
from apiserver.validation.causes import not_found
from podium.api import debugging, status
from podium.api.scheme import Resource, resource

Object = dict[str, Any]

_TOLERATED = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATION_S = 300
# In a namespace that ends, these may still be written: they say what happens to what is in it.
_ALLOWED_IN_TERMINATING = frozenset({"events"})


def admit_create(store: Store, user: User, kind: Resource, obj: Object) -> None:
    """Check the namespace, fill in a Pod; ApiError 404 or 403."""
    if kind.key == "nodes":
        _check_own_node(user, obj)
    if kind.namespaced:
        _check_namespace(store, kind, obj["metadata"])
    match kind.key:
        case "pods":
            check_mirror(user, obj)
            _fill_pod(store, obj)
        case "priorityclasses.scheduling.k8s.io":
            pod_classes.check_only_default(store, obj)
        case "breakpoints.debug.podium.dev":
            _check_node_to_stop(store, kind, obj)
        case "persistentvolumes":
            storage_admission.protect(kind, obj)
        case "persistentvolumeclaims":
            storage_admission.protect(kind, obj)
            storage_admission.fill_in_class(store, obj)


def admit_update(store: Store, kind: Resource, new: Object, old: Object) -> None:
    """ApiError 403 for a change that the rest of the cluster does not allow."""
    if kind.key == "persistentvolumeclaims":
        storage_admission.check_growth(store, new, old)
    if kind.key == "priorityclasses.scheduling.k8s.io":
        pod_classes.check_only_default(store, new)


def _check_own_node(user: User, node: Object) -> None:
    """A kubelet registers its own Node and no other."""
    own = node_of(user)
    name = node["metadata"].get("name", "")
    if own is not None and own != name:
        why = f'node "{own}" is not allowed to modify node "{name}"'
        raise ApiError(status.forbidden(resource("nodes"), name, why))


def _check_node_to_stop(store: Store, kind: Resource, found: Object) -> None:
    """A kubelet can be stopped only where there is one; 422."""
    controller = (found.get("spec") or {}).get("controller") or ""
    node = debugging.node_of(controller)
    if node and store.get("nodes", "", node) is None:
        cause = not_found("spec.controller", controller)
        raise ApiError(status.invalid(kind, found["metadata"].get("name") or "", [cause]))


def _check_namespace(store: Store, kind: Resource, metadata: Object) -> None:
    name = metadata["namespace"]
    record = store.get("namespaces", "", name)
    if record is None:
        raise ApiError(status.not_found(resource("namespaces"), name))
    if b'"deletionTimestamp"' not in record.body or kind.key in _ALLOWED_IN_TERMINATING:
        return
    if not record.object["metadata"].get("deletionTimestamp"):
        return
    why = f"unable to create new content in namespace {name} because it is being terminated"
    body = status.forbidden(kind, metadata.get("name", ""), why)
    cause = {"reason": "NamespaceTerminating", "message": f"namespace {name} is being terminated",
             "field": "metadata.namespace"}  # fmt: skip
    body.setdefault("details", {})["causes"] = [cause]
    raise ApiError(body)


def _fill_pod(store: Store, pod: Object) -> None:
    spec = pod.setdefault("spec", {})
    if not is_mirror(pod):  # that one has no use for an account
        service_account_admission.admit(store, pod)
    pod_classes.fill_in_priority(store, pod)
    _tolerate_short_outages(spec)
    pod_classes.fill_in_runtime_class(store, pod)


def _tolerate_short_outages(spec: Object) -> None:
    """A Pod stays for five minutes on a node that cannot be reached, unless it says otherwise."""
    tolerations = spec.setdefault("tolerations", [])
    if not isinstance(tolerations, list):
        return
    for key in _TOLERATED:
        if not any(_tolerates(toleration, key) for toleration in tolerations):
            tolerations.append({"key": key, "operator": "Exists", "effect": "NoExecute",
                                "tolerationSeconds": _TOLERATION_S})  # fmt: skip


def _tolerates(toleration: Object, key: str) -> bool:
    if toleration.get("effect") not in (None, "", "NoExecute"):
        return False
    return toleration.get("key") == key or (
        not toleration.get("key") and toleration.get("operator") == "Exists"
    )
