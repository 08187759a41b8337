"""Who belongs to whom."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controllers.ownership_graph import Node, OwnershipGraph
from podium.api import scheme
from tests.support.builders import a_pod, a_replicaset, an_owner

Object = dict[str, Any]
PODS, REPLICASETS = scheme.resource("pods"), scheme.resource("replicasets.apps")


def pod_of(*owners: Object, name: str = "web-1") -> Node:
    references = [an_owner(owner) for owner in owners]
    return Node.of(a_pod(name, meta={"ownerReferences": references}), PODS)


def test_an_owner_is_virtual_until_it_is_seen_and_again_when_it_has_gone() -> None:
    graph, owner = OwnershipGraph(), a_replicaset()
    uid = owner["metadata"]["uid"]
    pod = pod_of(owner)
    graph.put(pod)
    assert graph.is_virtual(uid)
    graph.put(Node.of(owner, REPLICASETS))
    assert not graph.is_virtual(uid)
    assert graph.dependents(uid) == [pod]
    graph.remove(uid)
    assert graph.is_virtual(uid)
    graph.remove(pod.uid)
    assert not graph.is_virtual(uid)


def test_an_object_that_changes_its_owner_moves() -> None:
    graph, one, other = OwnershipGraph(), a_replicaset("one"), a_replicaset("other")
    before = pod_of(one)
    graph.put(before)
    moved = a_pod("web-1", owner=other, meta={"uid": before.uid})
    assert graph.put(Node.of(moved, PODS)) == before
    assert graph.dependents(one["metadata"]["uid"]) == []
    assert [n.uid for n in graph.dependents(other["metadata"]["uid"])] == [before.uid]


def test_only_a_reference_that_says_so_blocks_its_owner() -> None:
    owner = a_replicaset()
    reference = an_owner(owner) | {"blockOwnerDeletion": False}
    pod = Node.of(a_pod(meta={"ownerReferences": [reference]}), PODS)
    assert pod_of(owner).blocks(owner["metadata"]["uid"])
    assert not pod.blocks(owner["metadata"]["uid"])
    assert not pod.blocks("another")


@given(st.lists(st.tuples(st.integers(0, 4), st.sets(st.integers(0, 4)), st.booleans())))
def test_dependents_are_those_that_speak_of_an_owner(
    steps: list[tuple[int, set[int], bool]],
) -> None:
    graph, model = OwnershipGraph(), {}
    for number, owners, is_removed in steps:
        if is_removed:
            graph.remove(str(number))
            model.pop(number, None)
            continue
        references = tuple({"uid": str(owner)} for owner in sorted(owners))
        graph.put(Node(str(number), "1", PODS, f"a/{number}", references, (), False))
        model[number] = owners
    for owner in range(5):
        expected = {str(n) for n, owners in model.items() if owner in owners}
        assert {node.uid for node in graph.dependents(str(owner))} == expected
        assert graph.is_virtual(str(owner)) is (bool(expected) and owner not in model)
