"""Room controllers: makes a PersistentVolume for a claim whose class is podium.dev/local-path.

The volume is an object alone: its driver and handle (`spec.csi`), the node that has it
(`nodeAffinity`). The directory is the kubelet's, who makes it at the first mount and removes it
when the object goes, which the finalizer waits for (docs/decisions/the-kubelet-keeps-volumes.md).
A claim that grows has its volume grow with it: a directory has no size of its own.
"""

from __future__ import annotations

from typing import Any

from controllers import volume_matching as matching
from podium.api import meta, quantity
from podium.client.clock import Clock
from podium.client.errors import AlreadyExists
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

FINALIZER = "podium.dev/local-path"
NODE_LABEL = "podium.dev/node"
HOSTNAME = "kubernetes.io/hostname"
_SERVED_MODES = frozenset({"ReadWriteOnce", "ReadWriteOncePod"})


class LocalPathProvisioner:
    """A key is a claim's."""

    name = "local-path-provisioner"
    component = "podium.dev/local-path"

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: EventRecorder, clock: Clock
    ) -> None:
        self._client, self._recorder, self._clock = client, recorder, clock
        self._claims = informers.informer("persistentvolumeclaims")
        self._volumes = informers.informer("persistentvolumes")
        self._classes = informers.informer("storageclasses")
        self._nodes = informers.informer("nodes")
        self._loop = ReconcileLoop(self.name, self.reconcile, clock=clock)
        self._claims.add_handler(self._seen, lambda _, new: self._seen(new))
        self._classes.add_handler(lambda _: self._wake_all())
        self._nodes.add_handler(lambda _: self._wake_all())

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    def _seen(self, claim: Object) -> None:
        self._loop.add(meta.key_of(claim))

    def _wake_all(self) -> None:
        for claim in self._claims.list():
            if not claim["spec"].get("volumeName"):
                self._seen(claim)

    # --- reconciling ----------------------------------------------------------------------------

    def reconcile(self, key: str) -> None:
        claim = self._claims.get(key)
        if claim is None or claim["metadata"].get("deletionTimestamp"):
            return
        if claim["spec"].get("volumeName"):
            self._grow(claim)
            return
        storage_class = self._classes.get(matching.class_of(claim))
        if storage_class is None or storage_class.get("provisioner") != matching.LOCAL_PATH:
            return
        node = self._node_for(claim, storage_class)
        if node is not None:
            self._provision(claim, storage_class, node)

    def _node_for(self, claim: Object, storage_class: Object) -> Object | None:
        """Where the scheduler wants it; without waiting for one, where the fewest are."""
        selected = matching.annotations_of(claim).get(matching.SELECTED_NODE)
        if selected:
            return self._nodes.get(selected)
        if storage_class.get("volumeBindingMode") == matching.WAIT:
            return None
        count: dict[str, int] = {}
        for volume in self._volumes.list():
            name = (volume["metadata"].get("labels") or {}).get(NODE_LABEL, "")
            count[name] = count.get(name, 0) + 1

        def order(node: Object) -> tuple[bool, int, str]:
            name = node["metadata"]["name"]
            return not _is_usable(node), count.get(name, 0), name

        return min(self._nodes.list(), key=order, default=None)

    def _provision(self, claim: Object, storage_class: Object, node: Object) -> None:
        about = claim["metadata"]
        why = refusal(claim)
        if why is not None:
            name = storage_class["metadata"]["name"]
            message = f'failed to provision volume with StorageClass "{name}": {why}'
            self._recorder.event(claim, "Warning", "ProvisioningFailed", message)
            return
        key = meta.key_of(claim)
        message = f'External provisioner is provisioning volume for claim "{key}"'
        self._recorder.event(claim, "Normal", "Provisioning", message)
        volume = new_volume(claim, storage_class, node)
        try:
            self._client.create("persistentvolumes", volume)
        except AlreadyExists:
            return  # by us, before the binder has been heard of
        message = f"Successfully provisioned volume pvc-{about['uid']}"
        self._recorder.event(claim, "Normal", "ProvisioningSucceeded", message)

    # --- growing --------------------------------------------------------------------------------

    def _grow(self, claim: Object) -> None:
        status = claim.get("status") or {}
        volume = self._volumes.get(claim["spec"]["volumeName"])
        if status.get("phase") != "Bound" or volume is None or not matching.is_for(volume, claim):
            return
        have = quantity.parse((status.get("capacity") or {}).get("storage", 0))
        if matching.requested(claim) <= have:
            return
        if matching.annotations_of(volume).get(matching.PROVISIONED_BY) != matching.LOCAL_PATH:
            message = "waiting for an external controller to expand this PVC"
            self._recorder.event(claim, "Normal", "ExternalExpanding", message)
            return
        size = {"storage": claim["spec"]["resources"]["requests"]["storage"]}
        if matching.capacity(volume) < matching.requested(claim):
            self._patch_status(claim, {"conditions": [self._resizing()]})
            name = volume["metadata"]["name"]
            self._client.patch("persistentvolumes", name, None, {"spec": {"capacity": size}})
        self._patch_status(claim, {"capacity": size, "conditions": None})
        self._recorder.event(claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded")

    def _resizing(self) -> Object:
        now = meta.now(self._clock.now())
        return {"type": "Resizing", "status": "True", "lastTransitionTime": now}

    def _patch_status(self, claim: Object, status: Object) -> None:
        about = claim["metadata"]
        patch = {"metadata": {"uid": about["uid"]}, "status": status}
        self._client.patch(
            "persistentvolumeclaims", about["name"], about["namespace"], patch, subresource="status"
        )


def refusal(claim: Object) -> str | None:
    """Why a directory of one node cannot be what is claimed; None when it can."""
    spec = claim["spec"]
    if spec.get("selector"):
        return "claim Selector is not supported"
    if spec.get("dataSource") or spec.get("dataSourceRef"):
        return "claim DataSource is not supported: volumes are made empty"
    if spec.get("volumeMode") == "Block":
        return "volumeMode Block is not supported: a volume here is a directory"
    others = [m for m in spec.get("accessModes") or () if m not in _SERVED_MODES]
    if others:
        return f"access mode {others[0]} is not supported: a volume here is on one node"
    return None


def new_volume(claim: Object, storage_class: Object, node: Object) -> Object:
    name, node_name = f"pvc-{claim['metadata']['uid']}", node["metadata"]["name"]
    hostname = (node["metadata"].get("labels") or {}).get(HOSTNAME, node_name)
    term = {"matchExpressions": [{"key": HOSTNAME, "operator": "In", "values": [hostname]}]}
    spec: Object = {
        "accessModes": claim["spec"]["accessModes"],
        "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
        "claimRef": matching.claim_reference(claim),
        "csi": {"driver": matching.LOCAL_PATH, "volumeHandle": name},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
        "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy") or "Delete",
        "storageClassName": storage_class["metadata"]["name"],
        "volumeMode": "Filesystem",
    }
    if storage_class.get("mountOptions"):
        spec["mountOptions"] = storage_class["mountOptions"]
    metadata = {
        "name": name,
        "labels": {NODE_LABEL: node_name},
        "annotations": {matching.PROVISIONED_BY: matching.LOCAL_PATH},
        "finalizers": [FINALIZER],
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec}


def _is_usable(node: Object) -> bool:
    ready = meta.condition(node, "Ready") or {}
    return ready.get("status") == "True" and not (node.get("spec") or {}).get("unschedulable")
