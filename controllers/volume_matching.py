"""Which PersistentVolume will do for a claim, and on which nodes. Pure.

Room controllers; used by volume_binder.py, local_path_provisioner.py and the scheduler.
Source: Kubernetes' `pkg/controller/volume/persistentvolume` and component-helpers
`storage/volume/pv_helpers.go`, v1.32.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from podium.api import quantity, selectors
from podium.api.node_selector import matches_node

Object = dict[str, Any]

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONERS = (
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
)
LOCAL_PATH = "podium.dev/local-path"
NO_PROVISIONER = "kubernetes.io/no-provisioner"
WAIT = "WaitForFirstConsumer"
_BETA_CLASS = "volume.beta.kubernetes.io/storage-class"


def annotations_of(obj: Object) -> Object:
    found: Object = obj["metadata"].get("annotations") or {}
    return found


def class_of(obj: Object) -> str:
    """Of a volume or a claim; "" for none."""
    found = annotations_of(obj).get(_BETA_CLASS)
    return str(found if found is not None else obj["spec"].get("storageClassName") or "")


def requested(claim: Object) -> Fraction:
    """Bytes."""
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    return quantity.parse(requests.get("storage", 0))


def capacity(volume: Object) -> Fraction:
    """Bytes."""
    return quantity.parse((volume["spec"].get("capacity") or {}).get("storage", 0))


def claim_key(volume: Object) -> str | None:
    """ "namespace/name" of the claim that a volume is bound to or kept for."""
    claim = volume["spec"].get("claimRef")
    return f"{claim.get('namespace')}/{claim.get('name')}" if claim else None


def is_for(volume: Object, claim: Object) -> bool:
    """Whether the volume is bound to this very claim, or kept for one of its name."""
    found, about = volume["spec"].get("claimRef"), claim["metadata"]
    if not found or (found.get("namespace"), found.get("name")) != (
        about["namespace"],
        about["name"],
    ):
        return False
    return found.get("uid") in (None, "", about["uid"])


def mismatch(volume: Object, claim: Object) -> str | None:
    """Why the volume that a claim names will not do; None when it will."""
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of(volume) != class_of(claim):
        return "storageClassName does not match"
    if _mode(volume) != _mode(claim):
        return "incompatible volumeMode"
    if not _has_access_modes(volume, claim):
        return "incompatible accessMode"
    return None


def kept_for(volume: Object, claim: Object) -> Object:
    """The volume with the claim's name on it; a copy."""
    kept = copy.deepcopy(volume)
    if not kept["spec"].get("claimRef"):
        kept["metadata"].setdefault("annotations", {})[BOUND_BY_CONTROLLER] = "yes"
    kept["spec"]["claimRef"] = claim_reference(claim)
    return kept


def claim_reference(claim: Object) -> Object:
    about = claim["metadata"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        **{k: about[k] for k in ("namespace", "name", "uid", "resourceVersion")},
    }


def is_bound(claim: Object) -> bool:
    """Whether the binder is done with it, though its volume may be gone since."""
    return BIND_COMPLETED in annotations_of(claim)


def _mode(obj: Object) -> str:
    return obj["spec"].get("volumeMode") or "Filesystem"


def _has_access_modes(volume: Object, claim: Object) -> bool:
    return set(claim["spec"].get("accessModes") or ()) <= set(
        volume["spec"].get("accessModes") or ()
    )


def best_match(
    claim: Object,
    volumes: Iterable[Object],
    *,
    is_delayed: bool = False,
    node: tuple[str, dict[str, str]] | None = None,
    taken: Iterable[str] = (),
) -> Object | None:
    """The smallest volume that will do; one that is kept for the claim before all others. While the
    claim waits for its first consumer (`is_delayed`) only that. `node` is a name and labels."""
    selector = selectors.from_dict(claim["spec"].get("selector"))
    best: Object | None = None
    for volume in volumes:
        if mismatch(volume, claim) is not None or volume["metadata"]["name"] in taken:
            continue
        if volume["metadata"].get("deletionTimestamp") or not reaches(volume, node):
            continue
        if volume["spec"].get("claimRef"):
            if is_for(volume, claim):
                return volume
            continue
        is_available = (volume.get("status") or {}).get("phase") == "Available"
        if is_delayed or not is_available:
            continue
        if claim["spec"].get("selector") and not selector.matches(volume["metadata"].get("labels")):
            continue
        if best is None or _order(volume) < _order(best):
            best = volume
    return best


def _order(volume: Object) -> tuple[Fraction, str]:
    return capacity(volume), volume["metadata"]["name"]


def reaches(volume: Object, node: tuple[str, dict[str, str]] | None) -> bool:
    """Whether a volume can be had on a node; None stands for any."""
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    if node is None or not required:
        return True
    return matches_node(required, *node)


def claims_of(pod: Object) -> Iterable[tuple[str, bool]]:
    """(claim's name, whether it is made for this Pod alone) of each volume that has one."""
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            yield volume["persistentVolumeClaim"].get("claimName", ""), False
        elif volume.get("ephemeral"):
            yield f"{pod['metadata']['name']}-{volume['name']}", True


def is_owned_by(claim: Object, pod: Object) -> bool:
    """Whether a claim was made for a Pod's ephemeral volume."""
    return any(
        owner.get("uid") == pod["metadata"]["uid"] and owner.get("controller")
        for owner in claim["metadata"].get("ownerReferences") or ()
    )
