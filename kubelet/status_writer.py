"""Writes Pod statuses: only when something changed, only what changed.

Room kubelet; called by pod_sync.py and pod_end.py. The watch brings back what was written a moment
later; until then a cached Pod is older than what we know, so what we wrote last is remembered.
While the API server cannot be reached containers go on being looked after: what could not be
written is kept, and written at the next look.
"""

from __future__ import annotations

from typing import Any

from kubelet.mirror_pods import MirrorPods
from kubelet.static_pods import StaticPods
from podium.client.errors import Conflict, NotFound, Unreachable
from podium.client.http import Client

Object = dict[str, Any]


class StatusWriter:
    """Thread-safe for different Pods; one Pod is written by one thread at a time."""

    def __init__(self, client: Client, statics: StaticPods, mirrors: MirrorPods) -> None:
        self._client = client
        self._statics, self._mirrors = statics, mirrors
        self._written: dict[str, Object] = {}  # uid in the API → the Pod as our last write left it
        self._kept: dict[str, Object] = {}  # uid → status that is not, or not surely, in the API
        self._failures: dict[str, Unreachable] = {}

    def newest(self, pod: Object) -> Object:
        """The Pod's status: as the API has it, as we wrote it, or as we shall have to write it."""
        kept = self._kept.get(pod["metadata"]["uid"])
        if kept is not None:
            return kept
        shown = self._mirrors.of(pod) if self._is_static(pod) else pod
        return self._of_api(shown) if shown is not None else {}

    def write(self, pod: Object, status: Object) -> Object:
        """Write what differs from the newest status; gives that status. A Pod that is gone
        meanwhile is no error: the watch will say so. Nor is it one here if the API server cannot
        be reached: `raise_failure` tells."""
        uid, is_static = pod["metadata"]["uid"], self._is_static(pod)
        whole = self.newest(pod) | status
        if is_static:
            self._kept[uid] = whole
        try:
            shown = self._mirrors.ensure(pod) if is_static else pod
            written = self._patch(shown, status) if shown is not None else whole
        except Unreachable as failure:
            self._failures[uid] = failure
            self._kept[uid] = whole
            return whole
        if not is_static:
            self._kept.pop(uid, None)
        return whole if is_static else written

    def retry(self, pod: Object) -> None:
        """Write what could not be written before, if anything."""
        if (kept := self._kept.get(pod["metadata"]["uid"])) is not None:
            self.write(pod, kept)

    def raise_failure(self, uid: str) -> None:
        """Raise Unreachable if something has not been written."""
        if (failure := self._failures.pop(uid, None)) is not None:
            raise failure

    def forget(self, uid: str) -> None:
        for known in (self._written, self._kept, self._failures):
            known.pop(uid, None)

    def _is_static(self, pod: Object) -> bool:
        return self._statics.has(pod["metadata"]["uid"])

    def _of_api(self, shown: Object) -> Object:
        """The status of a cached object, or of our own write if that is newer."""
        written = self._written.get(shown["metadata"]["uid"])
        if written is not None and _version(written) > _version(shown):
            return written.get("status") or {}
        self._written.pop(shown["metadata"]["uid"], None)
        return shown.get("status") or {}

    def _patch(self, shown: Object, status: Object) -> Object:
        about, old = shown["metadata"], self._of_api(shown)
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


def difference(old: Object, new: Object) -> Object:
    """A merge patch from old to new. Fields that the kubelet does not write stay as they are; None
    takes one away."""
    return {key: value for key, value in new.items() if old.get(key) != value}


def _version(obj: Object) -> int:
    """0 for a version that is not a number; ours are."""
    version = str(obj["metadata"].get("resourceVersion") or "")
    return int(version) if version.isdigit() else 0
