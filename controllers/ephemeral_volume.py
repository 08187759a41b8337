"""Room controllers: makes the claim of each generic ephemeral volume, owned by its Pod.

The claim's name is the Pod's and the volume's; when the Pod goes, the garbage collector takes the
claim with it. Source: Kubernetes' ephemeral volume controller (KEP-1698).
"""

from __future__ import annotations

from typing import Any

from controllers import volume_matching as matching
from podium.api import meta
from podium.client.clock import Clock
from podium.client.errors import AlreadyExists
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]


class EphemeralVolumeController:
    """A key is a Pod's."""

    name = "ephemeral-volume"
    component = "ephemeral_volume"

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: EventRecorder, clock: Clock
    ) -> None:
        self._client, self._recorder = client, recorder
        self._pods = informers.informer("pods")
        self._claims = informers.informer("persistentvolumeclaims")
        self._loop = ReconcileLoop(self.name, self.reconcile, clock=clock)
        self._pods.add_handler(self._pod_seen)
        self._claims.add_handler(on_delete=self._claim_gone)

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    def _pod_seen(self, pod: Object) -> None:
        if any(volume.get("ephemeral") for volume in pod["spec"].get("volumes") or ()):
            self._loop.add(meta.key_of(pod))

    def _claim_gone(self, claim: Object) -> None:
        owner = meta.controller_of(claim)
        if owner is not None and owner.get("kind") == "Pod":
            self._loop.add(f"{claim['metadata']['namespace']}/{owner['name']}")

    def reconcile(self, key: str) -> None:
        pod = self._pods.get(key)
        if pod is None or not meta.is_pod_active(pod):
            return
        for volume in pod["spec"].get("volumes") or ():
            if volume.get("ephemeral"):
                self._ensure(pod, volume)

    def _ensure(self, pod: Object, volume: Object) -> None:
        namespace = pod["metadata"]["namespace"]
        name = f"{pod['metadata']['name']}-{volume['name']}"
        found = self._claims.get(f"{namespace}/{name}")
        if found is None:
            try:
                self._client.create(
                    "persistentvolumeclaims", new_claim(pod, volume, name), namespace
                )
            except AlreadyExists:
                found = self._client.get("persistentvolumeclaims", name, namespace)
        if found is not None and not matching.is_owned_by(found, pod):
            message = (
                f'ephemeral volume controller: PVC "{namespace}/{name}" was not created for pod '
                f'"{namespace}/{pod["metadata"]["name"]}" (pod is not owner)'
            )
            self._recorder.event(pod, "Warning", "FailedBinding", message)


def new_claim(pod: Object, volume: Object, name: str) -> Object:
    template = volume["ephemeral"]["volumeClaimTemplate"]
    about = template.get("metadata") or {}
    metadata = {
        "name": name,
        "namespace": pod["metadata"]["namespace"],
        "ownerReferences": [meta.owner_reference({**pod, "apiVersion": "v1", "kind": "Pod"})],
        **{k: about[k] for k in ("labels", "annotations") if about.get(k)},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata,
        "spec": template["spec"],
    }
