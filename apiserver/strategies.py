"""What the server itself decides about an object: what a writer may set, and what is filled in.

Room apiserver; called by verbs.py between decoding and validation. Changes the new object in place.
Source: Kubernetes' `pkg/registry/*/strategy.go`, v1.32.
"""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Iterable
from typing import Any

from podium.api import meta
from podium.api.debugging import BREAKPOINTS
from podium.api.quantity import QuantityError, parse
from podium.api.scheme import Resource

Object = dict[str, Any]

# Letters and digits that make no words: Kubernetes' own alphabet for generated names.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_SUFFIX_LENGTH = 5
_LONGEST_GENERATED = 63

_COUNTS_GENERATIONS = frozenset({"deployments.apps", "replicasets.apps"})
# A kubelet registers its Node with a status; every other kind's status starts empty.
_KEEPS_STATUS_ON_CREATE = frozenset({"nodes"})
_CREATED_BY_PUT = frozenset({"leases.coordination.k8s.io", "events"})
_NEEDS_REVISION_ON_UPDATE = frozenset({"leases.coordination.k8s.io"})
_ANSWERS_DELETED_OBJECT = frozenset(
    {"pods", "namespaces", "serviceaccounts", "persistentvolumes", "persistentvolumeclaims",
     "storageclasses.storage.k8s.io"}
)  # fmt: skip

# What only the server sets in metadata.
_SERVERS_OWN = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
                "generation", "selfLink", "resourceVersion", "managedFields")  # fmt: skip


def may_be_created_by_put(resource: Resource) -> bool:
    return resource.key in _CREATED_BY_PUT


def needs_revision_on_update(resource: Resource) -> bool:
    """Whether a PUT without metadata.resourceVersion is refused rather than unconditional."""
    return resource.key in _NEEDS_REVISION_ON_UPDATE


def answers_deleted_object(resource: Resource) -> bool:
    """Whether DELETE answers with the object; otherwise with a Status."""
    return resource.key in _ANSWERS_DELETED_OBJECT


def generated_name(base: str) -> str:
    """ "web-" → "web-x7k2p"."""
    suffix = "".join(random.choices(_ALPHABET, k=_SUFFIX_LENGTH))
    return base[: _LONGEST_GENERATED - _SUFFIX_LENGTH] + suffix


def has_status(resource: Resource) -> bool:
    return "status" in resource.subresources


# ---- create ------------------------------------------------------------------------------------


def prepare_create(resource: Resource, obj: Object) -> None:
    """Identity, time, and a status that no writer gives. After defaulting."""
    metadata = obj["metadata"]
    _drop_what_is_off(resource, obj)
    for name in _SERVERS_OWN:
        metadata.pop(name, None)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generated_name(metadata["generateName"])
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = meta.now()
    if resource.key in _COUNTS_GENERATIONS:
        metadata["generation"] = 1
    if has_status(resource) and resource.key not in _KEEPS_STATUS_ON_CREATE:
        obj["status"] = {}
    if resource.key == BREAKPOINTS:
        _number_action(obj, {})
    match resource.key:
        case "pods":
            obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj.get("spec") or {})}
        case "namespaces":
            _prepare_namespace(obj)
            obj.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            obj["status"] = {"phase": "Active"}
        case "persistentvolumes" | "persistentvolumeclaims":
            obj["status"] = {"phase": "Pending"}


def _drop_what_is_off(resource: Resource, obj: Object) -> None:
    """Resources of a whole Pod are alpha in v1.32, and off: not refused, but not kept either."""
    spec = obj.get("spec") or {}
    if resource.key == "pods":
        spec.pop("resources", None)
    elif isinstance(spec.get("template"), dict):
        (spec["template"].get("spec") or {}).pop("resources", None)


def _prepare_namespace(namespace: Object) -> None:
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata.setdefault("labels", {})["kubernetes.io/metadata.name"] = metadata["name"]


def qos_class(spec: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by every container's cpu and memory."""
    containers = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    found = [container.get("resources") or {} for container in containers]
    given = [_counted(r.get("requests")) | _counted(r.get("limits")) for r in found]
    if not any(given):
        return "BestEffort"
    return "Guaranteed" if all(map(_is_guaranteed, found)) else "Burstable"


def _counted(amounts: Object | None) -> set[str]:
    return {name for name in ("cpu", "memory") if _amount((amounts or {}).get(name)) > 0}


def _is_guaranteed(resources: Object) -> bool:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    return _counted(limits) == {"cpu", "memory"} and all(
        _amount(requests.get(name, limits[name])) == _amount(limits[name])
        for name in ("cpu", "memory")
    )


def _amount(quantity: Any) -> Any:
    try:
        return parse(quantity) if quantity is not None else 0
    except QuantityError:
        return 0  # validation says so in its own words


# ---- update ------------------------------------------------------------------------------------


def prepare_update(resource: Resource, new: Object, old: Object, subresource: str | None) -> None:
    """Put back what this writer may not change. After defaulting."""
    _drop_what_is_off(resource, new)
    if subresource == "status":
        _keep_all_but_status(resource, new, old)
        if resource.key == BREAKPOINTS:
            _drop_done_action(new)
    elif subresource == "ephemeralcontainers":
        _keep_all_but_ephemeral_containers(new, old)
    elif has_status(resource) and "status" in old:
        new["status"] = old["status"]
    elif has_status(resource):
        new.pop("status", None)
    if resource.key == BREAKPOINTS and subresource is None:
        _number_action(new, old)
    if resource.key == "namespaces":
        if subresource != "finalize":
            new.setdefault("spec", {})["finalizers"] = (old.get("spec") or {}).get(
                "finalizers"
            ) or []
            if not new["spec"]["finalizers"]:
                del new["spec"]["finalizers"]
        _prepare_namespace(new)
    if subresource == "resize":
        _keep_all_but_resources(new, old)
    _keep_servers_own(new["metadata"], old["metadata"])
    if subresource == "status" or resource.key not in _COUNTS_GENERATIONS:
        return
    if _is_new_generation(resource, new, old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _number_action(new: Object, old: Object) -> None:
    """An action has an id, so that each is taken once: a new one if it is not the old one."""
    action, before = (((o.get("spec") or {}).get("action")) for o in (new, old))
    if action and (not action.get("id") or (before and _differs_under_same_id(action, before))):
        action["id"] = uuid.uuid4().hex[:8]


def _differs_under_same_id(action: Object, before: Object) -> bool:
    return action != before and action.get("id") == before.get("id")


def _drop_done_action(found: Object) -> None:
    """Its writer has said in the status what came of it: then it has had its time. So the same
    action can be asked for again by the same patch."""
    action, done = found["spec"].get("action"), found["status"].get("lastAction")
    if action and done and action.get("id") == done.get("id"):
        found["spec"] = {name: value for name, value in found["spec"].items() if name != "action"}


def _keep_all_but_resources(new: Object, old: Object) -> None:
    """A resize changes its containers' resources and how they are to be changed, whatever else was
    sent. A Pod whose cpu or memory becomes another is Proposed for it."""
    kept = copy.deepcopy(old)
    wanted = {c.get("name"): c for c in (new.get("spec") or {}).get("containers") or ()}
    is_changed = False
    for container in kept["spec"]["containers"]:
        if container["name"] in wanted:
            before = container.get("resources") or {}
            for name in ("resources", "resizePolicy"):
                container.pop(name, None)
                if name in wanted[container["name"]]:
                    container[name] = wanted[container["name"]][name]
            is_changed |= before != (container.get("resources") or {})
    if is_changed:
        kept["status"] = {**(old.get("status") or {}), "resize": "Proposed"}
    new["spec"], new["status"] = kept["spec"], kept.get("status") or {}


def _keep_finalizers(new: Object, old: Object, subresource: str | None) -> None:
    """A namespace's spec.finalizers change by /finalize, and nothing else does there."""
    finalizers = ((new if subresource == "finalize" else old).get("spec") or {}).get("finalizers")
    if subresource == "finalize":
        metadata = copy.deepcopy(old["metadata"])
        new.clear()
        new.update({k: v for k, v in old.items() if k != "metadata"}, metadata=metadata)
    new["spec"] = {"finalizers": list(finalizers)} if finalizers else {}


def _keep_servers_own(new: Object, old: Object) -> None:
    for name in _SERVERS_OWN:
        if name in old:
            new[name] = old[name]
        else:
            new.pop(name, None)
    if "generateName" in old:
        new.setdefault("generateName", old["generateName"])


def _keep_all_but_status(resource: Resource, new: Object, old: Object) -> None:
    """Status writers may annotate (and kubelets label), nothing else."""
    status = new.get("status") or {}
    metadata = {k: v for k, v in old["metadata"].items() if k != "annotations"}
    if new["metadata"].get("annotations"):
        metadata["annotations"] = new["metadata"]["annotations"]
    if resource.key in ("nodes", "pods"):
        metadata.pop("labels", None)
        if new["metadata"].get("labels"):
            metadata["labels"] = new["metadata"]["labels"]
    if resource.key == "pods" and "qosClass" in (old.get("status") or {}):
        status.setdefault("qosClass", old["status"]["qosClass"])
    kept = {k: v for k, v in old.items() if k not in ("metadata", "status")}
    new.clear()
    new.update(kept, metadata=metadata, status=status)


def _keep_all_but_ephemeral_containers(new: Object, old: Object) -> None:
    """Who adds them may annotate and label as well."""
    metadata = dict(old["metadata"])
    for name in ("annotations", "labels", "finalizers", "resourceVersion"):
        metadata.pop(name, None)
        if new["metadata"].get(name):
            metadata[name] = new["metadata"][name]
    spec = {k: v for k, v in old["spec"].items() if k != "ephemeralContainers"}
    if wanted := (new.get("spec") or {}).get("ephemeralContainers"):
        spec["ephemeralContainers"] = wanted
    kept = {k: v for k, v in old.items() if k not in ("metadata", "spec")}
    new.clear()
    new.update(kept, metadata=metadata, spec=spec)


def _is_new_generation(resource: Resource, new: Object, old: Object) -> bool:
    """Whether the desired state has changed (for Deployments annotations count, as in
    Kubernetes)."""
    if new.get("spec") != old.get("spec"):
        return True
    if resource.key != "deployments.apps":
        return False
    return (new["metadata"].get("annotations") or {}) != (old["metadata"].get("annotations") or {})


def is_same(new: Object, old: Object) -> bool:
    """Whether an update changes nothing. Both have the same revision by now."""
    return new == old


def is_finished(resource: Resource, obj: Object) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    return resource.key != "namespaces" or not (obj.get("spec") or {}).get("finalizers")


def without(items: Iterable[str], *gone: str) -> list[str]:
    return [item for item in items if item not in gone]
