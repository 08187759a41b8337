"""From changes and spans to one tree: nothing is without its parent, whoever was killed."""

from __future__ import annotations

from typing import Any

from apiserver.trace import pods, tree

TRACE = "ab" * 16


def a_change(rv: int, **other: Any) -> dict[str, Any]:
    return {
        "rv": rv, "at": rv * 1000, "arrived": rv * 1000 - 500, "trace": TRACE, "span": f"c{rv}",
        "parent": "", "loop": "", "began": 0, "reacted_to": "", "actor": "admin", "manager": "m",
        "resource": "pods", "namespace": "default", "name": f"web-{rv}", "uid": f"uid-{rv}",
        "type": "ADDED", "subresource": "", "prev_rv": None, "spec_rv": rv, **other,
    }  # fmt: skip


def a_span(span_id: str, parent_id: str, **other: Any) -> dict[str, Any]:
    return {"traceId": TRACE, "spanId": span_id, "parentId": parent_id, "kind": "reconcile",
            "name": "loop", "key": "default/web", "beganUs": 1000, "endedUs": 9000,
            "reactedTo": [1], "attributes": {}, "component": "controllers", **other}  # fmt: skip


def a_phase(span_id: str, parent_id: str, whole: str = "r", **other: Any) -> dict[str, Any]:
    within = {"spanId": whole, "name": "pod-sync", "beganUs": 1500, "reactedTo": [1]}
    return a_span(span_id, parent_id, kind="phase", reactedTo=[], within=within, **other)


def shape(root: tree.Node) -> list[tuple[int, str, bool]]:
    return [(depth, node.span_id, node.is_finished) for depth, node in tree.preorder(root)]


def test_changes_and_spans_make_one_tree() -> None:
    changes = [a_change(1), a_change(2, parent="r", loop="loop", reacted_to="1")]
    (root,) = tree.roots(changes, [a_span("r", "c1"), a_phase("p", "r")])
    assert shape(root) == [(0, "c1", True), (1, "r", True), (2, "p", True), (2, "c2", True)]


def test_a_reconcile_that_was_killed_is_known_from_what_it_wrote() -> None:
    changes = [a_change(1), a_change(2, parent="r", loop="loop", reacted_to="1", began=1200)]
    (root,) = tree.roots(changes, [])
    assert shape(root) == [(0, "c1", True), (1, "r", False), (2, "c2", True)]
    assert root.children[0].began_us == 1200


def test_a_reconcile_that_was_killed_is_known_from_its_phases() -> None:
    (root,) = tree.roots([a_change(1)], [a_phase("p", "r", key="uid-1")])
    assert shape(root) == [(0, "c1", True), (1, "r", False), (2, "p", True)]
    assert (root.children[0].name, root.children[0].key) == ("pod-sync", "uid-1")


def test_a_step_of_a_phase_that_was_not_told_is_one_of_its_reconcile() -> None:
    (root,) = tree.roots([a_change(1)], [a_phase("step", "phase that was not told")])
    assert shape(root) == [(0, "c1", True), (1, "r", False), (2, "step", True)]


def test_a_strangers_span_is_the_root_of_what_it_wrote() -> None:
    (root,) = tree.roots([a_change(1, parent="stranger")], [])
    assert [(node.kind, node.is_finished) for node in root.walk()] == [
        ("outside", False), ("change", True),
    ]  # fmt: skip


def test_ids_that_go_round_in_a_circle_do_no_harm() -> None:
    found = tree.roots([], [a_span("a", "b", reactedTo=[]), a_span("b", "a", reactedTo=[])])
    assert sorted(node.span_id for root in found for node in root.walk()) == ["a", "b"]


def test_a_trace_may_be_deeper_than_pythons_stack() -> None:
    changes = [a_change(rv, parent=f"c{rv - 1}" if rv > 1 else "") for rv in range(1, 3001)]
    (root,) = tree.roots(changes, [])
    tree.only_about(root, "pods", "uid-3000")
    assert [node["depth"] for node in tree.to_json(root)] == list(range(3000))


def test_only_what_concerns_an_object_is_left() -> None:
    changes = [
        a_change(1, resource="replicasets.apps", uid="rs"),
        a_change(2, parent="r", uid="one"), a_change(3, parent="r", uid="other"),
        a_change(4, parent="s", uid="one", subresource="binding", type="MODIFIED"),
    ]  # fmt: skip
    (root,) = tree.roots(changes, [a_span("r", "c1"), a_span("s", "c2", reactedTo=[2])])
    assert tree.only_about(root, "pods", "one")
    assert [node.span_id for node in root.walk()] == ["c1", "r", "c2", "s", "c4"]


def test_a_command_that_was_interrupted_is_known_from_its_writes() -> None:
    about = {"parent": "apply", "loop": "podium-apply", "began": 500}
    (root,) = tree.roots([a_change(1, **about), a_change(2, **about)], [])
    assert (root.kind, root.name, root.began_us) == ("command", "podium-apply", 500)
    assert shape(root) == [(0, "apply", False), (1, "c1", True), (1, "c2", True)]


def test_beside_an_object_is_what_its_command_wrote_but_not_what_came_of_that() -> None:
    about = {"parent": "apply", "loop": "podium-apply"}
    changes = [a_change(1, **about, uid="one"), a_change(2, **about, uid="other"),
               a_change(3, parent="r", loop="loop", reacted_to="2")]  # fmt: skip
    (root,) = tree.roots(changes, [a_span("s", "c1")])
    assert tree.only_about(root, "pods", "one")
    assert [node.span_id for node in root.walk()] == ["apply", "c1", "s", "c2"]


def a_started_pod() -> tree.Node:
    """Created at 1 ms, bound at 3, its image there at 8, Ready at 11."""
    bound = a_change(3, parent="b", loop="scheduler-binding", reacted_to="1", uid="uid-1",
                     subresource="binding", type="MODIFIED")  # fmt: skip
    at_three = {"name": "pod-sync", "beganUs": 3000, "reactedTo": [3], "spanId": "r"}
    about = {"within": at_three, "key": "uid-1", "component": "kubelet node-1"}
    spans = [
        a_phase("p1", "r") | about | {"name": "image", "beganUs": 4000, "endedUs": 8000},
        a_phase("p2", "r") | about | {"name": "ready", "beganUs": 9000, "endedUs": 11000},
        a_phase("p3", "r") | about | {"name": "process", "kind": "process", "beganUs": 9000,
                                      "attributes": {"pid": 7, "container": "main"}},
    ]  # fmt: skip
    (root,) = tree.roots([a_change(1), bound], spans)
    return root


def test_a_pods_entry_tells_its_phases_and_processes() -> None:
    (pod,) = pods.pods_of(a_started_pod())
    assert [(p["name"], p["startMs"], p["durationMs"]) for p in pod["phases"]] == [
        ("scheduled", 0.0, 2.0), ("image", 3.0, 4.0), ("ready", 8.0, 2.0),
    ]  # fmt: skip
    assert (pod["node"], pod["readyMs"], pod["processes"][0]["pid"]) == ("node-1", 10.0, 7)


def test_the_budget_leaves_out_images_and_tells_what_no_phase_covers() -> None:
    (pod,) = pods.pods_of(a_started_pod())
    budget = pods.budget(pod, 1000)
    assert (budget["readyMs"], budget["countedMs"], budget["restMs"]) == (10.0, 6.0, 4.0)
    assert budget["isWithinObjective"] is True
