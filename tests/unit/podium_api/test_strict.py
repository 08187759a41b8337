"""Strict decoding finds every problem, in the words of Kubernetes' decoder."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podium.api.strict import decode_json_strict, find_problems
from tests.support.builders import a_deployment, a_pod


def messages(obj: dict[str, Any], kind: str = "Pod") -> list[str]:
    return [problem.message for problem in find_problems(obj, kind)]


def a_pod_with(**container: Any) -> dict[str, Any]:
    pod = a_pod()
    pod["spec"]["containers"][0].update(container)
    return pod


def test_a_good_object_has_no_problems_and_is_not_changed() -> None:
    for obj, kind in ((a_pod(cpu="100m", ready=True), "Pod"), (a_deployment(), "Deployment")):
        before = copy.deepcopy(obj)
        assert messages(obj, kind) == []
        assert obj == before


def test_unknown_fields_are_named_with_their_path_and_removed() -> None:
    pod = a_pod_with(imagee="x")
    pod["spec"]["foo"] = {"a": 1}
    pod["spec"]["volumes"] = [{"name": "v", "hostpath": {}}]
    assert sorted(messages(pod)) == [
        'unknown field "spec.containers[0].imagee"',
        'unknown field "spec.foo"',
        'unknown field "spec.volumes[0].hostpath"',
    ]
    assert "foo" not in pod["spec"]
    assert messages(pod) == []


@pytest.mark.parametrize(
    ("container", "message"),
    [
        (
            {"image": 5},
            "json: cannot unmarshal number into Go struct field Container.spec.containers.image "
            "of type string",
        ),
        (
            {"ports": "80"},
            "json: cannot unmarshal string into Go struct field Container.spec.containers.ports "
            "of type []v1.ContainerPort",
        ),
        (
            {"ports": [{"containerPort": "80"}]},
            "json: cannot unmarshal string into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            {"ports": [{"containerPort": 1 << 40}]},
            "json: cannot unmarshal number 1099511627776 into Go struct field "
            "ContainerPort.spec.containers.ports.containerPort of type int32",
        ),
        (
            {"stdin": "yes"},
            "json: cannot unmarshal string into Go struct field Container.spec.containers.stdin "
            "of type bool",
        ),
        (
            {"resources": {"limits": {"cpu": "1 core"}}},
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
    ],
)
def test_a_wrong_type_is_told_as_go_tells_it(container: dict[str, Any], message: str) -> None:
    assert messages(a_pod_with(**container)) == [message]


def test_all_problems_are_found_at_once() -> None:
    pod = a_pod_with(image=1, stdin=2, foo=3)
    pod["metadata"]["labels"] = {"a": 1, "b": True}
    assert len(find_problems(pod, "Pod")) == 5


def test_null_means_not_set() -> None:
    pod = a_pod_with(image="x", command=None, args=[None], env=[None])
    assert messages(pod) == []
    assert "command" not in pod["spec"]["containers"][0]
    assert pod["spec"]["containers"][0]["args"] == [""]
    assert pod["spec"]["containers"][0]["env"] == [{}]


def test_quantities_are_stored_in_canonical_form_and_whole_floats_as_integers() -> None:
    pod = a_pod_with(
        resources={"limits": {"memory": "1024Mi", "cpu": 0.5}}, ports=[{"containerPort": 8e1}]
    )
    assert messages(pod) == []
    container = pod["spec"]["containers"][0]
    assert container["resources"]["limits"] == {"memory": "1Gi", "cpu": "500m"}
    assert container["ports"] == [{"containerPort": 80}]
    assert isinstance(container["ports"][0]["containerPort"], int)


def test_times_and_base64_are_read() -> None:
    pod = a_pod(meta={"creationTimestamp": "yesterday"})
    assert "parsing time" in messages(pod)[0]
    assert "illegal base64 data at input byte 2" in messages({"data": {"a": "ab!c"}}, "Secret")[0]
    assert messages({"data": {"a": "YQ=="}}, "Secret") == []


def test_apiversion_and_kind_stay_in_front() -> None:
    pod = {"spec": {"containers": []}, "kind": "Pod", "apiVersion": "v1"}
    assert messages(pod) == []
    assert list(pod) == ["kind", "apiVersion", "spec"]


# ---- JSON ---------------------------------------------------------------------------------------


def test_keys_that_are_twice_are_found_where_they_are() -> None:
    body = b'{"spec":{"a":1,"b":[{"c":1,"c":2}],"a":3},"kind":"Pod"}'
    value, problems = decode_json_strict(body)
    assert value["spec"] == {"a": 3, "b": [{"c": 2}]}
    assert sorted(p.message for p in problems) == [
        'duplicate field "spec.a"',
        'duplicate field "spec.b[0].c"',
    ]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"a":NaN}', b'{"a":Infinity}', b"[" * 100_000, b"\xff", b"{'a':1}"]
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_json_strict(body)


def test_half_a_character_becomes_the_replacement_character() -> None:
    value, _ = decode_json_strict(rb'{"a":"x\ud800y","\udfffk":["\ud83d\ude00"]}')
    assert value == {"a": "x\ufffdy", "\ufffdk": ["\U0001f600"]}
