"""Who may do what: a fixed table for the cluster's own identities. Room apiserver; called by
routes.py.

Reading right to left: `system:masters` may do everything, the controllers nearly so, the scheduler
binds, and a node sees only what runs on it (as Kubernetes' Node authorizer has it).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from apiserver import listing
from apiserver.discovery import METRICS
from apiserver.errors import ApiError
from apiserver.request_info import Call, User
from apiserver.storage import Store
from podium.api import status
from podium.api.scheme import Resource, resource
from podium.api.selectors import SelectorError, parse_field_selector

Object = dict[str, Any]

MASTERS = "system:masters"
NODES = "system:nodes"
NODE_PREFIX = "system:node:"
NODE_LABEL = "podium.dev/node"  # on a PersistentVolume: whose disk it is on
READS = frozenset({"get", "list", "watch"})
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
# Into a container or a node: for who may do everything, whatever their HTTP method says.
_INTERACTIVE = frozenset({"exec", "attach", "portforward", "proxy"})
_REVIEWS = frozenset({"selfsubjectreviews", "selfsubjectaccessreviews"})


@dataclass(frozen=True, slots=True)
class Action:
    """What is asked, as authorization sees it. The selectors narrow a list or watch."""

    verb: str
    resource: Resource
    subresource: str | None = None
    namespace: str | None = None
    name: str | None = None
    field_selector: str = ""
    label_selector: str = ""

    @property
    def plural(self) -> str:
        """ "pods" or "pods/status"."""
        return (
            f"{self.resource.plural}/{self.subresource}"
            if self.subresource
            else self.resource.plural
        )


def action_of(call: Call) -> Action:
    return Action(call.verb, call.resource, call.subresource, call.namespace, call.name,
                  call.query.get("fieldSelector", ""),
                  call.query.get("labelSelector", ""))  # fmt: skip


def authorize(store: Store, call: Call) -> None:
    """ApiError 403 in Kubernetes' words when the user may not do this."""
    action = action_of(call)
    if not is_allowed(store, call.user, action):
        raise ApiError(
            status.forbidden(action.resource, action.name or "", refusal(call.user, action))
        )


def refusal(user: User, action: Action) -> str:
    where = f'in the namespace "{action.namespace}"' if action.namespace else "at the cluster scope"
    return (
        f'User "{user.name}" cannot {action.verb} resource "{action.plural}" in API group '
        f'"{action.resource.group}" {where}'
    )


def is_allowed(store: Store, user: User, action: Action) -> bool:
    """Whether the table says yes."""
    if action.resource.plural in _REVIEWS:
        return True
    if user.is_read_only:
        return action.verb in READS and action.subresource not in _INTERACTIVE
    if MASTERS in user.groups:
        return True
    if user.name == "system:kube-controller-manager":
        return action.subresource not in _INTERACTIVE and not _debugs(action)
    if user.name == "system:kube-scheduler":
        return _scheduler_may(action)
    node = node_of(user)
    return node is not None and _node_may(store, node, action)


def _debugs(action: Action) -> bool:
    """Only a person stops our loops or has things go wrong; loops say where they have stopped."""
    is_made = action.verb in ("create", "update", "patch")
    return is_made and action.plural in ("breakpoints", "faults", "faults/status")


def node_of(user: User) -> str | None:
    """The name of the node that a kubelet speaks for; None for everyone else."""
    if NODES in user.groups and user.name.startswith(NODE_PREFIX):
        return user.name.removeprefix(NODE_PREFIX)
    return None


_SCHEDULER = {
    "persistentvolumes": frozenset({"update", "patch"}),
    "persistentvolumeclaims": frozenset({"update", "patch"}),
    "pods": frozenset({"delete"}),
    "pods/binding": frozenset({"create"}),
    "pods/status": frozenset({"update", "patch"}),
    "events": frozenset({"create", "update", "patch"}),
    "leases": frozenset({"create", "update", "patch"}),
}


def _scheduler_may(action: Action) -> bool:
    if action.verb in READS and action.subresource not in _INTERACTIVE:
        return action.resource.plural != "secrets"
    return action.verb in _SCHEDULER.get(action.plural, ())


# ---- nodes -------------------------------------------------------------------------------------


def _node_may(store: Store, node: str, action: Action) -> bool:
    if action.resource in METRICS:
        return False
    match action.plural:
        case "nodes" | "nodes/status":
            return _node_may_node(node, action)
        case "pods" | "pods/status" | "pods/eviction":
            return _node_may_pod(store, node, action)
        case "leases":
            return action.namespace == "kube-node-lease" and action.name in (node, None) and (
                action.verb in ("get", "create", "update", "patch", "delete"))  # fmt: skip
        case "events":
            return action.verb in ("create", "update", "patch")
        case "serviceaccounts/token" | "tokenreviews":
            return action.verb == "create"  # for which Pods is seen from the body
        case "configmaps" | "secrets" | "serviceaccounts":
            return _node_may_read(store, node, action)
        case "persistentvolumeclaims" | "persistentvolumes":
            return _node_may_storage(store, node, action)
        case "namespaces" | "runtimeclasses":
            return action.verb == "get"
        case "breakpoints" | "breakpoints/status":
            return _node_may_debug(store, action, "controller", f"kubelet/{node}")
        case "faults" | "faults/status":
            return _node_may_debug(store, action, "target", node)
    return False


def _node_may_node(node: str, action: Action) -> bool:
    if action.verb in ("list", "watch"):
        return _selects(action, "metadata.name", node)
    if action.verb == "create":
        return True  # which name is checked by admission, when the body is known
    return action.name == node and action.verb in ("get", "update", "patch")


def _node_may_pod(store: Store, node: str, action: Action) -> bool:
    if action.verb in ("list", "watch") and action.name is None:
        return _selects(action, "spec.nodeName", node)
    if action.plural == "pods" and action.verb == "create":
        return True  # that it is a mirror Pod is checked by admission, when the body is known
    if action.name is None or action.namespace is None or action.verb == "deletecollection":
        return False
    if action.plural == "pods" and action.verb not in ("get", "delete", "watch"):
        return False
    pod = store.get("pods", action.namespace, action.name)
    # A Pod that is gone is nobody's secret: 404 says more than 403.
    return pod is None or pod.object["spec"].get("nodeName") == node


def _node_may_debug(store: Store, action: Action, field: str, own: str) -> bool:
    """Breakpoints that stop its own kubelet and faults of its own node, which have `own` in that
    field of their spec: to see them, and to say what came of them."""
    if action.verb in ("list", "watch"):
        return _selects(action, f"spec.{field}", own)
    if action.name is None or (action.verb, action.subresource) != ("patch", "status"):
        return False
    record = store.get(action.resource.key, "", action.name)
    return record is None or record.object["spec"].get(field) == own


def _node_may_storage(store: Store, node: str, action: Action) -> bool:
    """The claims of its own Pods and the volumes that those are bound to; and the volumes that it
    keeps on its own disk, which it also lets go once they are removed."""
    if action.plural == "persistentvolumeclaims":
        return _node_may_read(store, node, action)
    if action.verb in ("list", "watch") and action.name is None:
        return f"{NODE_LABEL}={node}" == action.label_selector
    if action.verb not in ("get", "patch") or action.name is None:
        return False
    record = store.get("persistentvolumes", "", action.name)
    if record is None:
        return True  # 404 says more than 403
    volume = record.object
    if (volume["metadata"].get("labels") or {}).get(NODE_LABEL) == node:
        return True
    claim = volume["spec"].get("claimRef") or {}
    if action.verb != "get" or not claim.get("name"):
        return False
    asked = Action("get", resource("persistentvolumeclaims"), None, claim.get("namespace"),
                   claim["name"])  # fmt: skip
    return _node_may_read(store, node, asked)


def _selects(action: Action, path: str, value: str) -> bool:
    try:
        requirements = parse_field_selector(action.field_selector).requirements
    except SelectorError:
        return False
    return (path, value, True) in requirements


def _node_may_read(store: Store, node: str, action: Action) -> bool:
    """Only what a Pod of this node refers to."""
    name = action.name or _selected_name(action)
    if action.verb not in READS or name is None or action.namespace is None:
        return False
    wanted = (action.resource.plural, name)
    pods = listing.pages(store, resource("pods"), listing.Filter(action.namespace))
    return any(
        wanted in set(references(pod))
        for page in pods
        for pod in (record.object for record in page.records)
        if pod["spec"].get("nodeName") == node
    )


def _selected_name(action: Action) -> str | None:
    try:
        return listing.Filter(None, fields=parse_field_selector(action.field_selector)).only_name()
    except SelectorError:
        return None


def references(pod: Object) -> Iterator[tuple[str, str]]:
    """("configmaps", "web"), … of everything that a Pod reads."""
    spec = pod.get("spec") or {}
    yield "serviceaccounts", spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", secret.get("name", "")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            yield from _of_container(container)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, pod["metadata"].get("name", ""))
        for source in (volume.get("projected") or {}).get("sources") or ():
            yield from _of_projection(source)


def _of_container(container: Object) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom") or ():
        for field, plural in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if field in source:
                yield plural, source[field].get("name", "")
    for variable in container.get("env") or ():
        value_from = variable.get("valueFrom") or {}
        for field, plural in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if field in value_from:
                yield plural, value_from[field].get("name", "")


def _of_volume(volume: Object, pod_name: str) -> Iterator[tuple[str, str]]:
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", volume["persistentVolumeClaim"].get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", f"{pod_name}-{volume.get('name', '')}"
    if "configMap" in volume:
        yield "configmaps", volume["configMap"].get("name", "")
    if "secret" in volume:
        yield "secrets", volume["secret"].get("secretName", "")


def _of_projection(source: Object) -> Iterator[tuple[str, str]]:
    for field, plural in (("configMap", "configmaps"), ("secret", "secrets")):
        if field in source:
            yield plural, source[field].get("name", "")
