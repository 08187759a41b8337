"""Room controllers: lets a claim go once no Pod uses it, and a volume once no claim is bound to it.

The API server gives every claim and volume a finalizer; here it is taken away when the object is
being deleted and out of use. Source: Kubernetes' pvc-protection and pv-protection controllers.
"""

from __future__ import annotations

from typing import Any

from controllers import volume_matching as matching
from podium.api import meta
from podium.client.clock import Clock
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import Informer, InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

BY_CLAIM = "uses-claim"
_CLAIMS, _VOLUMES = "persistentvolumeclaims", "persistentvolumes"
_FINALIZERS = {_CLAIMS: "kubernetes.io/pvc-protection", _VOLUMES: "kubernetes.io/pv-protection"}


class VolumeProtection:
    """A key is a claim's ("namespace/name") or a volume's ("name")."""

    name = "volume-protection"
    component = "volume-protection-controller"

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: EventRecorder, clock: Clock
    ) -> None:
        self._client = client
        self._pods = informers.informer("pods")
        self._claims, self._volumes = informers.informer(_CLAIMS), informers.informer(_VOLUMES)
        self._pods.add_index(BY_CLAIM, _claims_used)
        self._loop = ReconcileLoop(self.name, self.reconcile, clock=clock)
        self._pods.add_handler(on_delete=self._pod_gone)
        for informer in (self._claims, self._volumes):
            informer.add_handler(self._seen, lambda _, new: self._seen(new))

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    def _seen(self, obj: Object) -> None:
        if obj["metadata"].get("deletionTimestamp"):
            self._loop.add(meta.key_of(obj))

    def _pod_gone(self, pod: Object) -> None:
        for key in _claims_used(pod):
            self._loop.add(key)

    def reconcile(self, key: str) -> None:
        if "/" in key:
            if not self._is_used(key):
                self._release(self._claims, _CLAIMS, key)
        elif not _is_bound(self._volumes.get(key)):
            self._release(self._volumes, _VOLUMES, key)

    def _is_used(self, key: str) -> bool:
        """A Pod that nobody has scheduled does not count: it cannot start any more."""
        return any(pod["spec"].get("nodeName") for pod in self._pods.by_index(BY_CLAIM, key))

    def _release(self, informer: Informer, plural: str, key: str) -> None:
        obj = informer.get(key)
        if obj is None or not obj["metadata"].get("deletionTimestamp"):
            return
        about, finalizer = obj["metadata"], _FINALIZERS[plural]
        if finalizer in (about.get("finalizers") or ()):
            left = [name for name in about["finalizers"] if name != finalizer]
            self._client.update(plural, {**obj, "metadata": {**about, "finalizers": left}})


def _claims_used(pod: Object) -> list[str]:
    return [f"{pod['metadata']['namespace']}/{name}" for name, _ in matching.claims_of(pod)]


def _is_bound(volume: Object | None) -> bool:
    return volume is not None and (volume.get("status") or {}).get("phase") == "Bound"
