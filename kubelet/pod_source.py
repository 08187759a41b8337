"""All Pods of this node: those that the API has bound to it, and those of its manifests.

Room kubelet; made by agent.py. A mirror Pod is none of them: it only shows a static one.
"""

from __future__ import annotations

from typing import Any

from kubelet.mirror_pods import mirrored
from kubelet.static_pods import StaticPods
from podium.client.informer import Informer

Object = dict[str, Any]


class PodSource:
    def __init__(self, api_pods: Informer, statics: StaticPods) -> None:
        self._api_pods, self.statics = api_pods, statics
        self.is_settled = False  # set by agent.py once the API's Pods are known and counted
        api_pods.add_index("uid", lambda pod: [pod["metadata"]["uid"]])
        api_pods.add_index("mirrored", lambda pod: [mirrored(pod)])

    def may_decide(self, uid: str) -> bool:
        """Whether `find` can be believed: before the API's Pods are known all would look gone."""
        return self.is_settled or self.statics.has(uid)

    def find(self, uid: str) -> Object | None:
        if self.statics.has(uid):
            return self.statics.find(uid)
        found = self._api_pods.by_index("uid", uid)
        return found[0] if found and not mirrored(found[0]) else None

    def by_name(self, namespace: str, name: str) -> Object | None:
        """With the status that the API shows of it."""
        static = self.statics.by_name(namespace, name)
        return self.shown(namespace, name) if static is None else self._with_status(static)

    def list(self) -> list[Object]:
        """With their statuses as well."""
        ordinary = [pod for pod in self._api_pods.list() if not mirrored(pod)]
        return ordinary + [self._with_status(pod) for pod in self.statics.list()]

    def _with_status(self, static: Object) -> Object:
        about = static["metadata"]
        shown = self.shown(about["namespace"], about["name"]) or {}
        is_its_own = bool(shown) and mirrored(shown) == about["uid"]
        return {**static, "status": (shown.get("status") or {}) if is_its_own else {}}

    def shown(self, namespace: str, name: str) -> Object | None:
        """The Pod, or mirror Pod, that the API has by that name."""
        return self._api_pods.get(f"{namespace}/{name}")

    def mirrors_of(self, uid: str) -> list[Object]:
        """Mirror Pods that stand for a static Pod of that uid, there or not."""
        return self._api_pods.by_index("mirrored", uid)


def key_of(pod: Object) -> str:
    """The uid under which a change of this object of the API is looked at."""
    return mirrored(pod) or str(pod["metadata"]["uid"])
