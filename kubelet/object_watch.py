"""ConfigMaps, Secrets and claims that this node's Pods refer to: each watched while it is needed.

Room kubelet; asked by container_config.py and volumes.py. A node may read only what its Pods refer
to, so there is one watch for each such object rather than one for all; a hundred Pods of a
Deployment share it. A change, or the coming of what was missing, wakes the Pods that need it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kubelet.claims import claim_name
from podium.api import scheme
from podium.client.errors import Forbidden, NotFound
from podium.client.http import Client
from podium.client.informer import Informer

Object = dict[str, Any]
Reference = tuple[str, str, str]  # kind, namespace, name


@dataclass
class _Followed:
    informer: Informer
    users: set[str] = field(default_factory=set)  # uids of Pods


class ObjectWatch:
    """`wake(uid)` is called when something that a Pod refers to has changed."""

    def __init__(self, client: Client, wake: Callable[[str], None]) -> None:
        self._client = client
        self._wake = wake
        self._lock = threading.Lock()
        self._followed: dict[Reference, _Followed] = {}
        self._wanted: dict[str, set[Reference]] = {}  # by uid

    def follow(self, pod: Object) -> None:
        """Watch what this Pod refers to. Safe to repeat: it costs nothing then."""
        uid = pod["metadata"]["uid"]
        if uid in self._wanted:
            return
        wanted = set(references(pod))
        with self._lock:
            self._wanted[uid] = wanted
            for reference in wanted:
                if reference not in self._followed:
                    self._followed[reference] = self._start(reference)
                self._followed[reference].users.add(uid)

    def forget(self, uid: str) -> None:
        """The Pod is gone; what nobody needs any more is not watched any more."""
        with self._lock:
            ended = []
            for reference in self._wanted.pop(uid, ()):
                self._followed[reference].users.discard(uid)
                if not self._followed[reference].users:
                    ended.append(self._followed.pop(reference))
        for each in ended:
            each.informer.stop()

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object as last heard of; asked for if it is not watched (yet, or at all)."""
        followed = self._followed.get((kind, namespace, name))
        if followed is not None and followed.informer.has_synced():
            return followed.informer.get(f"{namespace}/{name}")
        try:
            return self._client.get(kind, name, namespace or None)
        except (NotFound, Forbidden):
            return None

    def close(self) -> None:
        with self._lock:
            every, self._followed, self._wanted = list(self._followed.values()), {}, {}
        for each in every:
            each.informer.stop()

    def _start(self, reference: Reference) -> _Followed:
        kind, namespace, name = reference
        informer = Informer(
            self._client,
            scheme.resource(kind),
            namespace=namespace,
            field_selector=f"metadata.name={name}",
        )

        def changed(*_: Object) -> None:
            followed = self._followed.get(reference)
            for uid in list(followed.users) if followed is not None else ():
                self._wake(uid)

        informer.add_handler(on_add=changed, on_update=changed, on_delete=changed)
        informer.start()
        return _Followed(informer)


def references(pod: Object) -> Iterator[Reference]:
    """Every ConfigMap, Secret and claim in its environment and volumes, and its pull secrets."""
    spec, namespace = pod["spec"], pod["metadata"]["namespace"]
    for secret in spec.get("imagePullSecrets") or ():
        if secret.get("name"):
            yield "secrets", namespace, secret["name"]
    for part in ("initContainers", "containers"):
        for container in spec.get(part) or ():
            for kind, name in _of_environment(container):
                yield kind, namespace, name
    for volume in spec.get("volumes") or ():
        if (claim := claim_name(pod, volume)) is not None:
            yield "persistentvolumeclaims", namespace, claim
        for source in (volume, *((volume.get("projected") or {}).get("sources") or ())):
            if source.get("configMap"):
                yield "configmaps", namespace, source["configMap"]["name"]
            if source.get("secret"):
                secret = source["secret"]
                yield "secrets", namespace, secret.get("secretName") or secret["name"]


def _of_environment(container: Object) -> Iterator[tuple[str, str]]:
    for bulk in container.get("envFrom") or ():
        for field_, kind in (("configMapRef", "configmaps"), ("secretRef", "secrets")):
            if bulk.get(field_):
                yield kind, bulk[field_]["name"]
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        for field_, kind in (("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")):
            if source.get(field_):
                yield kind, source[field_]["name"]
