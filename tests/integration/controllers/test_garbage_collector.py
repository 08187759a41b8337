"""The garbage collector against the real API server."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.garbage_collector import GarbageCollector
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_deployment, a_pod, a_replicaset, an_owner
from tests.support.controllers import Room, running
from tests.support.waiting import eventually

Object = dict[str, Any]


def a_family(room: Room, namespace: str = "default") -> tuple[Object, Object, list[Object]]:
    """A Deployment, its ReplicaSet, and two Pods of that."""
    deployment = room.create("deployments", a_deployment(namespace=namespace))
    replicaset = room.create("replicasets", a_replicaset(namespace=namespace, owner=deployment))
    pods = [
        room.create("pods", a_pod(name, namespace, owner=replicaset)) for name in ("web-1", "web-2")
    ]
    return deployment, replicaset, pods


def is_gone(room: Room, res: str, name: str = "web", namespace: str = "default") -> bool:
    return room.find(res, name, namespace) is None


def known(room: Room, *objects: Object) -> None:
    """Wait until the collector has heard of all of them."""
    graph = room.controllers[0]._graph
    eventually(lambda: all(graph.get(obj["metadata"]["uid"]) for obj in objects))


def test_in_the_background_what_was_owned_goes_afterwards(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        a_family(room)
        room.client.delete("deployments", "web", "default", propagation="Background")
        assert is_gone(room, "deployments")
        eventually(lambda: is_gone(room, "replicasets") and not room.list("pods"))


def test_in_the_foreground_the_owner_goes_last(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        deployment, replicaset, pods = a_family(room)
        held = {"metadata": {"finalizers": ["example.com/hold"]}}
        room.client.patch("pods", "web-1", "default", held)
        known(room, deployment, replicaset, *pods)
        room.client.delete("deployments", "web", "default", propagation="Foreground")
        eventually(lambda: is_gone(room, "pods", "web-2"))
        for kind in ("deployments", "replicasets"):
            waiting = room.client.get(kind, "web", "default")["metadata"]
            assert waiting["finalizers"] == ["foregroundDeletion"]
        room.client.patch("pods", "web-1", "default", {"metadata": {"finalizers": None}})
        eventually(lambda: is_gone(room, "deployments"))
        assert is_gone(room, "replicasets")


def test_in_the_foreground_what_does_not_block_is_not_waited_for(
    server: ApiServerProcess,
) -> None:
    with running(server, GarbageCollector) as room:
        owner = room.create("replicasets", a_replicaset())
        reference = an_owner(owner) | {"blockOwnerDeletion": False}
        meta = {"ownerReferences": [reference], "finalizers": ["example.com/hold"]}
        pod = room.create("pods", a_pod("web-1", meta=meta))
        known(room, owner, pod)
        room.client.delete("replicasets", "web", "default", propagation="Foreground")
        eventually(lambda: is_gone(room, "replicasets"))


def test_orphans_stay_and_name_no_owner_any_more(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        known(room, *[one for one in a_family(room) if isinstance(one, dict)])
        eventually(lambda: len(room.controllers[0]._graph.nodes()) >= 4)
        room.client.delete("replicasets", "web", "default", propagation="Orphan")
        eventually(lambda: is_gone(room, "replicasets"))
        pods = room.list("pods")
        assert len(pods) == 2
        assert not any(pod["metadata"].get("ownerReferences") for pod in pods)


def test_what_has_another_owner_left_only_loses_the_reference(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        one, other = (room.create("replicasets", a_replicaset(name)) for name in ("one", "other"))
        references = [an_owner(one), an_owner(other, controller=False)]
        room.create("pods", a_pod("web-1", meta={"ownerReferences": references}))
        room.client.delete("replicasets", "one", "default")

        def owners() -> list[str]:
            found = room.client.get("pods", "web-1", "default")["metadata"]["ownerReferences"]
            return [reference["name"] for reference in found]

        eventually(lambda: owners() == ["other"])


def test_what_was_left_behind_while_nobody_collected_is_found(server: ApiServerProcess) -> None:
    with running(server) as room:
        a_family(room)
        room.client.delete("deployments", "web", "default")
        assert len(room.list("replicasets")) == 1
    with running(server, GarbageCollector) as room:
        eventually(lambda: not room.list("replicasets") and not room.list("pods"))


def test_an_owner_that_never_was_is_looked_for_before_anything_is_deleted(
    server: ApiServerProcess,
) -> None:
    with running(server, GarbageCollector) as room:
        room.create("pods", a_pod("web-1", owner=a_replicaset("imagined")))
        eventually(lambda: is_gone(room, "pods", "web-1"))


def test_an_owner_of_the_same_name_but_another_uid_is_not_the_owner(
    server: ApiServerProcess,
) -> None:
    with running(server, GarbageCollector) as room:
        room.create("replicasets", a_replicaset())
        room.create("pods", a_pod("web-1", owner=a_replicaset()))
        eventually(lambda: is_gone(room, "pods", "web-1"))
        assert not is_gone(room, "replicasets")


def test_an_owner_of_a_kind_that_is_not_served_is_no_reason_to_delete(
    server: ApiServerProcess,
) -> None:
    with running(server, GarbageCollector) as room:
        owner = a_replicaset() | {"apiVersion": "example.com/v1", "kind": "Widget"}
        pod = room.create("pods", a_pod("web-1", owner=owner))
        known(room, pod)
        room.controllers[0].reconcile(pod["metadata"]["uid"])
        assert not is_gone(room, "pods", "web-1")


def test_an_owner_in_another_namespace_is_refused_with_an_event(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        owner = room.create("replicasets", a_replicaset(namespace="kube-public"))
        known(room, owner)
        room.create("pods", a_pod("web-1", owner=owner))
        eventually(lambda: is_gone(room, "pods", "web-1"))
        told = eventually(lambda: room.events("default", "OwnerRefInvalidNamespace"))
        uid = owner["metadata"]["uid"]
        assert told == [
            f"ownerRef [apps/v1/ReplicaSet, namespace: default, name: web, uid: {uid}] "
            'does not exist in namespace "default"'
        ]


def test_two_that_own_each_other_go_together(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        one = room.create("replicasets", a_replicaset("one"))
        other = room.create("replicasets", a_replicaset("other", owner=one))
        references = {"metadata": {"ownerReferences": [an_owner(other)]}}
        one = room.client.patch("replicasets", "one", "default", references)
        eventually(lambda: room.controllers[0]._graph.dependents(other["metadata"]["uid"]))
        room.client.delete("replicasets", "one", "default", propagation="Foreground")
        eventually(lambda: not room.list("replicasets"))


@pytest.mark.parametrize("kind", ["pods", "replicasets"])
def test_a_second_look_writes_nothing(server: ApiServerProcess, kind: str) -> None:
    with running(server, GarbageCollector) as room:
        deployment, replicaset, pods = a_family(room)
        known(room, deployment, replicaset, *pods)
        before = room.revision()
        for obj in room.list(kind):
            room.controllers[0].reconcile(obj["metadata"]["uid"])
        assert room.revision() == before


def test_a_hundred_dependents_are_collected(server: ApiServerProcess) -> None:
    with running(server, GarbageCollector) as room:
        owner = room.create("replicasets", a_replicaset())
        for number in range(100):
            room.create("pods", a_pod(f"web-{number}", owner=owner))
        room.client.delete("replicasets", "web", "default", propagation="Foreground")
        eventually(lambda: not room.list("pods") and not room.list("replicasets"), 30)
