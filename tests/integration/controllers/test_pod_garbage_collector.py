"""Pods that nobody else removes."""

from __future__ import annotations

from controllers.pod_garbage_collector import PodGarbageCollector
from podium.api import meta
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_node, a_pod
from tests.support.controllers import Room, running
from tests.support.fake_clock import FakeClock
from tests.support.waiting import eventually


def names(room: Room) -> list[str]:
    return sorted(pod["metadata"]["name"] for pod in room.list("pods"))


def test_pods_of_a_node_that_is_gone_go_after_a_while(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, PodGarbageCollector, clock=clock) as room:
        room.create("nodes", a_node("lost"))
        room.create("nodes", a_node("kept"))
        room.create("pods", a_pod("web", node="lost"))
        room.create("pods", a_pod("db", node="kept"))
        room.client.delete("nodes", "lost")
        eventually(lambda: "lost" in room.controllers[0]._missed)
        clock.step(39)
        assert room.controllers[0].reconcile("default/web") == 1
        assert names(room) == ["db", "web"]
        clock.step(2)
        eventually(lambda: names(room) == ["db"])


def test_a_node_that_is_made_anew_in_time_keeps_its_pods(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, PodGarbageCollector, clock=clock) as room:
        room.create("pods", a_pod("web", node="late"))
        eventually(lambda: room.controllers[0].reconcile("default/web"))
        clock.step(20)
        room.create("nodes", a_node("late"))
        eventually(lambda: room.controllers[0].reconcile("default/web") is None)
        clock.step(60)
        assert names(room) == ["web"]


def test_a_pod_that_ends_with_its_node_says_why(server: ApiServerProcess) -> None:
    with running(server, PodGarbageCollector, node_gone_for_s=0.0) as room:
        held = {"finalizers": ["example.com/hold"]}
        room.create("pods", a_pod("web", node="lost", meta=held))

        def status() -> dict[str, object]:
            pod = room.client.get("pods", "web", "default")
            return pod["status"] if pod["metadata"].get("deletionTimestamp") else {}

        ended = eventually(status)
        assert ended["phase"] == "Failed"
        disrupted = meta.condition({"status": ended}, "DisruptionTarget") or {}
        assert disrupted["reason"] == "DeletionByPodGC"


def test_of_too_many_that_have_ended_the_oldest_go(server: ApiServerProcess) -> None:
    with running(server, PodGarbageCollector, terminated_threshold=2) as room:
        room.create("nodes", a_node("node-1"))
        for number in range(3):
            pod = room.create("pods", a_pod(f"p{number}", node="node-1"))
            room.set_status("pods", pod, {"phase": "Succeeded"})
        room.create("pods", a_pod("running", node="node-1"))
        eventually(lambda: len(names(room)) == 3)
        assert "running" in names(room)
