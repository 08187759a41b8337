"""The node's last word: what is too much for it fails with Kubernetes' reasons."""

from __future__ import annotations

from typing import Any

from kubelet.admission import Admission
from tests.unit.kubelet.containers import NODE, a_container, a_kubelet_pod

Object = dict[str, Any]


def asking(cpu: str = "100m", memory: str = "1Mi", **spec: Any) -> Object:
    wanted = {"requests": {"cpu": cpu, "memory": memory}}
    return a_kubelet_pod(a_container(resources=wanted), **spec)


def test_a_pod_that_fits_is_counted_once() -> None:
    admission, pod = Admission(), asking(cpu="2")
    assert admission.admit(pod, NODE) is None
    assert admission.admit(pod, NODE) is None


def test_too_much_cpu_is_refused_with_the_sums() -> None:
    admission = Admission()
    admission.admit(asking(cpu="1500m"), NODE)
    rejection = admission.admit(asking(cpu="600m"), NODE)
    assert rejection is not None
    assert rejection.reason == "OutOfcpu"
    assert "requested: 600, used: 1500, capacity: 2000" in rejection.message


def test_too_many_pods_and_too_much_memory_have_reasons_of_their_own() -> None:
    admission = Admission()
    rejection = admission.admit(asking(memory="2Gi"), NODE)
    assert rejection is not None
    assert rejection.reason == "OutOfmemory"
    admission.count(a_kubelet_pod())
    admission.count(a_kubelet_pod())
    rejection = admission.admit(a_kubelet_pod(), NODE)
    assert rejection is not None
    assert rejection.reason == "OutOfpods"


def test_what_has_ended_makes_room() -> None:
    admission, first = Admission(), asking(cpu="2")
    admission.admit(first, NODE)
    admission.release(first["metadata"]["uid"])
    admission.release(first["metadata"]["uid"])
    assert admission.admit(asking(cpu="2"), NODE) is None


def test_a_pod_for_another_kind_of_node_is_refused() -> None:
    rejection = Admission().admit(asking(nodeSelector={"disk": "ssd"}), NODE)
    assert rejection is not None
    assert rejection.reason == "NodeAffinity"


def test_huge_pages_that_the_node_does_not_have_are_refused() -> None:
    wanted = {"limits": {"hugepages-2Mi": "4Mi", "memory": "1Mi"}}
    rejection = Admission().admit(a_kubelet_pod(a_container(resources=wanted)), NODE)
    assert rejection is not None
    assert rejection.reason == "OutOfhugepages-2Mi"


def test_a_resource_that_is_not_a_nodes_is_left_to_others() -> None:
    wanted = {"limits": {"example.com/licence": "1"}}
    assert Admission().admit(a_kubelet_pod(a_container(resources=wanted)), NODE) is None


def test_what_the_machine_cannot_do_is_refused_in_its_own_words() -> None:
    admission = Admission(lambda pod: [f"{pod['metadata']['name']}: no such CPU"])
    rejection = admission.admit(a_kubelet_pod(name="web"), NODE)
    assert rejection is not None
    assert rejection.reason == "UnexpectedAdmissionError"
    assert rejection.message == "Allocate failed due to web: no such CPU, which is unexpected"


def test_a_pod_that_is_resized_needs_room_only_for_what_it_gets_more() -> None:
    admission, pod = Admission(), asking(cpu="500m")
    admission.admit(pod, NODE)
    admission.admit(asking(cpu="1"), NODE)
    bigger = asking(cpu="1")
    bigger["metadata"]["uid"] = pod["metadata"]["uid"]
    assert admission.resize(bigger, NODE) == ""
    bigger["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1500m"
    assert admission.resize(bigger, NODE) == "Deferred"
    bigger["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "3"
    assert admission.resize(bigger, NODE) == "Infeasible"


def test_a_resize_that_makes_it_smaller_always_fits() -> None:
    admission, pod = Admission(), asking(cpu="2")
    admission.count(pod)
    admission.count(asking(cpu="1"))  # more than there is, by an earlier agreement
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "1800m"
    assert admission.resize(pod, NODE) == ""
