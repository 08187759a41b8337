"""Room controllers: writes an object's status when it differs, and not too often.

Called by the ReplicaSet and the Deployment controller. While a hundred Pods become ready one after
the other, a count that is written for each of them helps nobody: the first change is written at
once, what follows within a moment together, and the last (`is_urgent`) at once again.
"""

from __future__ import annotations

from typing import Any

from podium.client.clock import Clock
from podium.client.http import Client

Object = dict[str, Any]

PAUSE_S = 0.05


class StatusWriter:
    """For one kind. Different keys may be written at the same time."""

    def __init__(self, client: Client, resource: str, clock: Clock) -> None:
        self._client = client
        self._resource = resource
        self._clock = clock
        self._written_at: dict[str, float] = {}  # monotonic
        self._written: dict[str, Object] = {}

    def write(
        self,
        key: str,
        obj: Object,
        status: Object,
        *,
        annotations: Object | None = None,
        is_urgent: bool = False,
    ) -> float | None:
        """Write what differs from the object's status; None, or the seconds until the next try.

        `annotations` tell of what the controller has done, and so go with the status.
        """
        patch = self._patch(self._latest(key, obj), status, annotations or {})
        if not patch:
            return None
        now = self._clock.monotonic()
        wait_s = self._written_at.get(key, now - PAUSE_S) + PAUSE_S - now
        if wait_s > 0 and not is_urgent:
            return wait_s
        self._written_at[key] = now
        meta = obj["metadata"]
        self._written[key] = self._client.patch(
            self._resource,
            meta["name"],
            meta.get("namespace"),
            patch,
            subresource="status",
        )
        return None

    @staticmethod
    def _patch(latest: Object, status: Object, annotations: Object) -> Object:
        changes = status_patch(latest.get("status") or {}, status)
        patch: Object = {"status": changes} if changes else {}
        found = latest["metadata"].get("annotations") or {}
        if any(found.get(name) != value for name, value in annotations.items()):
            patch["metadata"] = {"annotations": annotations}
        return patch

    def _latest(self, key: str, cached: Object) -> Object:
        """The object as in the cache, or as we have written it if the cache does not know yet."""
        written = self._written.get(key)
        if written is None:
            return cached
        ours, theirs = written["metadata"], cached["metadata"]
        if ours["uid"] == theirs["uid"] and _version(ours) > _version(theirs):
            return written
        del self._written[key]
        return cached

    def forget(self, key: str) -> None:
        """The object is gone."""
        self._written_at.pop(key, None)
        self._written.pop(key, None)


def _version(meta: Object) -> int:
    """Versions of this cluster's store are numbers that grow."""
    return int(meta["resourceVersion"])


def status_patch(old: Object, new: Object) -> Object:
    """The merge patch that makes `old` into `new`: what is gone becomes null. Empty: no change."""
    changed = {name: value for name, value in new.items() if old.get(name) != value}
    gone = {name: None for name in old if name not in new and old[name] is not None}
    return changed | gone
