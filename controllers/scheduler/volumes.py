"""Room controllers/scheduler: what a Pod's claims mean for where it can go.

A claim that is bound ties the Pod to the nodes that its volume reaches. One whose class waits for
its first consumer is bound for the node that is chosen: a volume there is kept for it, or the node
is noted on the claim and a provisioner makes one; the Pod is bound once all its claims are.
Source: kube-scheduler's plugins VolumeBinding and VolumeRestrictions, v1.32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from controllers import volume_matching as matching
from controllers.scheduler.binding import Reserve
from controllers.scheduler.filters import Rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from podium.client.informer import Informer

Object = dict[str, Any]

_CONFLICT = Rejection(("node(s) had volume node affinity conflict",), filter="VolumeBinding")
_NONE_HERE = Rejection(
    ("node(s) didn't find available persistent volumes to bind",), filter="VolumeBinding"
)
_UNBOUND = "pod has unbound immediate PersistentVolumeClaims"
_RWOP = "ReadWriteOncePod"
_TAKEN = (
    "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
)


@dataclass(frozen=True, slots=True)
class PodVolumes:
    """One Pod's claims. `refusal` says why no node at all will do, "" if some may."""

    refusal: str = ""
    bound: tuple[Object, ...] = ()  # volumes
    unbound: tuple[Object, ...] = ()  # claims whose class waits for a node
    available: tuple[Object, ...] = ()  # all volumes, for those claims
    provisioners: dict[str, str] = field(default_factory=dict)  # by class

    def rejection(self, node: NodeInfo) -> Rejection | None:
        where = (node.name, node.labels)
        if any(not matching.reaches(volume, where) for volume in self.bound):
            return _CONFLICT
        return None if self._plan(node) is not None else _NONE_HERE

    def reserve(self, pod: PodInfo, node: NodeInfo) -> Reserve | None:
        """What is to be done before the Pod can be bound to a node; None when nothing is."""
        if not self.unbound:
            return None
        plan = self._plan(node)
        assert plan is not None, "the node was found to be feasible"
        claims, volumes = plan
        return Reserve(pod, node.name, claims, volumes)

    def _plan(
        self, node: NodeInfo
    ) -> tuple[tuple[Object, ...], tuple[tuple[Object, Object], ...]] | None:
        """Claims to have provisioned on the node, and volumes to keep for claims: only what has not
        been asked for. None when one of the claims can have no volume there."""
        to_provision: list[Object] = []
        to_keep: list[tuple[Object, Object]] = []
        taken: set[str] = set()
        for claim in self.unbound:
            selected = matching.annotations_of(claim).get(matching.SELECTED_NODE)
            if selected:
                if selected != node.name:
                    return None
                continue
            volume = matching.best_match(
                claim, self.available, node=(node.name, node.labels), taken=taken
            )
            if volume is not None:
                taken.add(volume["metadata"]["name"])
                if not volume["spec"].get("claimRef"):
                    to_keep.append((volume, claim))
            elif self.provisioners.get(matching.class_of(claim)) in (None, matching.NO_PROVISIONER):
                return None
            else:
                to_provision.append(claim)
        return tuple(to_provision), tuple(to_keep)


_NONE = PodVolumes()


class VolumeView:
    """Claims, volumes and classes as the informers have them; `changed()` is called on each change.
    Not pure in that it looks into the caches; what it gives is."""

    def __init__(
        self, claims: Informer, volumes: Informer, classes: Informer, changed: Callable[[], None]
    ) -> None:
        self._claims, self._volumes, self._classes = claims, volumes, classes
        for informer in (claims, volumes, classes):
            informer.add_handler(
                lambda _: changed(), lambda _old, _new: changed(), lambda _: changed()
            )

    def of(self, pod: PodInfo, nodes: Iterable[NodeInfo]) -> PodVolumes:
        """What the claims of a Pod ask for."""
        bound: list[Object] = []
        unbound: list[Object] = []
        provisioners: dict[str, str] = {}
        for name, is_its_own in matching.claims_of(pod.obj):
            found = self._look(pod, name, is_its_own, nodes)
            if isinstance(found, str):
                return PodVolumes(refusal=found)
            claim, volume = found
            if volume is not None:
                bound.append(volume)
                continue
            storage_class = self._classes.get(matching.class_of(claim))
            if storage_class is None or storage_class.get("volumeBindingMode") != matching.WAIT:
                return PodVolumes(refusal=_UNBOUND)
            provisioners[storage_class["metadata"]["name"]] = storage_class.get("provisioner", "")
            unbound.append(claim)
        if not bound and not unbound:
            return _NONE
        available = tuple(self._volumes.list()) if unbound else ()
        return PodVolumes("", tuple(bound), tuple(unbound), available, provisioners)

    def _look(
        self, pod: PodInfo, name: str, is_its_own: bool, nodes: Iterable[NodeInfo]
    ) -> str | tuple[Object, Object | None]:
        """A claim and its volume (None while it is unbound), or why the Pod cannot run."""
        namespace = pod.obj["metadata"]["namespace"]
        claim = self._claims.get(f"{namespace}/{name}")
        if claim is None:
            what = f'persistentvolumeclaim "{name}"'
            waits = f"waiting for ephemeral volume controller to create the {what}"
            return waits if is_its_own else f"{what} not found"
        if claim["metadata"].get("deletionTimestamp"):
            return f'persistentvolumeclaim "{name}" is being deleted'
        if is_its_own and not matching.is_owned_by(claim, pod.obj):
            return (
                f'PVC "{namespace}/{name}" was not created for pod "{pod.key}" (pod is not owner)'
            )
        if _RWOP in (claim["spec"].get("accessModes") or ()) and _is_taken(pod, name, nodes):
            return _TAKEN
        if not matching.is_bound(claim):
            return claim, None
        volume = self._volumes.get(claim["spec"].get("volumeName") or "")
        if volume is None or (claim.get("status") or {}).get("phase") == "Lost":
            missing = claim["spec"].get("volumeName") or ""
            return (
                f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{missing}"'
            )
        return claim, volume


def _is_taken(pod: PodInfo, name: str, nodes: Iterable[NodeInfo]) -> bool:
    """Whether another Pod that has a node uses the claim."""
    namespace = pod.obj["metadata"]["namespace"]
    return any(
        other.uid != pod.uid
        and other.obj["metadata"]["namespace"] == namespace
        and any(name == used for used, _ in matching.claims_of(other.obj))
        for node in nodes
        for other in node.pods.values()
    )
