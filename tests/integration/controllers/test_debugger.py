"""Reconciles that stop at breakpoints, against the real API server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from controllers.deployment import DeploymentController
from controllers.manager import debugged_loops
from controllers.replicaset import ReplicaSetController
from controllers.scheduler import Scheduler
from podium.client.debug_watch import DebugWatch
from podium.client.debugger import MOST_STOPS
from podium.client.errors import Forbidden, Invalid
from podium.client.informer import InformerFactory
from tests.support.api_server import ApiServerProcess
from tests.support.builders import a_deployment, a_node, a_pod
from tests.support.controllers import SYNC_S, Room, clean, running
from tests.support.waiting import eventually

Object = dict[str, Any]
BREAKPOINTS = "breakpoints.debug.podium.dev"
BOTH = (DeploymentController, ReplicaSetController)


@contextmanager
def debugged(server: ApiServerProcess, *kinds: Any) -> Iterator[Room]:
    """Controllers under a debugger, as controllers/manager.py has them."""
    client = server.client("controllers")
    informers = InformerFactory(client)
    debugger = DebugWatch(client, debugged_loops(), informers)
    informers.start()
    assert informers.wait_synced(SYNC_S)
    try:
        with running(server, *kinds) as room:
            yield room
            debugger.stop()
    finally:
        debugger.stop()
        informers.stop()
        clean(server, BREAKPOINTS)


def set_breakpoint(room: Room, controller: str, name: str = "stop", **spec: Any) -> None:
    about = {"apiVersion": "debug.podium.dev/v1", "kind": "Breakpoint", "metadata": {"name": name}}
    room.client.create(BREAKPOINTS, {**about, "spec": {"controller": controller, **spec}})
    eventually(lambda: status(room, name).get("phase"))


def status(room: Room, name: str = "stop") -> Object:
    return dict(room.client.get(BREAKPOINTS, name).get("status") or {})


def stopped(room: Room, step: int = 1, name: str = "stop") -> Object:
    """The first stop, once it is at that step."""

    def found() -> Object | None:
        stops = status(room, name).get("stopped") or []
        return next((stop for stop in stops if stop["step"] == step), None)

    return eventually(found) or {}


def injected(room: Room) -> Object:
    """The stop of a reconcile that was given an older object."""

    def found() -> Object | None:
        stops = status(room).get("stopped") or []
        return next((stop for stop in stops if stop.get("injected") == "StaleRead"), None)

    return eventually(found) or {}


def act(room: Room, type_: str, name: str = "stop", **more: str) -> Object:
    """What came of an action."""
    patch = {"spec": {"action": {"type": type_, **more}}}
    asked = room.client.patch(BREAKPOINTS, name, None, patch)["spec"]["action"]["id"]

    def done() -> Object | None:
        last = status(room, name).get("lastAction") or {}
        return last if last.get("id") == asked else None

    return eventually(done) or {}


def goes_on(room: Room, type_: str = "Continue", **more: str) -> Object:
    done = act(room, type_, **more)
    assert done["result"] == "Done", done
    return done


def replicasets(room: Room, app: str = "web") -> list[Object]:
    found = room.client.list("replicasets", "default", label_selector=f"app={app}")
    return list(found["items"])


def next_write(stop: Object) -> tuple[str, str]:
    write = stop["plannedWrites"][0]
    return write["verb"], write["resource"]


def test_a_deployment_stops_before_its_first_write_and_another_goes_on(
    server: ApiServerProcess,
) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(room, "deployment", selector={"namespace": "default", "name": "web"})
        room.create("deployments", a_deployment("web", replicas=2))
        stop = stopped(room)
        assert next_write(stop) == ("create", "replicasets.apps")
        assert stop["key"] == "default/web"
        made = room.client.get("deployments", "web", "default")["metadata"]["resourceVersion"]
        assert [cause["resourceVersion"] for cause in stop["item"]["causes"]] == [made]
        assert stop["desired"]["replicas"] == 2
        assert stop["observed"]["replicaSets"] == []
        assert stop["plannedWrites"][0]["body"]["spec"]["replicas"] == 2
        others = [a_deployment(f"free-{n}", 1, labels={"app": f"free-{n}"}) for n in range(3)]
        for other in others:
            room.create("deployments", other)
        eventually(lambda: all(replicasets(room, f"free-{n}") for n in range(3)))
        assert replicasets(room) == []
        goes_on(room)
        eventually(lambda: replicasets(room))


def test_a_step_shows_the_next_write_with_what_it_changes(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(room, "deployment", once=True)
        room.create("deployments", a_deployment("web", replicas=1))
        stopped(room)
        goes_on(room, "Step")
        stop = stopped(room, step=2)
        assert stop["writes"][0]["outcome"].startswith("done at resourceVersion")
        assert stop["plannedWrites"][0]["subresource"] == "status"
        assert "metadata.annotations" in [c["path"] for c in stop["plannedWrites"][0]["changes"]]
        goes_on(room)
        eventually(lambda: status(room)["phase"] == "Spent")


def test_an_injected_conflict_is_met_as_a_real_one_is(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(room, "deployment", once=True)
        room.create("deployments", a_deployment("web", replicas=1))
        stopped(room)
        goes_on(room, "Inject", inject="Conflict")
        stop = stopped(room, step=2)  # it tells of its failure, before it tries again
        assert "injected by breakpoint stop" in stop["writes"][0]["outcome"]
        assert stop["plannedWrites"][0]["subresource"] == "status"
        goes_on(room)
        eventually(lambda: replicasets(room))


def test_an_injected_error_is_shown_where_a_real_one_would_be(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(
            room, "replicaset", condition='write.verb == "create" && write.resource == "pods"',
            once=True,
        )  # fmt: skip
        room.create("deployments", a_deployment("web", replicas=3))
        stop = stopped(room)
        assert [w["verb"] for w in stop["plannedWrites"]] == ["create", "create", "create"]
        goes_on(room, "Inject", inject="Error")
        stopped(room, step=2)  # before the status that tells of it
        goes_on(room)
        told = eventually(lambda: room.events("default", "FailedCreate"))
        assert "injected by stop" in told[0]
        eventually(lambda: len(room.list("pods", "default")) == 3)


def test_a_stale_read_has_the_loop_undo_what_it_has_just_done(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        room.create("deployments", a_deployment("web", replicas=1))
        eventually(
            lambda: room.client.get("deployments", "web", "default")["status"].get("replicas")
        )
        set_breakpoint(room, "deployment")
        room.client.patch("deployments", "web", "default", {"spec": {"replicas": 4}})
        assert stopped(room)["desired"]["replicas"] == 4
        goes_on(room, "Step")
        stopped(room, step=2)  # the ReplicaSet has been scaled, the status not been written
        cache = room.controllers[0]._replicasets
        eventually(lambda: [rs["spec"]["replicas"] for rs in cache.list("default")] == [4])
        goes_on(room, "Inject", inject="StaleRead")
        stop = injected(room)
        assert stop["desired"]["replicas"] == 1
        assert next_write(stop) == ("patch", "replicasets.apps")
        assert stop["plannedWrites"][0]["body"]["spec"] == {"replicas": 1}
        room.client.delete(BREAKPOINTS, "stop")
        eventually(lambda: len(room.list("pods", "default")) == 4)


def test_a_loop_that_reads_no_cache_is_given_no_stale_object(server: ApiServerProcess) -> None:
    with debugged(server, Scheduler) as room:
        room.create("nodes", a_node("node-1"))
        set_breakpoint(room, "scheduler")
        room.create("pods", a_pod("web"))
        stopped(room)
        done = act(room, "Inject", inject="StaleRead")
        assert done["result"] == "Refused"
        assert done["message"] == "scheduler does not read this object from a cache"
        goes_on(room)


def test_the_scheduler_stops_before_it_binds_with_its_reasons(server: ApiServerProcess) -> None:
    with debugged(server, Scheduler) as room:
        room.create("nodes", a_node("node-1"))
        set_breakpoint(room, "scheduler", selector={"labelSelector": {"matchLabels": {"a": "b"}}})
        room.create("pods", a_pod("web", labels={"a": "b"}))
        stop = stopped(room)
        assert stop["desired"] == {"nodeName": "node-1"}
        assert stop["observed"]["decision"]["result"] == "Bound"
        changed = {change["path"]: change for change in stop["plannedWrites"][0]["changes"]}
        assert changed["spec.nodeName"]["to"] == "node-1"
        room.create("pods", a_pod("free"))
        eventually(lambda: room.client.get("pods", "free", "default")["spec"].get("nodeName"))
        goes_on(room, key="default/web")
        eventually(lambda: room.client.get("pods", "web", "default")["spec"].get("nodeName"))


def test_more_keys_than_workers_stop_and_others_still_go_on(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(room, "deployment", condition='object.metadata.name != "free"')
        for number in range(MOST_STOPS + 4):
            labels = {"app": f"web-{number}"}
            room.create("deployments", a_deployment(f"web-{number}", 0, labels=labels))
        eventually(lambda: len(status(room)["stopped"]) == MOST_STOPS)
        room.create("deployments", a_deployment("free", 0, labels={"app": "free"}))
        eventually(lambda: replicasets(room, "free"))
        room.client.delete(BREAKPOINTS, "stop")
        eventually(lambda: len(room.list("replicasets", "default")) == MOST_STOPS + 5, 30)


def test_a_stop_ends_by_itself_when_its_time_is_over(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(room, "deployment", maxStopSeconds=1)
        room.create("deployments", a_deployment("web", replicas=1))
        eventually(lambda: replicasets(room))
        released = eventually(lambda: status(room).get("lastRelease")) or {}
        assert released["reason"] == "TimedOut"


def test_an_action_where_nothing_is_stopped_says_so(server: ApiServerProcess) -> None:
    with debugged(server, *BOTH) as room:
        set_breakpoint(room, "deployment")
        done = act(room, "Step", key="default/nothing")
        assert done["result"] == "NotStopped"
        assert done["message"] == "nothing is stopped at default/nothing"
        assert "action" not in room.client.get(BREAKPOINTS, "stop")["spec"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"controller": "deploymnt"}, 'spec.controller: Unsupported value: "deploymnt"'),
        ({"controller": "kubelet/node-9"}, 'spec.controller: Not found: "kubelet/node-9"'),
        ({}, "spec.controller: Required value"),
        ({"controller": "deployment", "condition": "x ="}, "spec.condition: Invalid value"),
        (
            {"controller": "deployment", "selector": {"kind": "Pod"}},
            'spec.selector.kind: Unsupported value: "Pod": supported values: "Deployment"',
        ),
        (
            {"controller": "node-lifecycle", "selector": {"namespace": "default"}},
            "spec.selector.namespace: Forbidden: may not be set: nodes have no namespace",
        ),
        ({"controller": "deployment", "maxStopSeconds": 0}, "spec.maxStopSeconds: Invalid value"),
        (
            {
                "controller": "garbage-collector",
                "selector": {"labelSelector": {"matchLabels": {"a": "b"}}},
            },
            "spec.selector.labelSelector: Forbidden: the garbage collector does not look at labels",
        ),
        (
            {"controller": "deployment", "action": {"type": "Inject"}},
            "spec.action.inject: Required value: must say what to inject",
        ),
    ],
)
def test_a_breakpoint_that_names_nothing_is_refused(
    server: ApiServerProcess, spec: Object, words: str
) -> None:
    made = {"metadata": {"name": "bad"}, "spec": spec}
    with pytest.raises(Invalid, match="Breakpoint") as caught:
        server.client().create(BREAKPOINTS, made)
    assert words in str(caught.value)


def test_only_a_person_sets_breakpoints(server: ApiServerProcess) -> None:
    made = {"metadata": {"name": "mine"}, "spec": {"controller": "deployment"}}
    for identity in ("controllers", "scheduler", "node-node-1"):
        with pytest.raises(Forbidden):
            server.client(identity).create(BREAKPOINTS, made)
    with pytest.raises(Forbidden):
        server.client("node-node-1").list(BREAKPOINTS)
    own = "spec.controller=kubelet/node-1"
    assert server.client("node-node-1").list(BREAKPOINTS, field_selector=own)["items"] == []
