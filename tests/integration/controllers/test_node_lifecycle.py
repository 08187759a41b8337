"""Nodes that fall silent and come back; the clock is stepped, the API server is real."""

from __future__ import annotations

from typing import Any

from controllers import taints
from controllers.node_lifecycle import LEASES, NodeLifecycleController
from controllers.taint_eviction import TaintEvictionController
from podium.api import meta
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_node, a_pod, a_readiness
from tests.support.controllers import Room, running
from tests.support.fake_clock import FakeClock
from tests.support.waiting import eventually

Object = dict[str, Any]
BOTH = (NodeLifecycleController, TaintEvictionController)


def heartbeat(room: Room, name: str = "node-1") -> None:
    """As a kubelet renews its Lease; returns when the monitor has heard it."""
    renewed = meta.now_micro(room.clock.now())
    spec = {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": renewed}
    if room.find(LEASES, name, "kube-node-lease") is None:
        lease = {"metadata": {"name": name, "namespace": "kube-node-lease"}, "spec": spec}
        kind = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"}
        room.client.create(LEASES, {**kind, **lease})
    else:
        room.client.patch(LEASES, name, "kube-node-lease", {"spec": spec})
    eventually(lambda: room.controllers[0]._heard[name].sign == renewed)


def ready(room: Room, name: str = "node-1") -> str:
    condition = meta.condition(room.client.get("nodes", name), "Ready") or {}
    return str(condition.get("status"))


def shown(room: Room, name: str = "node-1") -> list[str]:
    found = room.client.get("nodes", name)["spec"].get("taints") or []
    return sorted(f"{taint['key']}:{taint['effect']}" for taint in found)


def silence(room: Room, clock: FakeClock, name: str = "node-1") -> None:
    """Let the grace period pass without a heartbeat."""
    clock.step(41)
    eventually(lambda: ready(room, name) == "Unknown")
    eventually(lambda: shown(room, name) == UNREACHABLE)


UNREACHABLE = [f"{taints.UNREACHABLE}:NoExecute", f"{taints.UNREACHABLE}:NoSchedule"]


def start_node(room: Room, name: str = "node-1") -> Object:
    node = room.create("nodes", a_node(name))
    eventually(lambda: name in room.controllers[0]._heard)
    heartbeat(room, name)
    return node


def test_a_node_that_falls_silent_is_unknown_and_tainted(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, *BOTH, clock=clock) as room:
        start_node(room)
        silence(room, clock)
        node = room.client.get("nodes", "node-1")
        condition = meta.condition(node, "Ready") or {}
        assert condition["reason"] == "NodeStatusUnknown"
        assert condition["message"] == "Kubelet stopped posting node status."
        pressure = meta.condition(node, "MemoryPressure") or {}
        assert pressure["reason"] == "NodeStatusNeverUpdated"
        told = eventually(lambda: room.events("default", "NodeNotReady"))
        assert told == ["Node node-1 status is now: NodeNotReady"]


def test_heartbeats_keep_a_node_ready(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, *BOTH, clock=clock) as room:
        start_node(room)
        for _ in range(4):
            clock.step(30)
            heartbeat(room)
        left_s = eventually(lambda: room.controllers[0].reconcile("node-1"))
        assert left_s == 40
        assert (ready(room), shown(room)) == ("True", [])


def test_its_pods_are_marked_not_ready_and_go_when_they_tolerate_it_no_longer(
    server: ApiServerProcess,
) -> None:
    clock = FakeClock()
    with running(server, *BOTH, clock=clock) as room:
        start_node(room)
        for name, seconds in (("short", 60), ("long", 600)):
            pod = room.create("pods", a_pod(name, node="node-1", tolerations=[stays(seconds)]))
            room.set_status("pods", pod, a_readiness(True))
        eventually(lambda: len(room.controllers[0]._pods.list()) == 2)
        silence(room, clock)
        eventually(lambda: not any(meta.is_pod_ready(pod) for pod in room.list("pods")))
        eventually(lambda: len(room.controllers[1]._pending) == 2)
        clock.step(61)
        eventually(lambda: is_ending(room, "short"))
        evicted = room.client.get("pods", "short", "default")
        assert (meta.condition(evicted, "DisruptionTarget") or {})["reason"] == (
            "DeletionByTaintManager"
        )
        assert not is_ending(room, "long")


def stays(seconds: int) -> Object:
    return {
        "key": taints.UNREACHABLE,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": seconds,
    }


def is_ending(room: Room, name: str) -> bool:
    pod = room.find("pods", name, "default")
    return pod is None or bool(pod["metadata"].get("deletionTimestamp"))


def test_when_it_is_back_the_taints_go_and_its_pods_stay(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, *BOTH, clock=clock) as room:
        node = start_node(room)
        room.create("pods", a_pod("web", node="node-1", tolerations=[stays(60)]))
        silence(room, clock)
        eventually(lambda: room.controllers[1]._pending)
        heartbeat(room)
        again = {"type": "Ready", "status": "True", "lastHeartbeatTime": meta.now(clock.now())}
        room.set_status("nodes", node, {"conditions": [again]})
        eventually(lambda: shown(room) == [])
        eventually(lambda: not room.controllers[1]._pending)
        clock.step(61)
        heartbeat(room)
        room.controllers[1].reconcile("default/web")
        assert not is_ending(room, "web")


def test_a_taint_by_hand_drives_out_at_once_what_does_not_tolerate_it(
    server: ApiServerProcess,
) -> None:
    with running(server, *BOTH, clock=FakeClock()) as room:
        start_node(room)
        tolerating = [{"key": "broken", "operator": "Exists"}]
        room.create("pods", a_pod("stays", node="node-1", tolerations=tolerating))
        room.create("pods", a_pod("goes", node="node-1"))
        by_hand = [{"key": "broken", "effect": "NoExecute"}]
        room.client.patch("nodes", "node-1", None, {"spec": {"taints": by_hand}})
        eventually(lambda: is_ending(room, "goes"))
        assert not is_ending(room, "stays")


def test_a_node_that_says_it_is_not_ready_is_tainted_until_it_is(
    server: ApiServerProcess,
) -> None:
    with running(server, *BOTH, clock=FakeClock()) as room:
        node = room.create("nodes", a_node(ready=False))
        key = taints.NOT_READY
        eventually(lambda: shown(room) == [f"{key}:NoExecute", f"{key}:NoSchedule"])
        room.set_status("nodes", node, {"conditions": [{"type": "Ready", "status": "True"}]})
        eventually(lambda: shown(room) == [])


def test_a_controller_that_has_just_started_blames_nobody(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server) as room:
        room.create("nodes", a_node("node-1"))
    clock.step(3600)
    with running(server, *BOTH, clock=clock) as room:
        assert room.controllers[0].reconcile("node-1") == 40
        assert ready(room) == "True"


def test_one_that_could_not_reach_the_server_blames_nobody(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, *BOTH, clock=clock) as room:
        start_node(room)
        server.kill()
        clock.step(41)
        loop = room.controllers[0]._loop
        eventually(lambda: loop.failed > 0)
        server.start()
        eventually(lambda: room.controllers[0].reconcile("node-1"))
        assert ready(room) == "True"


def test_a_second_look_writes_nothing(server: ApiServerProcess) -> None:
    clock = FakeClock()
    with running(server, *BOTH, clock=clock) as room:
        start_node(room)
        pod = room.create("pods", a_pod("web", node="node-1", tolerations=[stays(600)]))
        room.set_status("pods", pod, a_readiness(True))
        eventually(room.controllers[0]._pods.list)
        silence(room, clock)
        eventually(lambda: len(room.list("events")) == 2)  # of the node, of the Pod
        eventually(lambda: not meta.is_pod_ready(room.controllers[0]._pods.list()[0]))
        before = room.revision()
        assert room.controllers[0].reconcile("node-1") is None
        assert room.controllers[1].reconcile("default/web") == 600
        assert room.revision() == before
