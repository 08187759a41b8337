"""env, envFrom, $(VAR) and the downward API."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kubelet.environment import ConfigMissing, environment, expand
from tests.unit.kubelet.containers import a_container, a_kubelet_pod, around

Object = dict[str, Any]


def env_of(*variables: Object, sources: list[Object] | None = None, **objects: Object) -> Object:
    container = a_container(env=list(variables), envFrom=sources or [])
    return environment(a_kubelet_pod(container), container, around(**objects))


def from_key(kind: str, name: str, key: str, **more: Any) -> Object:
    return {"name": "V", "valueFrom": {kind: {"name": name, "key": key} | more}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(MISSING)", "$(MISSING)"),
        ("$A ${A} $(A", "$A ${A} $(A"),
        ("$()", "$()"),
        ("x$(A)$(B)y", "x12y"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


def test_a_variable_sees_those_before_it_and_not_those_after() -> None:
    found = env_of(
        {"name": "A", "value": "$(B)"}, {"name": "B", "value": "b"}, {"name": "C", "value": "$(B)"}
    )
    assert found == {"A": "$(B)", "B": "b", "C": "b"}


def test_config_maps_and_secrets_give_single_keys() -> None:
    secret = {"data": {"k": base64.b64encode(b"hush").decode()}}
    assert env_of(from_key("configMapKeyRef", "c", "k"), configmaps_c={"data": {"k": "v"}}) == {
        "V": "v"
    }
    assert env_of(from_key("secretKeyRef", "s", "k"), secrets_s=secret) == {"V": "hush"}


def test_env_wins_over_env_from_whose_names_get_a_prefix() -> None:
    sources = [{"prefix": "P_", "configMapRef": {"name": "c"}}]
    found = env_of({"name": "P_a", "value": "own"}, sources=sources,
                   configmaps_c={"data": {"a": "1", "b": "2"}})  # fmt: skip
    assert found == {"P_a": "own", "P_b": "2"}


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ConfigMissing, match=r'^configmap "c" not found$'):
        env_of(from_key("configMapKeyRef", "c", "k"))
    with pytest.raises(ConfigMissing, match=r'^secret "s" not found$'):
        env_of(sources=[{"secretRef": {"name": "s"}}])
    with pytest.raises(ConfigMissing, match=r"^couldn't find key k in ConfigMap default/c$"):
        env_of(from_key("configMapKeyRef", "c", "k"), configmaps_c={"data": {}})


def test_what_is_optional_may_be_missing() -> None:
    assert (
        env_of(
            from_key("configMapKeyRef", "c", "k", optional=True),
            from_key("secretKeyRef", "s", "k", optional=True),
            sources=[{"configMapRef": {"name": "gone", "optional": True}}],
            configmaps_c={"data": {}},
        )
        == {}
    )


def test_the_downward_api_tells_of_pod_and_node() -> None:
    paths = ("metadata.name", "spec.nodeName", "status.podIP", "status.hostIP",
             "metadata.labels['app']")  # fmt: skip
    found = env_of(*[{"name": p, "valueFrom": {"fieldRef": {"fieldPath": p}}} for p in paths])
    assert list(found.values()) == ["web", "node-1", "10.0.0.9", "192.0.2.7", "web"]


def test_resources_come_in_units_of_the_divisor_rounded_up() -> None:
    container = a_container(resources={"limits": {"memory": "65Mi"}, "requests": {"cpu": "250m"}})
    asked = {
        "M": {"resource": "limits.memory", "divisor": "1Mi"},
        "C": {"resource": "requests.cpu"},
        "ALL": {"resource": "limits.cpu"},
    }
    container["env"] = [{"name": n, "valueFrom": {"resourceFieldRef": r}} for n, r in asked.items()]
    found = environment(a_kubelet_pod(container), container, around())
    assert found == {"M": "65", "C": "1", "ALL": "2"}


def test_a_container_may_be_told_of_another_and_of_the_node_where_there_is_no_limit() -> None:
    other = a_container("other", resources={"limits": {"cpu": "250m", "memory": "0"}})
    asked = {
        "C": {"resource": "limits.cpu", "containerName": "other", "divisor": "1m"},
        "M": {"resource": "limits.memory", "containerName": "other", "divisor": "1Mi"},
        "H": {"resource": "limits.hugepages-2Mi", "containerName": "other"},
    }
    main = a_container(env=[
        {"name": n, "valueFrom": {"resourceFieldRef": r}} for n, r in asked.items()
    ])  # fmt: skip
    found = environment(a_kubelet_pod(main, inits=(other,)), main, around())
    assert found == {"C": "250", "M": "1024", "H": "0"}
    with pytest.raises(ConfigMissing, match=r"^container other not found$"):
        environment(a_kubelet_pod(main), main, around())
