"""From a Pod's claim to the PersistentVolume behind it, and to a path on this node. Room kubelet;
called by volumes.py.

Source: kubelet `pkg/kubelet/volumemanager/populator/desired_state_of_world_populator.go`.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from kubelet.environment import Surroundings
from kubelet.host_path import WrongHostPath, check_host_path
from kubelet.local_storage import LOCAL_PATH, LocalStorage
from kubelet.volume_kinds import what_is_missing
from podium.api.node_selector import matches_node

Object = dict[str, Any]

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"


class ClaimNotReady(Exception):
    """There is no volume behind the claim, or none that this node can give."""


def claim_name(pod: Object, volume: Object) -> str | None:
    """Of a volume that has a claim; None for every other kind."""
    if volume.get("persistentVolumeClaim"):
        return str(volume["persistentVolumeClaim"]["claimName"])
    if volume.get("ephemeral"):
        return f"{pod['metadata']['name']}-{volume['name']}"
    return None


def find_volume(pod: Object, volume: Object, around: Surroundings) -> Object:
    """The PersistentVolume that the claim is bound to; raises ClaimNotReady."""
    namespace, name = pod["metadata"]["namespace"], claim_name(pod, volume)
    assert name is not None, "asked for volumes with a claim alone"
    what = f"error processing PVC {namespace}/{name}"
    claim = around.fetch("persistentvolumeclaims", namespace, name)
    if claim is None:
        missing = f'persistentvolumeclaims "{name}" not found'
        raise ClaimNotReady(f"{what}: failed to fetch PVC from API server: {missing}")
    if volume.get("ephemeral") and not _is_owner(pod, claim):
        raise ClaimNotReady(f"{what}: PVC was not created for pod (pod is not owner)")
    annotations = claim["metadata"].get("annotations") or {}
    bound_to = claim["spec"].get("volumeName")
    is_bound = (claim.get("status") or {}).get("phase") == "Bound" and BIND_COMPLETED in annotations
    if not bound_to or not is_bound:
        raise ClaimNotReady(f"{what}: PVC is not bound")
    found = around.fetch("persistentvolumes", "", bound_to)
    if found is None:
        raise ClaimNotReady(f"failed to fetch PV {bound_to} from API server: not found")
    if (found["spec"].get("claimRef") or {}).get("uid") != claim["metadata"]["uid"]:
        raise ClaimNotReady(f"PV {bound_to} is bound to another claim than {namespace}/{name}")
    return found


def _is_owner(pod: Object, claim: Object) -> bool:
    owners = claim["metadata"].get("ownerReferences") or ()
    return any(owner.get("uid") == pod["metadata"]["uid"] for owner in owners)


def host_path_of(volume: Object, around: Surroundings, storage: LocalStorage) -> str:
    """Where this node has a PersistentVolume; raises ClaimNotReady, WrongHostPath or OSError."""
    spec, name = volume["spec"], volume["metadata"]["name"]
    _check_affinity(volume, around.node)
    if spec.get("mountOptions"):
        raise ClaimNotReady(f'volume "{name}" has mountOptions: a directory has none')
    if spec.get("hostPath") is not None:
        return check_host_path(spec["hostPath"])
    if spec.get("local") is not None:
        return _check_local(spec["local"]["path"], is_block=spec.get("volumeMode") == "Block")
    if (spec.get("csi") or {}).get("driver") == LOCAL_PATH:
        return storage.ensure(spec["csi"]["volumeHandle"])
    raise ClaimNotReady(what_is_missing(spec) or "this node has no volume plugin for it")


def _check_affinity(volume: Object, node: Object) -> None:
    required = (volume["spec"].get("nodeAffinity") or {}).get("required")
    about = node.get("metadata") or {}
    if required and not matches_node(required, about.get("name", ""), about.get("labels") or {}):
        why = "no matching NodeSelectorTerms"
        name = volume["metadata"]["name"]
        raise ClaimNotReady(f'MountVolume.NodeAffinity check failed for volume "{name}" : {why}')


def _check_local(path: str, *, is_block: bool) -> str:
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise WrongHostPath(f'path "{path}" does not exist') from None
    if is_block and not stat.S_ISBLK(mode):
        raise WrongHostPath(f'path "{path}" is not a block device')
    if not is_block and not (stat.S_ISDIR(mode) or stat.S_ISBLK(mode)):
        raise WrongHostPath(f'path "{path}" is neither a directory nor a block device')
    return path
