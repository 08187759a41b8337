"""ConfigMaps, Secrets, Nodes, Events, Leases and bindings are refused in Kubernetes' words."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from apiserver.validation import validate_binding, validate_create, validate_update
from podium.api.scheme import resource
from tests.support.builders import a_meta, a_node


def an_object(**fields: Any) -> dict[str, Any]:
    return {"metadata": a_meta("x"), **fields}


def causes(kind: str, **fields: Any) -> list[str]:
    return [str(cause) for cause in validate_create(resource(kind), an_object(**fields))]


def test_a_good_object_has_no_causes() -> None:
    assert causes("cm", data={"a.txt": "1"}, binaryData={"b": "AA=="}) == []
    assert causes("secrets", type="Opaque", data={"a": "AA=="}) == []
    assert causes("leases", spec={"leaseDurationSeconds": 15}) == []
    assert causes("sa") == []


def test_keys_are_judged() -> None:
    assert causes("cm", data={"a b": "1", "..": "2"})[0].startswith(
        'data[a b]: Invalid value: "a b": a valid config key must consist'
    )
    assert causes("secrets", data={"..x": "AA=="}) == [
        "data[..x]: Invalid value: \"..x\": must not start with '..'"
    ]


def test_a_key_may_be_in_one_of_the_two_bags() -> None:
    found = causes("cm", data={"a": "1"}, binaryData={"a": "AA=="})
    assert found[0] == 'data[a]: Invalid value: "a": duplicate of key present in binaryData'


def test_a_config_map_and_a_secret_hold_a_mebibyte() -> None:
    assert causes("cm", data={"a": "x" * (1 << 20)}) == []
    assert causes("cm", data={"a": "x" * (1 << 20), "b": "y"}) == [
        ": Too long: may not be more than 1048576 bytes"
    ]
    large = base64.b64encode(b"x" * ((1 << 20) + 1)).decode()
    assert causes("secrets", data={"a": large}) == [
        "data: Too long: may not be more than 1048576 bytes"
    ]


def test_what_is_immutable_stays() -> None:
    old = an_object(immutable=True, data={"a": "1"})
    new = old | {"data": {"a": "2"}, "immutable": False}
    found = [str(c) for c in validate_update(resource("cm"), new, old)]
    words = "Forbidden: field is immutable when `immutable` is set"
    assert found == [f"immutable: {words}", f"data: {words}"]


def test_a_secrets_type_stays_and_asks_for_its_keys() -> None:
    assert causes("secrets", type="kubernetes.io/tls", data={"tls.crt": "AA=="}) == [
        "data[tls.key]: Required value"
    ]
    old = an_object(type="Opaque")
    (cause,) = validate_update(resource("secrets"), old | {"type": "mine"}, old)
    assert str(cause) == 'type: Invalid value: "mine": field is immutable'


def test_taints_are_judged() -> None:
    node = a_node(taints=[{"key": "a", "effect": "Never"}, {"key": "b"}])
    assert [str(c) for c in validate_create(resource("nodes"), node)] == [
        'spec.taints[0].effect: Unsupported value: "Never": supported values: "NoSchedule", '
        '"PreferNoSchedule", "NoExecute"',
        "spec.taints[1].effect: Required value",
    ]


def test_a_nodes_pod_subnet_is_given_once() -> None:
    node = a_node()
    with_subnet = node | {"spec": {"podCIDR": "10.244.0.0/24"}}
    assert validate_update(resource("nodes"), with_subnet, node) == []
    (cause,) = validate_update(resource("nodes"), node, with_subnet)
    assert str(cause) == (
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
    )


@pytest.mark.parametrize("namespace", ["other", ""])
def test_an_event_lives_beside_what_it_is_about(namespace: str) -> None:
    event = {"metadata": a_meta("x", "lab"), "involvedObject": {"namespace": namespace}}
    (cause,) = validate_create(resource("events"), event)
    assert str(cause) == (
        f'involvedObject.namespace: Invalid value: "{namespace}": does not match event.namespace'
    )
    about_a_node = {"metadata": a_meta("x"), "involvedObject": {"kind": "Node"}}
    assert validate_create(resource("events"), about_a_node) == []


def test_a_lease_lasts() -> None:
    assert causes("leases", spec={"leaseDurationSeconds": 0, "leaseTransitions": -1}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]


def test_a_binding_has_a_target() -> None:
    assert [str(c) for c in validate_binding({"target": {"kind": "Pod"}})] == [
        'target.kind: Unsupported value: "Pod": supported values: "Node", "<empty>"',
        "target.name: Required value",
    ]
    assert validate_binding({"target": {"kind": "Node", "name": "n1"}}) == []
