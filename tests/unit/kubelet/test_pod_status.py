"""A Pod's status, from what the runtime has."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import pod_status
from kubelet.pod_status import Observed
from kubelet.runtime.protocol import ContainerStatus
from podium.api import meta

NOW = "2026-11-24T03:00:00Z"


def a_pod(
    *, restart: str = "Always", inits: int = 0, mains: int = 1, **more: Any
) -> dict[str, Any]:
    spec = {
        "restartPolicy": restart,
        "containers": [{"name": f"c{i}", "image": "host"} for i in range(mains)],
        "initContainers": [{"name": f"i{i}", "image": "host"} for i in range(inits)],
    }
    return {"metadata": {"name": "web", "namespace": "default", "uid": "u"}, "spec": spec, **more}


def a_container(name: str = "c0", state: str = "running", **more: Any) -> ContainerStatus:
    fields: dict[str, Any] = {
        "id": f"{name}-{more.get('attempt', 0)}",
        "sandbox_id": "u",
        "name": name,
        "attempt": 0,
        "state": state,
        "pid": 7 if state == "running" else 0,
        "created_at": 1.0,
        "started_at": 2.0,
        "finished_at": 3.0 if state == "exited" else 0.0,
        "exit_code": 0,
        "reason": "Completed" if state == "exited" else "",
        "message": "",
        "log_path": "",
        "labels": {},
    }
    return ContainerStatus(**fields | more)


def status(pod: dict[str, Any], *containers: ContainerStatus, **observed: Any) -> dict[str, Any]:
    seen = Observed(containers=containers, has_sandbox=True, pod_ip="10.1.1.2", **observed)
    return pod_status.compute(pod, seen, {"status": {}}, NOW)


def is_true(found: dict[str, Any], condition: str) -> bool:
    return (meta.condition({"status": found}, condition) or {}).get("status") == "True"


def test_a_pod_whose_containers_run_is_running_and_ready() -> None:
    found = status(a_pod(mains=2), a_container("c0"), a_container("c1"))
    assert found["phase"] == "Running"
    assert is_true(found, "Ready")
    assert found["podIP"] == "10.1.1.2"
    assert found["containerStatuses"][0]["state"] == {
        "running": {"startedAt": "1970-01-01T00:00:02Z"}
    }


def test_a_pod_that_has_nothing_yet_is_pending_and_says_what_it_waits_for() -> None:
    found = status(a_pod(inits=1))
    assert found["phase"] == "Pending"
    assert not is_true(found, "Initialized")
    (main,) = found["containerStatuses"]
    assert main["state"] == {"waiting": {"reason": "PodInitializing"}}
    ready = meta.condition({"status": found}, "Ready")
    assert ready is not None
    assert ready["message"] == "containers with unready status: [c0]"


@pytest.mark.parametrize(
    ("restart", "code", "phase"),
    [
        ("Never", 0, "Succeeded"),
        ("Never", 1, "Failed"),
        ("OnFailure", 0, "Succeeded"),
        ("OnFailure", 1, "Running"),
        ("Always", 0, "Running"),
    ],
)
def test_the_phase_after_the_end_follows_from_the_restart_policy(
    restart: str, code: int, phase: str
) -> None:
    found = status(a_pod(restart=restart), a_container(state="exited", exit_code=code))
    assert found["phase"] == phase


def test_a_failed_init_container_fails_a_pod_that_never_restarts() -> None:
    ended = a_container("i0", "exited", exit_code=2, reason="Error")
    assert status(a_pod(restart="Never", inits=1), ended)["phase"] == "Failed"
    assert status(a_pod(restart="Always", inits=1), ended)["phase"] == "Pending"


def test_init_containers_that_are_done_are_ready() -> None:
    found = status(a_pod(inits=1), a_container("i0", "exited"), a_container("c0"))
    assert is_true(found, "Initialized")
    assert found["initContainerStatuses"][0]["ready"] is True


def test_a_restarted_container_remembers_its_last_end() -> None:
    first = a_container(state="exited", exit_code=3, reason="Error")
    found = status(a_pod(), first, a_container(attempt=1))
    (main,) = found["containerStatuses"]
    assert main["restartCount"] == 1
    assert main["lastState"]["terminated"]["exitCode"] == 3
    assert "running" in main["state"]


def test_a_container_in_back_off_waits_and_shows_its_last_end() -> None:
    waiting = {"c0": ("CrashLoopBackOff", "back-off 10s")}
    found = status(a_pod(), a_container(state="exited", exit_code=1), waiting=waiting)
    (main,) = found["containerStatuses"]
    assert main["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": "back-off 10s"}
    assert main["lastState"]["terminated"]["exitCode"] == 1
    assert found["phase"] == "Running"


def test_after_a_lost_sandbox_the_old_record_says_what_ran() -> None:
    old = status(a_pod(), a_container(attempt=2))
    found = pod_status.compute(a_pod(status=old), Observed(), {"status": {}}, NOW)
    assert found["containerStatuses"][0]["restartCount"] == 2
    assert not is_true(found, "Ready")


def test_a_second_look_at_the_same_thing_changes_nothing() -> None:
    first = status(a_pod(), a_container())
    again = pod_status.compute(
        a_pod(status=first),
        Observed(containers=[a_container()], has_sandbox=True, pod_ip="10.1.1.2"),
        {"status": {}},
        "2026-11-24T09:00:00Z",
    )
    assert not pod_status.differs(again, first)


def test_a_pod_that_has_ended_stays_ended() -> None:
    old = {"phase": "Succeeded"}
    assert status(a_pod(status=old, restart="Never"), a_container())["phase"] == "Succeeded"
