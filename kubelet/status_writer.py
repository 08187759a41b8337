"""Writes Pod statuses: only when something changed, only what changed.

Room kubelet; called by pod_sync.py and pod_end.py. The watch brings back what was written a moment
later; until then a cached Pod is older than what we know, so what we wrote last is remembered.
"""

from __future__ import annotations

from typing import Any

from podium.client.errors import Conflict, NotFound
from podium.client.http import Client

Object = dict[str, Any]


class StatusWriter:
    """Thread-safe for different Pods; one Pod is written by one thread at a time."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._written: dict[str, Object] = {}  # uid → the Pod as our last write left it

    def newest(self, pod: Object) -> Object:
        """The Pod's status: of the cached Pod, or of our own write if that is newer."""
        written = self._written.get(pod["metadata"]["uid"])
        if written is not None and _version(written) > _version(pod):
            return written.get("status") or {}
        self._written.pop(pod["metadata"]["uid"], None)
        return pod.get("status") or {}

    def write(self, pod: Object, status: Object) -> Object:
        """Write what differs from the newest status; gives that status. A Pod that is gone
        meanwhile is no error: the watch will say so."""
        about = pod["metadata"]
        old = self.newest(pod)
        changes = difference(old, status)
        if not changes:
            return old
        patch = {"metadata": {"uid": about["uid"]}, "status": changes}
        try:
            written = self._client.patch(
                "pods", about["name"], about["namespace"], patch, subresource="status"
            )
        except (NotFound, Conflict):
            return old
        self._written[about["uid"]] = written
        return written.get("status") or {}

    def forget(self, uid: str) -> None:
        self._written.pop(uid, None)


def difference(old: Object, new: Object) -> Object:
    """A merge patch from old to new. Fields that the kubelet does not write stay as they are; None
    takes one away."""
    return {key: value for key, value in new.items() if old.get(key) != value}


def _version(obj: Object) -> int:
    """0 for a version that is not a number; ours are."""
    version = str(obj["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdigit() else 0
