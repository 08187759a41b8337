"""What a Pod asks of the network: bandwidth by annotation, ports of the node."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.admission import Admission
from kubelet.network import Bandwidth, HostPort, NetworkError
from kubelet.network_wishes import bandwidth, host_ports
from tests.unit.kubelet.containers import NODE, a_container, a_kubelet_pod

Object = dict[str, Any]


def annotated(**values: str) -> Object:
    pod = a_kubelet_pod()
    pod["metadata"]["annotations"] = {f"kubernetes.io/{k}-bandwidth": v for k, v in values.items()}
    return pod


def with_port(number: int, **more: Any) -> Object:
    port = {"containerPort": 80, "hostPort": number, "protocol": "TCP", **more}
    return a_kubelet_pod(a_container(ports=[port]))


def test_bandwidth_is_read_from_the_annotations() -> None:
    assert bandwidth(annotated(ingress="10M", egress="1Gi")) == Bandwidth(10**7, 2**30)
    assert bandwidth(a_kubelet_pod()) == Bandwidth()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("999", "resource is unreasonably small (< 1kbit)"),
        ("2P", "resource is unreasonably large (> 1Pbit)"),
        ("fast", "quantities must match the regular expression"),
    ],
)
def test_an_unreasonable_bandwidth_is_refused_in_kubernetes_words(text: str, words: str) -> None:
    with pytest.raises(NetworkError) as caught:
        bandwidth(annotated(egress=text))
    assert words in str(caught.value)


def test_a_pod_on_the_nodes_network_needs_no_way_to_its_ports() -> None:
    pod = with_port(8080)
    assert host_ports(pod) == (HostPort("TCP", "", 8080, 80),)
    pod["spec"]["hostNetwork"] = True
    assert host_ports(pod) == ()


@pytest.mark.parametrize(
    ("other", "clashes"),
    [
        (with_port(8080), True),
        (with_port(8080, hostIP="127.0.0.1"), True),
        (with_port(8080, protocol="UDP"), False),
        (with_port(8081), False),
    ],
)
def test_the_node_refuses_a_port_that_another_pod_has(other: Object, clashes: bool) -> None:
    admission = Admission()
    assert admission.admit(with_port(8080), NODE) is None
    rejection = admission.admit(other, NODE)
    assert (rejection is not None) == clashes
    if rejection:
        assert rejection.reason == "NodePorts"
        assert "didn't have free ports for the requested pod ports" in rejection.message


def test_a_port_is_free_again_when_its_pod_has_gone() -> None:
    admission, first = Admission(), with_port(8080)
    admission.admit(first, NODE)
    admission.release(first["metadata"]["uid"])
    assert admission.admit(with_port(8080), NODE) is None
