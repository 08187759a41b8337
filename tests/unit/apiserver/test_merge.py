"""Patches change objects as Kubernetes' do."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apiserver.merge import MergeError, json_patch, merge_patch, strategic_merge
from tests.support.builders import a_deployment, a_pod

keys = st.sampled_from("abcd")
scalars = st.one_of(st.integers(0, 3), st.booleans(), st.text("xy", max_size=2))
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner), max_leaves=8
)
objects = st.dictionaries(keys, values)
patches = st.dictionaries(keys, st.one_of(st.none(), values))


def containers(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": n, "image": f"{n}:1"} for n in names]}}


def names(pod: dict[str, Any]) -> list[str]:
    return [c["name"] for c in pod["spec"]["containers"]]


# ---- merge patch --------------------------------------------------------------------------------


def test_a_merge_patch_sets_removes_and_replaces_lists() -> None:
    target = {"a": {"b": 1, "c": 2}, "l": [1, 2]}
    patched = merge_patch(target, {"a": {"b": None, "d": 3}, "l": [9]})
    assert patched == {"a": {"c": 2, "d": 3}, "l": [9]}
    assert target == {"a": {"b": 1, "c": 2}, "l": [1, 2]}


@given(objects, patches)
def test_a_merge_patch_twice_is_a_merge_patch_once(
    target: dict[str, Any], patch: dict[str, Any]
) -> None:
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once


@given(objects)
def test_an_empty_merge_patch_changes_nothing(target: dict[str, Any]) -> None:
    assert merge_patch(target, {}) == target


# ---- JSON patch ---------------------------------------------------------------------------------


def test_every_operation_of_a_json_patch_works() -> None:
    patched = json_patch(
        {"a": {"b": [1, 2, 3]}, "x/y": 1},
        [
            {"op": "test", "path": "/a/b/0", "value": 1},
            {"op": "add", "path": "/a/b/-", "value": 4},
            {"op": "add", "path": "/a/b/0", "value": 0},
            {"op": "replace", "path": "/x~1y", "value": 2},
            {"op": "copy", "from": "/a/b/0", "path": "/c"},
            {"op": "move", "from": "/a/b", "path": "/d"},
            {"op": "remove", "path": "/d/1"},
        ],
    )
    assert patched == {"a": {}, "x/y": 2, "c": 0, "d": [0, 2, 3, 4]}


def test_a_json_patch_that_fails_changes_nothing() -> None:
    target = {"a": 1}
    with pytest.raises(MergeError, match="testing value /a failed") as refused:
        json_patch(
            target,
            [{"op": "add", "path": "/b", "value": 2}, {"op": "test", "path": "/a", "value": 9}],
        )
    assert refused.value.code == 422
    assert target == {"a": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/nothing"},
        {"op": "replace", "path": "/nothing", "value": 1},
        {"op": "add", "path": "/nothing/x", "value": 1},
        {"op": "add", "path": "/l/9", "value": 1},
        {"op": "add", "path": "/l/x", "value": 1},
        {"op": "move", "from": "/nothing", "path": "/y"},
    ],
)
def test_a_json_patch_of_what_is_not_there_is_unprocessable(operation: dict[str, Any]) -> None:
    with pytest.raises(MergeError) as refused:
        json_patch({"l": [1]}, [operation])
    assert refused.value.code == 422


@pytest.mark.parametrize("patch", [{}, ["x"], [{"op": "frob", "path": "/a"}], [{"op": "add"}]])
def test_what_is_no_json_patch_is_a_bad_request(patch: Any) -> None:
    with pytest.raises(MergeError) as refused:
        json_patch({"a": 1}, patch)
    assert refused.value.code == 400


# ---- strategic merge ----------------------------------------------------------------------------


def test_containers_merge_by_name() -> None:
    patch = {"spec": {"containers": [{"name": "b", "image": "b:2"}, {"name": "c", "image": "c:1"}]}}
    patched = strategic_merge(containers("a", "b"), patch, "Pod")
    assert [c["image"] for c in patched["spec"]["containers"]] == ["a:1", "b:2", "c:1"]


def test_the_order_that_kubectl_asks_for_is_kept() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
            "containers": [{"name": "c", "image": "c:1"}],
        }
    }
    assert names(strategic_merge(containers("a"), patch, "Pod")) == ["c", "a"]


def test_what_others_added_stays_before_what_it_preceded() -> None:
    order = {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    assert names(strategic_merge(containers("a", "x", "b"), order, "Pod")) == ["x", "b", "a"]


def test_an_element_is_deleted_by_its_key() -> None:
    patch = {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}
    assert names(strategic_merge(containers("a", "b"), patch, "Pod")) == ["b"]


def test_a_list_is_replaced_when_asked() -> None:
    patch = {"spec": {"containers": [{"name": "z", "image": "z"}, {"$patch": "replace"}]}}
    assert names(strategic_merge(containers("a", "b"), patch, "Pod")) == ["z"]


def test_an_object_is_replaced_or_deleted_when_asked() -> None:
    target = {"spec": {"securityContext": {"runAsUser": 1, "fsGroup": 2}}}
    replaced = {"spec": {"securityContext": {"$patch": "replace", "runAsUser": 5}}}
    assert strategic_merge(target, replaced, "Pod") == {
        "spec": {"securityContext": {"runAsUser": 5}}
    }
    deleted = {"spec": {"securityContext": {"$patch": "delete"}}}
    assert strategic_merge(target, deleted, "Pod") == {"spec": {}}


def test_retain_keys_changes_a_volumes_source() -> None:
    target = {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}
    source = {"name": "v", "hostPath": {"path": "/x"}, "$retainKeys": ["name", "hostPath"]}
    patched = strategic_merge(target, {"spec": {"volumes": [source]}}, "Pod")
    assert patched["spec"]["volumes"] == [{"name": "v", "hostPath": {"path": "/x"}}]


def test_retain_keys_changes_a_strategy() -> None:
    patch = {
        "spec": {"strategy": {"$retainKeys": ["type"], "rollingUpdate": None, "type": "Recreate"}}
    }
    patched = strategic_merge(a_deployment(), patch, "Deployment")
    assert patched["spec"]["strategy"] == {"type": "Recreate"}


def test_primitives_are_added_and_deleted() -> None:
    target = {"metadata": {"finalizers": ["a/a", "b/b"]}}
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a/a"],
            "$setElementOrder/finalizers": ["c/c", "b/b"],
            "finalizers": ["c/c"],
        }
    }
    patched = strategic_merge(target, patch, "Pod")
    assert patched["metadata"]["finalizers"] == ["c/c", "b/b"]


def test_lists_without_a_merge_key_are_replaced() -> None:
    target = {"spec": {"containers": [{"name": "a", "command": ["x", "y"]}]}}
    patch = {"spec": {"containers": [{"name": "a", "command": ["z"]}]}}
    assert strategic_merge(target, patch, "Pod")["spec"]["containers"][0]["command"] == ["z"]


def test_maps_merge_key_by_key_even_those_that_apply_takes_as_a_whole() -> None:
    target = {"metadata": {"labels": {"a": "1", "b": "2"}}, "spec": {"nodeSelector": {"x": "1"}}}
    patch = {"metadata": {"labels": {"a": None, "c": "3"}}, "spec": {"nodeSelector": {"y": "2"}}}
    patched = strategic_merge(target, patch, "Pod")
    assert patched["metadata"]["labels"] == {"b": "2", "c": "3"}
    assert patched["spec"]["nodeSelector"] == {"x": "1", "y": "2"}


def test_ports_and_conditions_have_keys_of_their_own() -> None:
    ports = {"name": "a", "ports": [{"containerPort": 80}, {"containerPort": 81}]}
    named = {"name": "a", "ports": [{"containerPort": 81, "name": "x"}]}
    patched = strategic_merge(
        {"spec": {"containers": [ports]}}, {"spec": {"containers": [named]}}, "Pod"
    )
    assert patched["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80},
        {"containerPort": 81, "name": "x"},
    ]
    ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
    changed = strategic_merge(a_pod(ready=True), ready, "Pod")["status"]["conditions"]
    assert [(c["type"], c["status"]) for c in changed] == [("Ready", "False")]


def test_an_element_without_its_key_is_a_bad_request() -> None:
    with pytest.raises(MergeError, match="does not contain declared merge key: name"):
        strategic_merge(containers("a"), {"spec": {"containers": [{"image": "x"}]}}, "Pod")


def test_an_unknown_directive_is_a_bad_request() -> None:
    with pytest.raises(MergeError, match="Unknown patch type found: frob"):
        strategic_merge(a_pod(), {"spec": {"$patch": "frob"}}, "Pod")


some_names = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@given(some_names, some_names)
def test_a_strategic_merge_twice_is_one_and_changes_nothing_it_was_given(
    have: list[str], want: list[str]
) -> None:
    target = containers(*have)
    patch = {
        "spec": {
            "containers": [{"name": n, "image": "new"} for n in want],
            "$setElementOrder/containers": [{"name": n} for n in want],
        }
    }
    before = copy.deepcopy((target, patch))
    once = strategic_merge(target, patch, "Pod")
    assert (target, patch) == before
    assert strategic_merge(once, patch, "Pod") == once
    assert set(names(once)) == {*have, *want}
    assert [n for n in names(once) if n in want] == want
