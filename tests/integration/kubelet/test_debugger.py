"""A kubelet that is stopped before its steps: the real API server, the fake runtime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelet.debugging import PodPictures, debugged_network, debugged_runtime
from podium.client import debug_hook
from podium.client.debug_watch import DebugWatch
from tests.integration.kubelet.node import FakeNetwork, Node, running_node
from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.fake_runtime import FakeRuntime
from tests.support.waiting import eventually
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]
BREAKPOINTS = "breakpoints.debug.podium.dev"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    with running_api_server(tmp_path_factory.mktemp("cluster")) as found:
        yield found


@pytest.fixture
def node(server: ApiServerProcess, tmp_path: Path) -> Iterator[Node]:
    runtime, network = FakeRuntime(), FakeNetwork()
    with running_node(
        server, tmp_path / "node", debugged_runtime(runtime), debugged_network(network)
    ) as found:
        where = "spec.controller=kubelet/node-1"
        debugger = DebugWatch(
            found.client, {"pod-sync": "kubelet/node-1"}, found.informers, where=where
        )
        found.loop.picture = PodPictures(found.source, runtime).of
        found.informers.start()
        debugger.wait_synced()
        yield found
        for breakpoint_ in found.admin.list(BREAKPOINTS)["items"]:
            found.admin.delete(BREAKPOINTS, breakpoint_["metadata"]["name"])
        debugger.stop()
        for pod in found.admin.list("pods", "default")["items"]:
            found.admin.delete("pods", pod["metadata"]["name"], "default", grace_s=0)
    assert debug_hook.session() is None


def set_breakpoint(node: Node, **spec: Any) -> None:
    made = {"metadata": {"name": "stop"}, "spec": {"controller": "kubelet/node-1", **spec}}
    node.admin.create(BREAKPOINTS, made)
    eventually(lambda: status(node).get("phase"))


def status(node: Node) -> Object:
    return dict(node.admin.get(BREAKPOINTS, "stop").get("status") or {})


def stopped(node: Node, verb: str) -> Object:
    """The stop before that step."""

    def found() -> Object | None:
        stops = status(node).get("stopped") or []
        return next((one for one in stops if one["plannedWrites"][0]["verb"] == verb), None)

    return eventually(found) or {}


def act(node: Node, **action: str) -> None:
    node.admin.patch(BREAKPOINTS, "stop", None, {"spec": {"action": action}})


def a_secretive_pod() -> Object:
    container = a_container("main", env=[{"name": "PASSWORD", "value": "swordfish"}])
    pod = a_kubelet_pod(container)
    pod["metadata"]["name"] = "web"
    return pod


def test_a_pod_is_stopped_before_each_step_and_others_go_on(node: Node) -> None:
    set_breakpoint(node, selector={"namespace": "default", "name": "web"})
    pod = node.run(a_secretive_pod())
    stop = stopped(node, "runPodSandbox")
    assert stop["key"] == "default/web"
    assert stop["observed"]["sandbox"] == "none"
    assert [w["verb"] for w in stop["plannedWrites"]] == [
        "runPodSandbox", "attach", "createContainer", "startContainer", "patch",
    ]  # fmt: skip
    other = a_kubelet_pod()
    other["metadata"]["name"] = "free"
    node.expect_running(node.run(other))
    for verb in ("attach", "createContainer", "startContainer"):
        act(node, type="Step")
        stop = stopped(node, verb)
        assert "token" not in str(stop["plannedWrites"])
    assert node.container(pod).state == "created"
    act(node, type="Continue")
    node.admin.delete(BREAKPOINTS, "stop")
    node.expect_running(pod)


def test_what_a_container_gets_from_secrets_is_not_shown(node: Node) -> None:
    set_breakpoint(node, condition='write.verb == "createContainer"')
    pod = node.run(a_secretive_pod())
    body = stopped(node, "createContainer")["plannedWrites"][0]["body"]
    assert "PASSWORD" in body["environment"]
    assert "swordfish" not in str(body)
    node.admin.delete(BREAKPOINTS, "stop")
    node.expect_running(pod)


def test_an_injected_error_is_one_of_the_runtime(node: Node) -> None:
    set_breakpoint(node, condition='write.verb == "createContainer"', once=True)
    pod = node.run(a_secretive_pod())
    stopped(node, "createContainer")
    act(node, type="Inject", inject="Conflict")
    eventually(lambda: (status(node).get("lastAction") or {}).get("result") == "Refused")
    act(node, type="Inject", inject="Error")
    stopped(node, "patch")  # of the status that tells of it
    act(node, type="Continue")
    assert "injected by breakpoint stop" in node.expect_reason(pod, "CreateContainerError")
    node.wake(pod["metadata"]["uid"])
    node.expect_running(pod)


def test_a_pod_that_ends_is_stopped_before_its_containers_are(node: Node) -> None:
    pod = node.run(a_secretive_pod())
    node.expect_running(pod)
    set_breakpoint(node)
    node.admin.delete("pods", "web", "default", grace_s=5)
    stop = stopped(node, "stopContainer")
    assert stop["plannedWrites"][0]["name"] == "main"
    assert node.container(pod).state == "running"
    node.admin.delete(BREAKPOINTS, "stop")
    node.expect_gone(pod)
