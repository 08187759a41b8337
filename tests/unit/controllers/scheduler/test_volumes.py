"""Where a Pod can go because of what it claims."""

from __future__ import annotations

from typing import Any

from controllers import volume_matching as matching
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from controllers.scheduler.volumes import PodVolumes, VolumeView
from tests.support.builders import a_node, a_pod

Object = dict[str, Any]
A, B = NodeInfo.of(a_node("a")), NodeInfo.of(a_node("b"))
HOSTNAME = "kubernetes.io/hostname"


class Cache:
    """An informer that hears of nothing more."""

    def __init__(self, *objects: Object) -> None:
        self._objects = {
            "/".join(filter(None, (o["metadata"].get("namespace"), o["metadata"]["name"]))): o
            for o in objects
        }

    def get(self, key: str) -> Object | None:
        return self._objects.get(key)

    def list(self) -> list[Object]:
        return list(self._objects.values())

    def add_handler(self, *_: object) -> None: ...


def a_claim(name: str = "data", *, volume: str = "", node: str = "", **spec: Any) -> Object:
    marks = {matching.BIND_COMPLETED: "yes"} if volume else {}
    marks |= {matching.SELECTED_NODE: node} if node else {}
    about = {"name": name, "namespace": "default", "uid": f"uid-{name}", "resourceVersion": "1"}
    wanted = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "late",
    }
    return {
        "metadata": {**about, "annotations": marks},
        "spec": wanted | ({"volumeName": volume} if volume else {}) | spec,
        "status": {"phase": "Bound" if volume else "Pending"},
    }


def a_volume(name: str, node: str) -> Object:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
        "storageClassName": "late",
        "nodeAffinity": {"required": {"nodeSelectorTerms": [term]}},
    }
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Available"}}


def a_class(name: str = "late", mode: str = matching.WAIT, provisioner: str = "x") -> Object:
    return {"metadata": {"name": name}, "volumeBindingMode": mode, "provisioner": provisioner}


def a_user(*claims: str) -> PodInfo:
    pod = a_pod()
    pod["spec"]["volumes"] = [
        {"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims
    ]
    return PodInfo.of(pod)


def look(claims: list[Object], volumes: list[Object], *classes: Object) -> PodVolumes:
    view = VolumeView(
        Cache(*claims), Cache(*volumes), Cache(*(classes or (a_class(),))),  # type: ignore[arg-type]
        lambda: None,
    )  # fmt: skip
    return view.of(a_user(*(c["metadata"]["name"] for c in claims)), [A, B])


def test_a_bound_claim_ties_the_pod_to_its_volumes_node() -> None:
    found = look([a_claim(volume="v")], [a_volume("v", "a")])
    assert found.rejection(A) is None
    rejection = found.rejection(B)
    assert rejection is not None
    assert rejection.reasons == ("node(s) had volume node affinity conflict",)
    assert found.reserve(a_user("data"), A) is None


def test_a_claim_that_waits_is_provisioned_where_the_pod_goes() -> None:
    found = look([a_claim()], [])
    assert found.rejection(A) is None
    reserve = found.reserve(a_user("data"), A)
    assert reserve is not None
    assert [c["metadata"]["name"] for c in reserve.claims] == ["data"]


def test_a_volume_that_is_there_is_kept_and_not_for_two_claims() -> None:
    nobody = a_class(provisioner=matching.NO_PROVISIONER)
    found = look([a_claim()], [a_volume("v", "a")], nobody)
    reserve = found.reserve(a_user("data"), A)
    assert reserve is not None
    assert [volume["metadata"]["name"] for volume, _ in reserve.volumes] == ["v"]
    rejection = found.rejection(B)
    assert rejection is not None
    assert "didn't find available persistent volumes to bind" in rejection.reasons[0]
    two = look([a_claim("one"), a_claim("two")], [a_volume("v", "a")], nobody)
    assert two.rejection(A) is not None


def test_a_node_that_was_chosen_before_stays_chosen_and_nothing_is_asked_twice() -> None:
    found = look([a_claim(node="a")], [])
    assert found.rejection(B) is not None
    reserve = found.reserve(a_user("data"), A)
    assert reserve is not None
    assert (reserve.claims, reserve.volumes) == ((), ())


def test_what_no_node_can_mend_is_said_in_kubernetes_words() -> None:
    immediate = a_class(mode="Immediate")
    unbound = look([a_claim()], [], immediate)
    assert unbound.refusal == "pod has unbound immediate PersistentVolumeClaims"
    lost = look([a_claim(volume="gone")], [])
    assert lost.refusal == (
        'persistentvolumeclaim "data" bound to non-existent persistentvolume "gone"'
    )
