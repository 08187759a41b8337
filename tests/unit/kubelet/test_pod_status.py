"""A Pod's status: phases, container states, conditions."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import pod_status
from kubelet.pod_status import Observed
from kubelet.probes import Verdict
from kubelet.runtime.protocol import ContainerStatus
from podium.api import meta
from tests.unit.kubelet.containers import NODE, a_container, a_kubelet_pod, a_status, an_exit

Object = dict[str, Any]
NOW = "2026-11-24T02:00:00Z"


def status_of(
    pod: Object, *containers: ContainerStatus, old: Object | None = None, **observed: Any
) -> Object:
    words: dict[str, Any] = {"has_sandbox": True, "pod_ip": "10.0.0.9"} | observed
    return pod_status.compute(pod, old or {}, Observed(containers, **words), NODE, NOW)


def main(status: Object) -> Object:
    found: Object = status["containerStatuses"][0]
    return found


def condition(status: Object, type_: str) -> tuple[str, str]:
    found = meta.condition({"status": status}, type_) or {}
    return found["status"], found.get("reason", "")


def test_a_running_pod_without_probes_is_ready() -> None:
    status = status_of(a_kubelet_pod(), a_status())
    assert (status["phase"], status["podIP"], status["hostIP"]) == (
        "Running",
        "10.0.0.9",
        "192.0.2.7",
    )
    assert condition(status, "Ready") == condition(status, "ContainersReady") == ("True", "")
    shown = main(status)
    assert (shown["ready"], shown["started"], shown["restartCount"]) == (True, True, 0)
    assert shown["state"] == {"running": {"startedAt": "1970-01-01T00:01:40Z"}}
    assert shown["containerID"] == "podium://main-0"


def test_a_pod_that_has_not_begun_is_pending_and_creating() -> None:
    status = status_of(a_kubelet_pod(), has_sandbox=False, pod_ip="")
    assert status["phase"] == "Pending"
    assert main(status)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert condition(status, "PodReadyToStartContainers") == ("False", "")
    assert "podIP" not in status


@pytest.mark.parametrize(
    ("policy", "codes", "phase"),
    [
        ("Always", (0, 1), "Running"),
        ("OnFailure", (0, 0), "Succeeded"),
        ("OnFailure", (0, 1), "Running"),
        ("Never", (0, 0), "Succeeded"),
        ("Never", (0, 1), "Failed"),
    ],
)
def test_the_phase_of_what_has_ended(policy: str, codes: tuple[int, int], phase: str) -> None:
    pod = a_kubelet_pod(a_container("a"), a_container("b"), restartPolicy=policy)
    ended = [an_exit(code, name) for code, name in zip(codes, "ab", strict=True)]
    assert status_of(pod, *ended)["phase"] == phase


def test_a_pod_with_one_container_that_never_started_is_pending() -> None:
    pod = a_kubelet_pod(a_container("a"), a_container("b"))
    status = status_of(pod, a_status("a"), waiting={"b": ("ImagePullBackOff", "no such image")})
    assert status["phase"] == "Pending"
    assert condition(status, "Ready") == ("False", "ContainersNotReady")


def test_a_crash_loop_shows_why_and_what_was_before() -> None:
    waiting = {"main": ("CrashLoopBackOff", "back-off 10s")}
    shown = main(status_of(a_kubelet_pod(), an_exit(3, attempt=1), waiting=waiting))
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}}
    assert shown["lastState"]["terminated"]["exitCode"] == 3
    assert (shown["restartCount"], shown["ready"]) == (1, False)


def test_a_restarted_container_remembers_the_one_before() -> None:
    killed = an_exit(137, reason="OOMKilled")
    status = status_of(a_kubelet_pod(), killed, a_status(attempt=1))
    last = main(status)["lastState"]["terminated"]
    assert (last["reason"], last["exitCode"]) == ("OOMKilled", 137)
    assert status["phase"] == "Running"


def test_what_an_ended_container_left_as_a_message_is_shown() -> None:
    pod = a_kubelet_pod(restartPolicy="Never")
    shown = main(status_of(pod, an_exit(1), messages={"main-0": "disk is full"}))
    assert shown["state"]["terminated"]["message"] == "disk is full"


def test_init_containers_hold_the_others_back() -> None:
    pod = a_kubelet_pod(inits=(a_container("init"),))
    status = status_of(pod, a_status("init"))
    assert status["phase"] == "Pending"
    assert main(status)["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert condition(status, "Initialized") == ("False", "ContainersNotInitialized")
    done = status_of(pod, an_exit(0, "init"), a_status())
    assert condition(done, "Initialized") == ("True", "")
    assert done["initContainerStatuses"][0]["ready"] is True


def test_an_init_container_that_failed_for_good_fails_the_pod() -> None:
    pod = a_kubelet_pod(inits=(a_container("init"),), restartPolicy="Never")
    assert status_of(pod, an_exit(1, "init"), is_ended=True)["phase"] == "Failed"


def test_a_deleted_pod_ends_as_succeeded_or_failed() -> None:
    assert status_of(a_kubelet_pod(), an_exit(0), is_ended=True)["phase"] == "Succeeded"
    status = status_of(a_kubelet_pod(), an_exit(143), is_ended=True, has_sandbox=False)
    assert status["phase"] == "Failed"
    assert condition(status, "Ready") == ("False", "PodFailed")


def test_a_container_that_vanished_keeps_its_count_and_says_so() -> None:
    pod = a_kubelet_pod()
    old = status_of(pod, a_status(attempt=2))
    shown = main(status_of(pod, old=old, has_sandbox=False))
    assert shown["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert shown["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert shown["restartCount"] == 2
    again = main(status_of(pod, a_status(attempt=3), old=old | {"containerStatuses": [shown]}))
    assert again["restartCount"] == 3
    assert again["lastState"]["terminated"]["exitCode"] == 137


def test_a_second_look_changes_nothing() -> None:
    pod = a_kubelet_pod(a_container("a"), a_container("b"), inits=(a_container("i"),))
    containers = (an_exit(0, "i"), a_status("a"), an_exit(1, "b"))
    first = status_of(pod, *containers)
    later = pod_status.compute(
        pod, first, Observed(containers, True, "10.0.0.9"), NODE, "2027-01-01T00:00:00Z"
    )
    assert later == first


def test_conditions_that_others_wrote_stay() -> None:
    old = {"conditions": [{"type": "example.com/ok", "status": "True"}]}
    assert condition(status_of(a_kubelet_pod(), a_status(), old=old), "example.com/ok")[0] == "True"


def test_a_readiness_gate_holds_back_ready_alone() -> None:
    pod = a_kubelet_pod(readinessGates=[{"conditionType": "example.com/ok"}])
    status = status_of(pod, a_status())
    assert condition(status, "ContainersReady") == ("True", "")
    assert condition(status, "Ready") == ("False", "ReadinessGatesNotReady")


def test_an_ended_pod_never_comes_back() -> None:
    old = {"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}
    status = status_of(a_kubelet_pod(), a_status(), old=old)
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_container_that_came_back_after_a_reboot_remembers_the_one_before() -> None:
    old = status_of(a_kubelet_pod(), a_status())
    shown = main(status_of(a_kubelet_pod(), a_status(attempt=1), old=old))
    assert shown["lastState"]["terminated"]["reason"] == "ContainerStatusUnknown"
    assert "finishedAt" not in shown["lastState"]["terminated"]
    assert shown["restartCount"] == 1


def test_the_user_of_the_first_process_is_shown() -> None:
    user = {"user": "1000 3000 3000,4000"}
    shown = main(status_of(a_kubelet_pod(), a_status(labels=user)))["user"]
    assert shown == {"linux": {"uid": 1000, "gid": 3000, "supplementalGroups": [3000, 4000]}}


# ---- probes, sidecars, ephemeral containers -----------------------------------------------------

SIDE = a_container("side", restartPolicy="Always")
UP, NOT_UP = Verdict(), Verdict(is_started=False, is_ready=False)


def test_a_verdict_is_shown_as_started_and_ready() -> None:
    status = status_of(a_kubelet_pod(), a_status(), verdicts={"main-0": NOT_UP})
    assert (main(status)["started"], main(status)["ready"], status["phase"]) == (
        False, False, "Running",
    )  # fmt: skip
    assert condition(status, "Ready") == ("False", "ContainersNotReady")


def test_a_container_whose_post_start_hook_is_not_done_still_waits() -> None:
    status = status_of(a_kubelet_pod(), a_status(), starting={"main-0"})
    assert main(status)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert status["phase"] == "Pending"


@pytest.mark.parametrize(
    ("policy", "containers", "verdict", "phase"),
    [
        ("Always", [], UP, "Pending"),
        ("Always", [a_status("side")], NOT_UP, "Pending"),
        ("Always", [a_status("side")], UP, "Pending"),
        ("Always", [a_status("side"), a_status()], UP, "Running"),
        ("Always", [an_exit(1, "side"), a_status()], UP, "Running"),
        ("Always", [a_status("side", 1), a_status()], NOT_UP, "Running"),
        ("Never", [a_status("side"), an_exit(0)], UP, "Running"),
        ("Never", [an_exit(137, "side"), an_exit(0)], UP, "Succeeded"),
        ("OnFailure", [an_exit(0, "side"), an_exit(1)], UP, "Running"),
        ("Never", [an_exit(0, "side"), an_exit(1)], UP, "Failed"),
    ],
)
def test_the_phase_of_a_pod_with_a_sidecar(
    policy: str, containers: list[ContainerStatus], verdict: Verdict, phase: str
) -> None:
    pod = a_kubelet_pod(inits=(SIDE,), restartPolicy=policy)
    verdicts = {"side-0": verdict, "side-1": verdict}
    assert status_of(pod, *containers, verdicts=verdicts)["phase"] == phase


def test_a_sidecar_counts_for_ready_and_its_start_for_initialized() -> None:
    pod = a_kubelet_pod(inits=(SIDE,))
    status = status_of(pod, a_status("side"), verdicts={"side-0": NOT_UP})
    assert condition(status, "Initialized") == ("False", "ContainersNotInitialized")
    running = (a_status("side"), a_status())
    status = status_of(pod, *running, verdicts={"side-0": Verdict(is_ready=False)})
    assert condition(status, "Initialized") == ("True", "")
    found = meta.condition({"status": status}, "ContainersReady") or {}
    assert found["message"] == "containers with unready status: [side]"
    assert status_of(pod, *running)["initContainerStatuses"][0]["ready"] is True


def test_an_ephemeral_container_is_shown_and_changes_nothing_else() -> None:
    pod = a_kubelet_pod(ephemeralContainers=[a_container("debug")])
    status = status_of(pod, a_status(), an_exit(3, "debug"))
    (shown,) = status["ephemeralContainerStatuses"]
    assert shown["state"]["terminated"]["exitCode"] == 3
    assert (shown["ready"], shown["restartCount"], "started" in shown) == (False, 0, False)
    assert condition(status, "Ready") == ("True", "")


def test_conditions_stand_in_kubernetes_order_after_those_of_others() -> None:
    old = {"conditions": [{"type": t, "status": "True"} for t in ("PodScheduled", "example.com/a")]}
    status = status_of(a_kubelet_pod(), a_status(), old=old)
    assert [c["type"] for c in status["conditions"]] == [
        "example.com/a", "PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady",
        "PodScheduled",
    ]  # fmt: skip


def test_every_closed_readiness_gate_is_named() -> None:
    gates = [{"conditionType": "a/one"}, {"conditionType": "a/two"}]
    old = {"conditions": [{"type": "a/two", "status": "False"}]}
    status = status_of(a_kubelet_pod(readinessGates=gates), a_status(), old=old)
    found = meta.condition({"status": status}, "Ready") or {}
    assert found["message"] == (
        'corresponding condition of pod readiness gate "a/one" does not exist., '
        'the status of pod readiness gate "a/two" is not "True", but False'
    )


def test_termination_messages_of_all_containers_together_have_a_bound() -> None:
    pod = a_kubelet_pod(*(a_container(name) for name in "abcdef"), restartPolicy="Never")
    ended = [an_exit(1, name) for name in "abcdef"]
    messages = {container.id: "é" * 2048 for container in ended}
    shown = status_of(pod, *ended, messages=messages)["containerStatuses"]
    assert {len(s["state"]["terminated"]["message"].encode()) for s in shown} == {2048}


def test_a_container_that_never_ran_is_unknown_once_its_pod_is_over() -> None:
    pod = a_kubelet_pod(a_container("a"), a_container("b"), restartPolicy="Never")
    pulling = {"b": ("ImagePullBackOff", "no such image")}
    shown = status_of(pod, an_exit(0, "a"), waiting=pulling, is_ended=True)
    ended = shown["containerStatuses"][1]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("ContainerStatusUnknown", 137)
    assert shown["phase"] == "Failed"


def test_a_container_whose_turn_never_came_goes_on_waiting_when_its_pod_is_over() -> None:
    pod = a_kubelet_pod(inits=(a_container("init"),), restartPolicy="Never")
    shown = main(status_of(pod, an_exit(1, "init"), is_ended=True))
    assert shown["state"] == {"waiting": {"reason": "PodInitializing"}}


@pytest.mark.parametrize(
    ("wanted", "can", "shown"),
    [("Enabled", True, "Enabled"), ("IfPossible", True, "Enabled"),
     ("IfPossible", False, "Disabled"), ("Disabled", True, "Disabled")],
)  # fmt: skip
def test_a_read_only_mount_is_shown_as_recursive_as_the_engine_made_it(
    wanted: str, can: bool, shown: str
) -> None:
    pod = a_kubelet_pod()
    mount = {"name": "v", "mountPath": "/v", "readOnly": True, "recursiveReadOnly": wanted}
    pod["spec"]["containers"][0]["volumeMounts"] = [mount]
    (found,) = main(status_of(pod, has_recursive_read_only=can))["volumeMounts"]
    assert found["recursiveReadOnly"] == shown
