"""Room controllers: brings claims and PersistentVolumes together, and apart.

    claim    Pending → Bound → Lost (its volume is gone)
    volume   Pending → Available → Bound → Released (its claim is gone) → deleted, or kept (Retain)

A volume says whose it is (claimRef), then the claim names its volume; each half is written alone
and may be the last before a crash, so either half is completed from the other. Who makes volumes
is local_path_provisioner.py; whose data they hold, the kubelet.
Source: Kubernetes' `pkg/controller/volume/persistentvolume/pv_controller.go`, v1.32.
"""

from __future__ import annotations

import copy
from typing import Any

from controllers import volume_matching as matching
from podium.api import meta
from podium.client.clock import Clock
from podium.client.errors import NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

BY_CLAIM, BY_VOLUME, UNBOUND = "claim", "volume", "unbound"
_NO_PV_NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
_WAITS = "waiting for first consumer to be created before binding"
_LOST_REFERENCE = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
_LOST = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
_MISBOUND = "Two claims are bound to the same volume, this one is bound incorrectly"
_NO_DELETER = "no deletable volume plugin matched"


class VolumeBinder:
    """One loop for claims, one for volumes; one thread each, so that no volume is given twice."""

    name = "persistentvolume-binder"
    component = "persistentvolume-controller"

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: EventRecorder, clock: Clock
    ) -> None:
        self._client, self._recorder, self._clock = client, recorder, clock
        self._claims = informers.informer("persistentvolumeclaims")
        self._volumes = informers.informer("persistentvolumes")
        self._classes = informers.informer("storageclasses")
        self._volumes.add_index(BY_CLAIM, lambda v: filter(None, [matching.claim_key(v)]))
        self._claims.add_index(UNBOUND, lambda c: [] if matching.is_bound(c) else [True])
        self._claim_loop = ReconcileLoop(self.name, self.reconcile_claim, clock=clock)
        self._volume_loop = ReconcileLoop(f"{self.name}-pv", self.reconcile_volume, clock=clock)
        self._claims.add_handler(
            self._claim_seen, lambda _, new: self._claim_seen(new), self._claim_gone
        )
        self._volumes.add_handler(
            self._volume_seen, lambda _, new: self._volume_seen(new), self._volume_gone
        )
        self._classes.add_handler(lambda _: self._wake_unbound())

    def start(self) -> None:
        self._claim_loop.start()
        self._volume_loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._claim_loop.stop()
        self._volume_loop.stop()

    # --- hearing --------------------------------------------------------------------------------

    def _claim_seen(self, claim: Object) -> None:
        self._claim_loop.add(meta.key_of(claim))
        if claim["spec"].get("volumeName"):
            self._volume_loop.add(claim["spec"]["volumeName"])

    def _claim_gone(self, claim: Object) -> None:
        for volume in self._volumes.by_index(BY_CLAIM, meta.key_of(claim)):
            self._volume_loop.add(volume["metadata"]["name"])

    def _volume_seen(self, volume: Object) -> None:
        self._volume_loop.add(volume["metadata"]["name"])
        key = matching.claim_key(volume)
        if key is not None:
            self._claim_loop.add(key)
        else:
            self._wake_unbound()

    def _volume_gone(self, volume: Object) -> None:
        if key := matching.claim_key(volume):
            self._claim_loop.add(key)

    def _wake_unbound(self) -> None:
        for claim in self._claims.by_index(UNBOUND, True):
            self._claim_loop.add(meta.key_of(claim))

    # --- claims ---------------------------------------------------------------------------------

    def reconcile_claim(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None:
            return
        if matching.is_bound(claim):
            self._sync_bound(claim)
        elif not claim["metadata"].get("deletionTimestamp"):
            self._sync_unbound(claim)

    def _sync_unbound(self, claim: Object) -> None:
        if named := claim["spec"].get("volumeName"):
            self._bind_named(claim, named)
            return
        class_name = matching.class_of(claim)
        found = self._classes.get(class_name) if class_name else None
        is_delayed = (
            found is not None
            and found.get("volumeBindingMode") == matching.WAIT
            and matching.SELECTED_NODE not in matching.annotations_of(claim)
        )
        volume = matching.best_match(claim, self._volumes.list(), is_delayed=is_delayed)
        if volume is not None:
            self._bind(volume, claim)
        elif is_delayed:
            self._recorder.event(claim, "Normal", matching.WAIT, _WAITS)
        elif class_name:
            self._await_provisioner(claim, class_name, found)
        else:
            self._recorder.event(claim, "Normal", "FailedBinding", _NO_PV_NO_CLASS)

    def _bind_named(self, claim: Object, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None:
            return  # it may still come
        if not volume["spec"].get("claimRef"):
            why = matching.mismatch(volume, claim)
            if why is not None:
                message = f'Cannot bind to requested volume "{name}": {why}'
                self._recorder.event(claim, "Warning", "VolumeMismatch", message)
                return
        elif not matching.is_for(volume, claim):
            message = f'volume "{name}" already bound to a different claim.'
            self._recorder.event(claim, "Warning", "FailedBinding", message)
            return
        self._bind(volume, claim)

    def _await_provisioner(self, claim: Object, name: str, found: Object | None) -> None:
        if found is None:
            message = f'storageclass.storage.k8s.io "{name}" not found'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
            return
        provisioner = found.get("provisioner", "")
        if provisioner == matching.NO_PROVISIONER:
            message = f'no volume plugin matched name: "{provisioner}"'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
            return
        marks = dict.fromkeys(matching.PROVISIONERS, provisioner)
        if not marks.items() <= matching.annotations_of(claim).items():
            self._patch_claim(claim, {"metadata": {"annotations": marks}})
        self._recorder.event(
            claim, "Normal", "ExternalProvisioning",
            f"Waiting for a volume to be created either by the external provisioner "
            f"'{provisioner}' or manually by the system administrator. If volume creation is "
            f"delayed, please verify that the provisioner is running and correctly registered.",
        )  # fmt: skip

    def _sync_bound(self, claim: Object) -> None:
        name = claim["spec"].get("volumeName")
        volume = self._volumes.get(name) if name else None
        if not name:
            self._lose(claim, "ClaimLost", _LOST_REFERENCE)
        elif volume is None:
            if self._is_gone("persistentvolumes", name):
                self._lose(claim, "ClaimLost", _LOST)
        elif not volume["spec"].get("claimRef") or matching.is_for(volume, claim):
            self._bind(volume, claim)
        else:
            self._lose(claim, "ClaimMisbound", _MISBOUND)

    def _is_gone(self, plural: str, name: str) -> bool:
        """Asked of the API: the cache may be behind."""
        try:
            self._client.get(plural, name)
        except NotFound:
            return True
        return False

    def _lose(self, claim: Object, reason: str, message: str) -> None:
        if (claim.get("status") or {}).get("phase") == "Lost":
            return
        self._patch_claim(claim, {"status": {"phase": "Lost"}}, "status")
        self._recorder.event(claim, "Warning", reason, message)

    def _patch_claim(self, claim: Object, patch: Object, subresource: str | None = None) -> Object:
        about = claim["metadata"]
        patch = {**patch, "metadata": {"uid": about["uid"], **patch.get("metadata", {})}}
        return self._client.patch(
            "persistentvolumeclaims", about["name"], about["namespace"], patch,
            subresource=subresource,
        )  # fmt: skip

    # --- binding --------------------------------------------------------------------------------

    def _bind(self, volume: Object, claim: Object) -> None:
        """Both halves and both states, as far as they are missing. Conflicts are tried again."""
        volume = self._claim_volume(volume, claim)
        self._set_phase(volume, "Bound")
        claim = self._name_volume(claim, volume)
        status = claim.get("status") or {}
        if status.get("phase") == "Bound":
            return
        wanted = {
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": volume["spec"]["capacity"],
        }
        self._patch_claim(claim, {"status": wanted}, "status")

    def _claim_volume(self, volume: Object, claim: Object) -> Object:
        found, about = volume["spec"].get("claimRef"), claim["metadata"]
        if found and found.get("uid") == about["uid"]:
            return volume
        return self._client.update("persistentvolumes", matching.kept_for(volume, claim))

    def _name_volume(self, claim: Object, volume: Object) -> Object:
        if (
            matching.is_bound(claim)
            and claim["spec"].get("volumeName") == volume["metadata"]["name"]
        ):
            return claim
        marks = {matching.BIND_COMPLETED: "yes"}
        if not claim["spec"].get("volumeName"):
            marks[matching.BOUND_BY_CONTROLLER] = "yes"
        wanted = copy.deepcopy(claim)
        wanted["spec"]["volumeName"] = volume["metadata"]["name"]
        wanted["metadata"].setdefault("annotations", {}).update(marks)
        return self._client.update("persistentvolumeclaims", wanted)

    def _set_phase(self, volume: Object, phase: str, message: str = "") -> Object:
        if (volume.get("status") or {}).get("phase") == phase:
            return volume
        status: Object = {
            "phase": phase,
            "message": message or None,
            "lastPhaseTransitionTime": meta.now(self._clock.now()),
        }
        patch = {"metadata": {"uid": volume["metadata"]["uid"]}, "status": status}
        name = volume["metadata"]["name"]
        return self._client.patch("persistentvolumes", name, None, patch, subresource="status")

    # --- volumes --------------------------------------------------------------------------------

    def reconcile_volume(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None:
            return
        found = volume["spec"].get("claimRef")
        if not found or not found.get("uid"):
            self._set_phase(volume, "Available")
            return
        claim = self._claim_of(found)
        if claim is None:
            self._release(volume)
        elif not claim["spec"].get("volumeName"):
            self._claim_loop.add(meta.key_of(claim))
        elif claim["spec"]["volumeName"] == name:
            self._set_phase(volume, "Bound")
        else:
            self._let_go(volume)

    def _claim_of(self, reference: Object) -> Object | None:
        """None once that very claim is gone, as the API has it."""
        namespace, name, uid = (reference.get(k) for k in ("namespace", "name", "uid"))
        claim = self._claims.get(f"{namespace}/{name}")
        if claim is None or claim["metadata"]["uid"] != uid:
            try:
                claim = self._client.get("persistentvolumeclaims", str(name), namespace)
            except NotFound:
                return None
        return claim if claim["metadata"]["uid"] == uid else None

    def _let_go(self, volume: Object) -> None:
        """Its claim has another volume by now."""
        annotations = matching.annotations_of(volume)
        if annotations.get(matching.PROVISIONED_BY) and _policy(volume) == "Delete":
            self._release(volume)
            return
        wanted = copy.deepcopy(volume)
        if annotations.get(matching.BOUND_BY_CONTROLLER):
            del wanted["metadata"]["annotations"][matching.BOUND_BY_CONTROLLER]
            del wanted["spec"]["claimRef"]
        else:
            for field in ("uid", "resourceVersion"):
                wanted["spec"]["claimRef"].pop(field, None)
        self._client.update("persistentvolumes", wanted)

    def _release(self, volume: Object) -> None:
        if (volume.get("status") or {}).get("phase") not in ("Released", "Failed"):
            volume = self._set_phase(volume, "Released")
        if volume["metadata"].get("deletionTimestamp") or _policy(volume) == "Retain":
            return
        provisioner = matching.annotations_of(volume).get(matching.PROVISIONED_BY)
        if _policy(volume) == "Delete" and provisioner == matching.LOCAL_PATH:
            about = volume["metadata"]
            self._client.delete("persistentvolumes", about["name"], uid=about["uid"])
        elif not provisioner:
            self._fail_to_reclaim(volume)

    def _fail_to_reclaim(self, volume: Object) -> None:
        if (volume.get("status") or {}).get("phase") == "Failed":
            return
        name = volume["metadata"]["name"]
        is_delete = _policy(volume) == "Delete"
        kind, reason = (
            ("deleter", "VolumeFailedDelete") if is_delete else ("recycler", "VolumeFailedRecycle")
        )
        message = f'error getting {kind} volume plugin for volume "{name}": {_NO_DELETER}'
        self._set_phase(volume, "Failed", message)
        self._recorder.event(volume, "Warning", reason, message)


def _policy(volume: Object) -> str:
    return volume["spec"].get("persistentVolumeReclaimPolicy") or "Retain"
