"""Mirror Pods: what the API server is shown of static Pods. They stand for them and are not run.

Room kubelet; called by status_writer.py and pod_sync.py in their worker threads. A mirror that is
deleted comes back, one whose static Pod is gone is taken away. Source: kubelet
`pkg/kubelet/pod/mirror_client.go`.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from typing import Any

from kubelet.static_pods import HASH
from podium.api import meta
from podium.client.errors import AlreadyExists, ApiError, Conflict, NotFound
from podium.client.http import Client

log = logging.getLogger("mirror-pods")
Object = dict[str, Any]

REMAKE_S = 1.0  # after somebody has deleted one: whoever waits for its end is to see it
MIRROR = "kubernetes.io/config.mirror"


def mirrored(pod: Object) -> str:
    """The hash of the static Pod that this one stands for, its uid; "" for an ordinary Pod."""
    return str((pod["metadata"].get("annotations") or {}).get(MIRROR) or "")


class MirrorPods:
    """`node()` is this Node, `shown(namespace, name)` the Pod that the API has by that name."""

    def __init__(
        self, client: Client, node: Callable[[], Object],
        shown: Callable[[str, str], Object | None],
    ) -> None:  # fmt: skip
        self._client = client.with_patience(0)
        self._node, self._shown = node, shown
        self._refused: dict[str, str] = {}  # by uid, so that each refusal is told once
        self._not_before: dict[str, float] = {}  # by uid; monotonic

    def of(self, pod: Object) -> Object | None:
        """The mirror of this static Pod, if there is one."""
        about = pod["metadata"]
        found = self._shown(about["namespace"], about["name"])
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        return found if mirrored(found) == about["annotations"][HASH] else None

    def ensure(self, pod: Object) -> Object | None:
        """The mirror; made anew if there is none or another. None if it cannot be made. Raises
        Unreachable."""
        if (mirror := self.of(pod)) is not None:
            return mirror
        about = pod["metadata"]
        old = self._shown(about["namespace"], about["name"])
        if old is not None:
            if not mirrored(old):
                self._complain(pod, "the API has an ordinary Pod of that name")
                return None
            self.remove(old)
            if old["metadata"].get("deletionTimestamp"):
                self._not_before.setdefault(about["uid"], time.monotonic() + REMAKE_S)
        owner = self._node()
        if self.wait_s(about["uid"]):
            return None
        if not owner["metadata"].get("uid"):
            return None  # not registered yet: its first heartbeat wakes us
        try:
            made = self._client.create("pods", mirror_of(pod, owner))
        except AlreadyExists:
            return None  # its event is on the way
        except ApiError as failure:
            self._complain(pod, str(failure))
            return None
        self._refused.pop(about["uid"], None)
        return made

    def wait_s(self, uid: str) -> float | None:
        """How long until a mirror may be made again; None if it may."""
        left_s = self._not_before.get(uid, 0.0) - time.monotonic()
        if left_s > 0:
            return left_s
        self._not_before.pop(uid, None)
        return None

    def remove(self, mirror: Object) -> None:
        """Safe to repeat."""
        about = mirror["metadata"]
        try:
            self._client.delete(
                "pods", about["name"], about["namespace"], grace_s=0, uid=about["uid"]
            )
        except (NotFound, Conflict):
            log.debug("%s: gone already", about["name"])

    def _complain(self, pod: Object, words: str) -> None:
        about = pod["metadata"]
        if self._refused.get(about["uid"]) != words:
            self._refused[about["uid"]] = words
            log.error("no mirror of %s/%s: %s", about["namespace"], about["name"], words)


def mirror_of(pod: Object, node: Object) -> Object:
    """What is created in the API."""
    mirror = copy.deepcopy(pod)
    about = mirror["metadata"]
    for name in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        about.pop(name, None)
    about["annotations"][MIRROR] = about["annotations"][HASH]
    owner = meta.owner_reference({**node, "apiVersion": "v1", "kind": "Node"}, True)
    about["ownerReferences"] = [{k: v for k, v in owner.items() if k != "blockOwnerDeletion"}]
    return mirror
