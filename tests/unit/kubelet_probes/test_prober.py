"""When probes are tried and who hears of it: a fake runtime, real sockets on this machine."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kubelet.probes import Prober, Verdict
from tests.support.fake_runtime import FakeRuntime
from tests.support.waiting import eventually
from tests.unit.kubelet.containers import a_container, a_kubelet_pod, a_status

Object = dict[str, Any]
FAST: Object = {"periodSeconds": 1, "failureThreshold": 1}


class Node:
    """A Prober with what it tells."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.woken: list[str] = []
        self.prober = Prober(FakeRuntime(), self, self.woken.append, lambda *_: None)

    def event(self, _obj: Object, type_: str, reason: str, message: str, **_: Any) -> None:
        self.events.append(f"{type_} {reason} {message}")

    def verdict(self, container: Object, old: Object | None = None, uid: str = "u") -> Verdict:
        pod = a_kubelet_pod(container)
        pod["metadata"]["uid"] = uid
        status = a_status(id=f"{uid}-0", sandbox_id=uid, started_at=0.0)
        specs = {"main": ("spec.containers{main}", container)}
        written = {"main": old} if old else {}
        return self.prober.follow(pod, specs, [status], "127.0.0.1", written)[status.id]


@pytest.fixture
def node() -> Iterator[Node]:
    found = Node()
    yield found
    found.prober.close()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as found:
        yield found


def tcp(port: int, **fields: Any) -> Object:
    return {"tcpSocket": {"port": port}} | FAST | fields


def test_a_result_wakes_the_pod_and_is_its_verdict(node: Node, listener: socket.socket) -> None:
    container = a_container(readinessProbe=tcp(listener.getsockname()[1]))
    assert node.verdict(container) == Verdict(is_ready=False)
    eventually(lambda: node.woken == ["u"])
    assert node.verdict(container) == Verdict()
    assert node.events == []


def test_a_failure_is_told_and_asks_for_the_containers_end(node: Node) -> None:
    container = a_container(livenessProbe=tcp(1, initialDelaySeconds=1))
    node.verdict(container)
    eventually(lambda: node.woken)
    assert node.verdict(container).failed == "liveness"
    assert node.events == [
        "Warning Unhealthy Liveness probe failed: dial tcp 127.0.0.1:1: connect: connection refused"
    ]


def test_a_probe_that_cannot_be_made_decides_nothing(node: Node) -> None:
    container = a_container(
        livenessProbe=tcp(1, initialDelaySeconds=1) | {"tcpSocket": {"port": "x"}}
    )
    node.verdict(container)
    eventually(lambda: node.events)
    assert node.events[0] == (
        "Warning Unhealthy Liveness probe errored and resulted in unknown state: "
        'strconv.Atoi: parsing "x": invalid syntax'
    )
    assert node.verdict(container) == Verdict()


def test_after_a_restart_of_the_kubelet_what_was_ready_stays_ready(node: Node) -> None:
    probe = tcp(1, periodSeconds=600)
    container = a_container(readinessProbe=probe, startupProbe=probe)
    old = {"containerID": "podium://u-0", "ready": True, "started": True}
    assert node.verdict(container, old) == Verdict()
    other = {"containerID": "podium://other", "ready": True, "started": True}
    found = node.verdict(container, other, uid="v")  # the first probe may have failed already
    assert (found.is_started, found.is_ready) == (False, False)


def test_hundreds_of_probes_share_one_thread_and_none_waits_for_one_that_hangs(
    node: Node, listener: socket.socket
) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as silent:
        hangs = {"httpGet": {"port": silent.getsockname()[1], "path": "/"}, "timeoutSeconds": 60}
        before = threading.active_count()
        for number in range(125):
            node.verdict(a_container(readinessProbe=hangs), uid=f"hangs-{number}")
            node.verdict(
                a_container(readinessProbe=tcp(listener.getsockname()[1])), uid=f"ok-{number}"
            )
        eventually(lambda: len({uid for uid in node.woken if uid.startswith("ok-")}) == 125)
        assert threading.active_count() - before == 1


def test_who_is_gone_is_asked_no_more(node: Node) -> None:
    node.verdict(a_container(readinessProbe=tcp(1)))
    eventually(lambda: node.events)
    node.prober.forget("u")
    node.prober.forget("u")
    assert node.prober._watched == {}
