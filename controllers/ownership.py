"""Room controllers: which objects belong to a controller's object, by controllerRef and selector.

What matches the selector and has no controller is adopted, what no longer matches is released.
Called by the Deployment controller for ReplicaSets and by the ReplicaSet controller for Pods.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from podium.api.meta import controller_of, owner_reference
from podium.api.selectors import LabelSelector
from podium.client.errors import Invalid, NotFound
from podium.client.http import Client
from podium.client.informer import Informer

Object = dict[str, Any]

BY_CONTROLLER = "controller"

_log = logging.getLogger("ownership")


def index_by_controller(informer: Informer) -> None:
    """Make `owned_or_orphaned` work. Safe to repeat: the index is shared."""
    if not informer.has_index(BY_CONTROLLER):
        informer.add_index(BY_CONTROLLER, _controller_values)


def owned_or_orphaned(informer: Informer, owner: Object) -> list[Object]:
    """What an object controls, and what in its namespace has no controller."""
    meta = owner["metadata"]
    owned = informer.by_index(BY_CONTROLLER, meta["uid"])
    return owned + informer.by_index(BY_CONTROLLER, _orphans_of(meta.get("namespace")))


def controlled_by(informer: Informer, uid: str) -> list[Object]:
    """What an object controls."""
    return informer.by_index(BY_CONTROLLER, uid)


def _controller_values(obj: Object) -> list[str]:
    reference = controller_of(obj)
    return [reference["uid"] if reference else _orphans_of(obj["metadata"].get("namespace"))]


def _orphans_of(namespace: str | None) -> str:
    return f"orphans of {namespace}"


class Claims:
    """Adopts and releases for one owner, in one pass of its reconcile."""

    def __init__(self, client: Client, owner: Object, owner_resource: str, resource: str) -> None:
        self._client = client
        self._owner = owner
        self._owner_resource = owner_resource
        self._resource = resource
        self._may_adopt: bool | None = None  # None: not asked yet

    def claim(self, candidates: Iterable[Object], selector: LabelSelector) -> list[Object]:
        """Those of the candidates that are the owner's, after adoption and release."""
        claimed = []
        for obj in candidates:
            matches = selector.matches(obj["metadata"].get("labels") or {})
            reference = controller_of(obj)
            if reference is None:
                adopted = self._adopt(obj) if matches else None
                if adopted is not None:
                    claimed.append(adopted)
            elif reference["uid"] == self._owner["metadata"]["uid"]:
                if matches:
                    claimed.append(obj)
                else:
                    self._release(obj)
        return claimed

    def _adopt(self, obj: Object) -> Object | None:
        if obj["metadata"].get("deletionTimestamp") or not self._owner_may_adopt():
            return None
        reference = owner_reference(self._owner)
        return self._patch_owners(obj, [reference])

    def _owner_may_adopt(self) -> bool:
        """Asks the server, not the cache: an owner that was deleted and made anew adopts nothing
        in its first life's name."""
        if self._owner["metadata"].get("deletionTimestamp"):
            return False
        if self._may_adopt is None:
            self._may_adopt = self._is_alive()
        return self._may_adopt

    def _is_alive(self) -> bool:
        meta = self._owner["metadata"]
        try:
            fresh = self._client.get(self._owner_resource, meta["name"], meta.get("namespace"))
        except NotFound:
            return False
        found = fresh["metadata"]
        return found["uid"] == meta["uid"] and not found.get("deletionTimestamp")

    def _release(self, obj: Object) -> None:
        if self._owner["metadata"].get("deletionTimestamp"):
            return  # its garbage collector decides
        uid = self._owner["metadata"]["uid"]
        self._patch_owners(obj, [{"$patch": "delete", "uid": uid}])

    def _patch_owners(self, obj: Object, references: list[Object]) -> Object | None:
        meta = obj["metadata"]
        patch = {"metadata": {"uid": meta["uid"], "ownerReferences": references}}
        try:
            return self._client.patch(
                self._resource, meta["name"], meta.get("namespace"), patch, patch_type="strategic"
            )
        except (NotFound, Invalid) as error:
            _log.debug("%s %s: %s", self._resource, meta["name"], error)
            return None  # it is gone, or has just got another controller
