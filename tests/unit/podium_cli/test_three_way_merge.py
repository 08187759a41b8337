"""The patch that `apply` makes, judged by what the API server's merge makes of it."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.merge import strategic_merge
from podium.cli import three_way_merge as merge

Object = dict[str, Any]


def a_deployment(**container: Any) -> Object:
    main = {"name": "main", "image": "host", **container}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [main]}},
        },
    }


def container(obj: Object, index: int = 0) -> Object:
    found: Object = obj["spec"]["template"]["spec"]["containers"][index]
    return found


def applied(first: Object, second: Object, change: Any = None) -> tuple[Object, Object]:
    """(patch, result) of applying `first`, letting others `change` the object, then `second`."""
    current = merge.with_last_applied(first)
    current["metadata"]["uid"] = "made-by-the-server"
    if change:
        change(current)
    before = copy.deepcopy(current)
    original = merge.last_applied(current)
    assert original is not None
    patch = merge.three_way_patch(original, merge.with_last_applied(second), current)
    assert current == before
    return patch, strategic_merge(current, patch, "Deployment")


def test_the_same_again_is_no_patch_at_all() -> None:
    patch, _ = applied(a_deployment(), a_deployment())
    assert patch == {}


def test_what_others_have_set_is_left_alone() -> None:
    def defaults_and_a_scaler(current: Object) -> None:
        current["spec"]["replicas"] = 7
        container(current)["terminationMessagePath"] = "/dev/termination-log"

    patch, _ = applied(a_deployment(), a_deployment(), defaults_and_a_scaler)
    assert patch == {}
    _, result = applied(a_deployment(), a_deployment(image="other"), defaults_and_a_scaler)
    assert result["spec"]["replicas"] == 7
    assert container(result)["image"] == "other"
    assert container(result)["terminationMessagePath"] == "/dev/termination-log"


def test_what_the_manifest_says_no_more_is_removed() -> None:
    first = a_deployment(env=[{"name": "A", "value": "1"}, {"name": "B", "value": "2"}])
    first["spec"]["replicas"] = 3
    second = a_deployment(env=[{"name": "B", "value": "2"}])
    _, result = applied(first, second)
    assert "replicas" not in result["spec"]
    assert container(result)["env"] == [{"name": "B", "value": "2"}]


def test_a_container_is_added_and_another_removed() -> None:
    first, second = a_deployment(), a_deployment()
    second["spec"]["template"]["spec"]["containers"] = [
        {"name": "sidecar", "image": "host"},
        {"name": "logger", "image": "host"},
    ]
    _, result = applied(first, second)
    assert [c["name"] for c in result["spec"]["template"]["spec"]["containers"]] == [
        "sidecar",
        "logger",
    ]


def test_the_order_of_containers_is_the_manifests() -> None:
    def pair(*names: str) -> Object:
        obj = a_deployment()
        obj["spec"]["template"]["spec"]["containers"] = [{"name": n, "image": "i"} for n in names]
        return obj

    _, result = applied(pair("a", "b"), pair("b", "a"))
    assert [c["name"] for c in result["spec"]["template"]["spec"]["containers"]] == ["b", "a"]


def test_another_strategy_leaves_nothing_of_the_one_before() -> None:
    def defaulted(current: Object) -> None:
        current["spec"]["strategy"] = {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"},
        }

    second = a_deployment()
    second["spec"]["strategy"] = {"type": "Recreate"}
    _, result = applied(a_deployment(), second, defaulted)
    assert result["spec"]["strategy"] == {"type": "Recreate"}


def test_another_volume_source_replaces_the_one_before() -> None:
    def with_volume(source: Object) -> Object:
        obj = a_deployment()
        obj["spec"]["template"]["spec"]["volumes"] = [{"name": "data", **source}]
        return obj

    first, second = with_volume({"emptyDir": {}}), with_volume({"hostPath": {"path": "/srv"}})
    _, result = applied(first, second)
    assert result["spec"]["template"]["spec"]["volumes"] == [
        {"name": "data", "hostPath": {"path": "/srv"}}
    ]


def test_one_port_by_tcp_and_udp_survives() -> None:
    ports = [{"containerPort": 53, "protocol": p} for p in ("TCP", "UDP")]
    _, result = applied(a_deployment(ports=ports[:1]), a_deployment(ports=ports))
    assert container(result)["ports"] == ports


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_broken_annotation_counts_as_none(text: str) -> None:
    obj = a_deployment()
    obj["metadata"]["annotations"] = {merge.LAST_APPLIED: text}
    assert merge.last_applied(obj) is None


def test_unknown_fields_reach_the_server_which_refuses_them() -> None:
    second = a_deployment()
    second["spec"]["replcas"] = 3
    patch, _ = applied(a_deployment(), second)
    assert patch["spec"] == {"replcas": 3}
