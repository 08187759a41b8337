"""Room controllers: gives each namespace what a Pod in it relies on.

- ServiceAccount `default`, which a Pod runs as unless it says otherwise;
- ConfigMap `kube-root-ca.crt`, by which a Pod knows the API server.

A key is a namespace's name. Both are made again when somebody deletes them.
"""

from __future__ import annotations

from typing import Any

from podium.api.meta import key_of
from podium.client.clock import Clock
from podium.client.errors import Forbidden, NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]

ACCOUNT, ROOT_CA = "default", "kube-root-ca.crt"
_DESCRIPTION = "the CA certificates by which Pods verify the API server"


class ServiceAccountController:
    """`ca` is the cluster's CA as PEM; without it, the one by which the client knows the server."""

    name = "service-account"
    component = "service-account-controller"

    def __init__(
        self,
        client: Client,
        informers: InformerFactory,
        recorder: EventRecorder,
        clock: Clock,
        *,
        ca: bytes | None = None,
    ) -> None:
        self._client = client
        self._ca = (ca or client.config.ca or b"").decode()
        self._namespaces = informers.informer("namespaces")
        self._accounts = informers.informer("serviceaccounts")
        self._config_maps = informers.informer("configmaps")
        self._loop = ReconcileLoop(self.name, self.reconcile, clock=clock)
        self._namespaces.add_handler(
            lambda namespace: self._loop.add(key_of(namespace)),
            lambda _, namespace: self._loop.add(key_of(namespace)),
        )
        self._accounts.add_handler(on_delete=self._ours_changed)
        self._config_maps.add_handler(
            on_update=lambda _, new: self._ours_changed(new), on_delete=self._ours_changed
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Safe to repeat."""
        self._loop.stop()

    def reconcile(self, key: str) -> None:
        """Make what is missing in a namespace that is not on its way out."""
        namespace = self._namespaces.get(key)
        if namespace is None or is_ending(namespace):
            return
        try:
            self._ensure_account(key)
            if self._ca:
                self._ensure_root_ca(key)
        except (NotFound, Forbidden):
            if not self._is_gone(key):
                raise

    def _ensure_account(self, namespace: str) -> None:
        if self._accounts.get(f"{namespace}/{ACCOUNT}") is None:
            made = {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": ACCOUNT, "namespace": namespace},
            }
            self._client.create("serviceaccounts", made, namespace)

    def _ensure_root_ca(self, namespace: str) -> None:
        data = {"ca.crt": self._ca}
        found = self._config_maps.get(f"{namespace}/{ROOT_CA}")
        if found is None:
            about = {"kubernetes.io/description": _DESCRIPTION}
            made = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": ROOT_CA, "namespace": namespace, "annotations": about},
                "data": data,
            }
            self._client.create("configmaps", made, namespace)
        elif found.get("data") != data:
            self._client.update("configmaps", {**found, "data": data})

    def _is_gone(self, namespace: str) -> bool:
        """Whether a refusal is no wonder: the namespace has begun to end since we looked."""
        try:
            return is_ending(self._client.get("namespaces", namespace))
        except NotFound:
            return True

    def _ours_changed(self, obj: Object) -> None:
        if obj["metadata"]["name"] in (ACCOUNT, ROOT_CA):
            self._loop.add(obj["metadata"]["namespace"])


def is_ending(namespace: Object) -> bool:
    return bool(namespace["metadata"].get("deletionTimestamp"))
