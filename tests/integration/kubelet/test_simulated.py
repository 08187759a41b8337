"""Simulated nodes against the real API server: what their Pods go through."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kubelet.simulated.node import SimulatedNode
from podium.client.errors import NotFound
from podium.client.http import Client
from tests.support.api_server import ApiServerProcess, running_api_server
from tests.support.builders import a_pod, unstored
from tests.support.waiting import eventually

Object = dict[str, Any]
PREFIX = "simulated.podium.dev/"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServerProcess]:
    data_dir = tmp_path_factory.mktemp("cluster")
    with running_api_server(data_dir) as server:
        entry = {"name": "node-1", "podCIDR": "10.244.0.0/24", "runtime": "simulated"}
        node, stopping, is_ready = SimulatedNode(data_dir, entry, "127.0.0.1"), *_two_events()
        thread = threading.Thread(target=node.run, args=(stopping, is_ready))
        thread.start()
        assert is_ready.wait(30)
        yield server
        stopping.set()
        thread.join(30)


def _two_events() -> tuple[threading.Event, threading.Event]:
    return threading.Event(), threading.Event()


@pytest.fixture
def admin(server: ApiServerProcess) -> Client:
    return server.client()


def run(admin: Client, name: str, said: dict[str, str] | None = None, **spec: Any) -> str:
    pod = a_pod(name, node="node-1", **spec)
    pod["metadata"]["annotations"] = {f"{PREFIX}{k}": v for k, v in (said or {}).items()}
    admin.create("pods", unstored(pod), "default")
    return name


def status(admin: Client, name: str) -> Object:
    return dict(admin.get("pods", name, "default").get("status") or {})


def phases(admin: Client, name: str) -> list[str]:
    """What it went through, from the history."""
    path = f"/podium/v1/history/pods/default/{name}?diffs=true"
    changes = admin.raw("GET", path.partition("?")[0], query={"size": 100}).json()["items"]
    seen = []
    for change in reversed(changes):
        past = admin.raw("GET", f"/api/v1/namespaces/default/pods/{name}",
                         query={"atRevision": change["revision"]}).json()  # fmt: skip
        word = (past["status"].get("phase"), _state(past["status"]))
        if not seen or seen[-1] != word:
            seen.append(word)
    return [f"{phase} {state}" for phase, state in seen]


def _state(found: Object) -> str:
    for one in found.get("containerStatuses") or ():
        ((kind, _),) = one["state"].items()
        return str(kind)
    return "-"


def test_the_node_is_ready_and_says_what_it_is(admin: Client) -> None:
    node = admin.get("nodes", "node-1")
    ready = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert ready["Ready"] == "True"
    assert node["metadata"]["labels"]["podium.dev/simulated"] == "true"
    assert node["status"]["capacity"]["pods"] == "110"
    assert admin.get("leases.coordination.k8s.io", "node-1", "kube-node-lease")


def test_a_pod_goes_from_pending_to_ready(admin: Client) -> None:
    name = run(admin, "web")
    found = eventually(lambda: _if_ready(status(admin, name)))
    assert (found["phase"], found["podIP"][:9]) == ("Running", "10.244.0.")
    assert {c["type"]: c["status"] for c in found["conditions"]} == dict.fromkeys(
        ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"),
        "True",
    )
    assert phases(admin, name) == ["Pending -", "Pending waiting", "Running running"]


def _if_ready(found: Object) -> Object | None:
    is_ready = any(c["type"] == "Ready" and c["status"] == "True"
                   for c in found.get("conditions") or ())  # fmt: skip
    return found if is_ready else None


def test_init_containers_come_first_and_end(admin: Client) -> None:
    inits = [{"name": f"init-{n}", "image": "host"} for n in (1, 2)]
    name = run(admin, "with-inits", initContainers=inits)
    found = eventually(lambda: _if_ready(status(admin, name)))
    ended = [one["state"]["terminated"] for one in found["initContainerStatuses"]]
    assert [one["exitCode"] for one in ended] == [0, 0]
    assert ended[0]["finishedAt"] <= ended[1]["startedAt"]


def test_what_is_not_to_run_for_ever_succeeds(admin: Client) -> None:
    name = run(admin, "job", {"run-for": "100ms"}, restartPolicy="Never")
    eventually(lambda: status(admin, name).get("phase") == "Succeeded")
    assert "Running running" in phases(admin, name)


def test_an_annotation_lets_it_fail(admin: Client) -> None:
    name = run(admin, "bad", {"run-for": "50ms", "exit-code": "3"}, restartPolicy="Never")
    found = eventually(lambda: _if_phase(status(admin, name), "Failed"))
    assert found["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 3


def _if_phase(found: Object, phase: str) -> Object | None:
    return found if found.get("phase") == phase else None


def test_what_fails_and_shall_run_waits_in_back_off(admin: Client) -> None:
    name = run(admin, "crash", {"run-for": "50ms", "exit-code": "1"})

    def waiting() -> str:
        (one,) = status(admin, name).get("containerStatuses") or [{"state": {}}]
        return str((one["state"].get("waiting") or {}).get("reason"))

    eventually(lambda: waiting() == "CrashLoopBackOff")
    assert status(admin, name)["containerStatuses"][0]["restartCount"] >= 1


def test_an_annotation_keeps_it_from_being_ready(admin: Client) -> None:
    name = run(admin, "unready", {"ready": "false"})
    found = eventually(lambda: _if_phase(status(admin, name), "Running"))
    assert _if_ready(found) is None


def test_a_deleted_pod_goes(admin: Client) -> None:
    name = run(admin, "short")
    eventually(lambda: _if_ready(status(admin, name)))
    admin.delete("pods", name, "default")

    def is_gone() -> bool:
        try:
            admin.get("pods", name, "default")
        except NotFound:
            return True
        return False

    eventually(is_gone)
