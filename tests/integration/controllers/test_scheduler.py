"""The scheduler against the real API server; tests play the kubelets."""

from __future__ import annotations

import threading
from typing import Any

from controllers.scheduler import Scheduler
from controllers.scheduler.binding import Bind
from podium.api import meta
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_node, a_pod
from tests.support.controllers import Room, running
from tests.support.waiting import eventually

Object = dict[str, Any]


def node_of(room: Room, name: str) -> str:
    return str(room.client.get("pods", name, "default")["spec"].get("nodeName") or "")


def bound(room: Room, name: str) -> str:
    return eventually(lambda: node_of(room, name))


def refusal(room: Room, name: str) -> Object | None:
    condition = meta.condition(room.client.get("pods", name, "default"), "PodScheduled")
    return condition if condition and condition["status"] == "False" else None


def refused(room: Room, name: str) -> Object:
    return eventually(lambda: refusal(room, name)) or {}


def test_a_pod_is_bound_and_an_event_says_where(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1"))
        room.create("pods", a_pod("web"))
        assert bound(room, "web") == "node-1"
        pod = room.client.get("pods", "web", "default")
        assert (meta.condition(pod, "PodScheduled") or {})["status"] == "True"
        told = eventually(lambda: room.events("default", "Scheduled"))
        assert told == ["Successfully assigned default/web to node-1"]


def test_a_pod_that_fits_nowhere_says_why_in_kubernetes_words(server: ApiServerProcess) -> None:
    taint = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("small", cpu="1"))
        for name in ("gpu-1", "gpu-2"):
            room.create("nodes", a_node(name, taints=[taint]))
        room.create("pods", a_pod("web", cpu="2"))
        condition = refused(room, "web")
        assert condition["reason"] == "Unschedulable"
        assert condition["message"] == (
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint "
            "{gpu: yes}. preemption: 0/3 nodes are available: 3 Preemption is not helpful for "
            "scheduling."
        )
        told = eventually(lambda: room.events("default", "FailedScheduling"))
        assert told[-1] == condition["message"]


def test_without_any_node_that_is_what_it_says(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("pods", a_pod("web"))
        assert refused(room, "web")["message"] == "no nodes available to schedule pods"


def test_a_pod_that_waits_is_tried_when_a_node_comes(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("small", cpu="1"))
        room.create("pods", a_pod("web", cpu="2"))
        refused(room, "web")
        room.create("nodes", a_node("large", cpu="4"))
        assert bound(room, "web") == "large"


def test_a_pod_that_waits_is_tried_when_a_taint_goes(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1", taints=[{"key": "a", "effect": "NoSchedule"}]))
        room.create("pods", a_pod("web"))
        refused(room, "web")
        room.client.patch("nodes", "node-1", None, {"spec": {"taints": None}})
        assert bound(room, "web") == "node-1"


def test_a_pod_that_waits_is_tried_when_another_has_gone_or_ended(
    server: ApiServerProcess,
) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1", cpu="1"))
        first = room.create("pods", a_pod("first", cpu="1"))
        bound(room, "first")
        for name in ("second", "third"):
            room.create("pods", a_pod(name, cpu="1"))
            refused(room, name)
        room.set_status("pods", first, {"phase": "Succeeded"})
        assert bound(room, "second") == "node-1"
        room.client.delete("pods", "second", "default", grace_s=0)
        assert bound(room, "third") == "node-1"


def test_a_gated_pod_waits_for_its_gate(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1"))
        room.create("pods", a_pod("web", schedulingGates=[{"name": "example.com/wait"}]))
        assert refused(room, "web")["reason"] == "SchedulingGated"
        room.client.patch("pods", "web", "default", {"spec": {"schedulingGates": None}})
        assert bound(room, "web") == "node-1"


def test_pods_of_another_scheduler_and_bound_pods_are_left_alone(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1"))
        room.create("pods", a_pod("theirs", schedulerName="other"))
        room.create("pods", a_pod("placed", node="elsewhere"))
        room.create("pods", a_pod("ours"))
        assert bound(room, "ours") == "node-1"
        assert (node_of(room, "theirs"), node_of(room, "placed")) == ("", "elsewhere")


def test_what_was_placed_before_the_scheduler_came_is_counted(server: ApiServerProcess) -> None:
    with running(server) as room:
        room.create("nodes", a_node("full", cpu="1"))
        room.create("pods", a_pod("old", cpu="1", node="full"))
        room.create("pods", a_pod("new", cpu="1"))
    with running(server, Scheduler) as room:
        assert "Insufficient cpu" in refused(room, "new")["message"]


def test_a_hundred_pods_spread_evenly_and_no_node_is_overcommitted(
    server: ApiServerProcess,
) -> None:
    with running(server, Scheduler) as room:
        for name in ("a", "b"):
            room.create("nodes", a_node(name, cpu="5", pods="110"))
        workers = [
            threading.Thread(target=create_pods, args=(server, part, "100m")) for part in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        eventually(lambda: all(p["spec"].get("nodeName") for p in room.list("pods")), 30)
        placed = [pod["spec"]["nodeName"] for pod in room.list("pods")]
        assert (placed.count("a"), placed.count("b")) == (50, 50)


def create_pods(server: ApiServerProcess, part: int, cpu: str) -> None:
    room = Room(server, None)  # type: ignore[arg-type]
    for number in range(25):
        room.create("pods", a_pod(f"p{part}-{number}", cpu=cpu))


def test_a_second_look_writes_nothing(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        scheduler = room.controllers[0]
        room.create("nodes", a_node("small", cpu="1"))
        room.create("pods", a_pod("web", cpu="2"))
        refused(room, "web")
        eventually(lambda: room.events("default", "FailedScheduling"))
        eventually(lambda: refusal_known(scheduler, "default/web"))
        before = room.revision()
        scheduler.reconcile("default/web")
        eventually(lambda: not scheduler._writer._decisions)
        assert room.revision() == before


def refusal_known(scheduler: Scheduler, key: str) -> bool:
    """Whether the condition has come back through the watch."""
    waiting = scheduler._queue.get(key)
    return waiting is not None and meta.condition(waiting.obj, "PodScheduled") is not None


def test_a_binding_that_comes_too_late_frees_what_was_assumed(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        scheduler = room.controllers[0]
        room.create("nodes", a_node("node-1", cpu="1"))
        room.create("pods", a_pod("gone", cpu="1", schedulingGates=[{"name": "a/b"}]))
        refused(room, "gone")
        with scheduler._lock:  # the decision stands, and the Pod goes before it is written
            pod = scheduler._queue.get("default/gone")
            scheduler._cluster.assume(pod, "node-1")
            room.client.delete("pods", "gone", "default")
            scheduler._writer.put(Bind(pod, "node-1"))
        room.create("pods", a_pod("next", cpu="1"))
        assert bound(room, "next") == "node-1"


def test_a_pod_made_anew_under_the_same_name_is_placed(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1", cpu="1"))
        for _ in range(5):
            room.create("pods", a_pod("web", cpu="1"))
            bound(room, "web")
            room.client.delete("pods", "web", "default", grace_s=0)


def a_high_pod(room: Room, name: str = "high", cpu: str = "1") -> Object:
    """One of a PriorityClass of 100, which is made when it is first needed."""
    if room.find("priorityclasses", "high") is None:
        about = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 100}
        room.client.create("priorityclasses", about | {"metadata": {"name": "high"}})
    return a_pod(name, cpu=cpu, priorityClassName="high")


def test_room_is_made_for_a_pod_of_higher_priority(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1", cpu="2"))
        for name in ("low-1", "low-2"):
            room.create("pods", a_pod(name, cpu="1"))
            bound(room, name)
        room.create("pods", a_high_pod(room))
        victim = eventually(lambda: the_one_ending(room))
        disrupted = meta.condition(victim, "DisruptionTarget") or {}
        assert disrupted["reason"] == "PreemptionByScheduler"
        waiting = room.client.get("pods", "high", "default")
        assert waiting["status"]["nominatedNodeName"] == "node-1"
        room.create("pods", a_pod("low-3", cpu="1"))  # must not take the room that is made
        room.client.delete("pods", victim["metadata"]["name"], "default", grace_s=0)
        assert bound(room, "high") == "node-1"
        assert refused(room, "low-3")
        assert len(eventually(lambda: room.events("default", "Preempted"))) == 1


def the_one_ending(room: Room) -> Object:
    ending = [pod for pod in room.list("pods") if pod["metadata"].get("deletionTimestamp")]
    return ending[0] if ending else {}


def test_pods_are_placed_when_the_server_is_back_after_a_kill(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1"))
        room.create("pods", a_pod("before"))
        bound(room, "before")
        server.kill()
        server.start()
        room.create("pods", a_pod("after"))
        assert bound(room, "after") == "node-1"


def test_a_pod_that_is_deleted_while_it_waits_is_forgotten(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("pods", a_pod("web"))
        refused(room, "web")
        room.client.delete("pods", "web", "default")
        eventually(lambda: room.find("pods", "web", "default") is None)
        eventually(lambda: room.controllers[0]._queue.get("default/web") is None)


def test_a_pod_that_waits_preempts_when_a_stronger_one_has_gone(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1", cpu="2"))
        for pod in (a_pod("low", cpu="1"), a_high_pod(room, "peer")):
            room.create("pods", pod)
            bound(room, pod["metadata"]["name"])
        room.create("pods", a_high_pod(room, cpu="2"))
        assert "No preemption victims" in refused(room, "high")["message"]
        room.client.delete("pods", "peer", "default", grace_s=0)
        victim = eventually(lambda: the_one_ending(room))
        assert victim["metadata"]["name"] == "low"
        room.client.delete("pods", "low", "default", grace_s=0)
        assert bound(room, "high") == "node-1"


# --- why here, why not there --------------------------------------------------------------------


def why(room: Room, name: str) -> Object:
    return dict(room.client.raw("GET", f"/podium/v1/why/pods/default/{name}").json())


def test_a_bound_pod_says_why_there_and_why_not_elsewhere(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("large", cpu="4"))
        room.create("nodes", a_node("small", cpu="1"))
        room.create("pods", a_pod("web", cpu="2"))
        assert bound(room, "web") == "large"
        answer = why(room, "web")
        assert answer["decision"]["node"] == answer["node"] == "large"
        assert answer["decision"]["fits"] == [{"node": "small", "with": ["cpu ≤ 1"]}]
        assert [one["node"] for one in answer["decision"]["scores"]] == ["large"]


def test_what_is_promised_to_a_pod_that_fits_nowhere_is_kept(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        room.create("nodes", a_node("node-1", cpu="1"))
        room.create("pods", a_pod("first", cpu="700m"))
        bound(room, "first")
        room.create("pods", a_pod("web", cpu="2"))
        refused(room, "web")
        assert why(room, "web")["decision"]["fits"] == [{"node": "node-1", "with": ["cpu ≤ 300m"]}]
        room.create("pods", a_pod("modest", cpu="300m"))
        assert bound(room, "modest") == "node-1"


def test_the_reasons_cost_no_write_of_their_own(server: ApiServerProcess) -> None:
    with running(server, Scheduler) as room:
        before = int(room.create("nodes", a_node("node-1"))["metadata"]["resourceVersion"])
        room.create("pods", a_pod("web"))
        bound(room, "web")
        pod = room.client.get("pods", "web", "default")
        assert int(pod["metadata"]["resourceVersion"]) == before + 2  # created, bound


def test_a_pod_that_no_scheduler_has_placed_says_so(server: ApiServerProcess) -> None:
    with running(server) as room:
        room.create("pods", a_pod("web", node="node-1"))
        assert why(room, "web")["decision"] is None
        assert "its node was named when it was made" in why(room, "web")["message"]
