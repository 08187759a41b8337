"""What is to be started next, and what has to wait."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.backoff import Backoff, go_duration
from kubelet.pod_plan import Plan, make_plan
from kubelet.probes import Verdict
from kubelet.runtime.protocol import ContainerStatus
from tests.unit.kubelet.containers import a_container, a_kubelet_pod, a_status, an_exit

Object = dict[str, Any]
NOW = 201.0


def plan(
    pod: Object,
    *containers: ContainerStatus,
    has_sandbox: bool = True,
    status: Object | None = None,
    verdicts: dict[str, Verdict] | None = None,
    **backoffs: Backoff,
) -> Plan:
    return make_plan(
        pod, status or {}, containers, has_sandbox=has_sandbox, backoffs=backoffs, now=NOW,
        verdicts=verdicts,
    )  # fmt: skip


def starts(found: Plan) -> list[tuple[str, int]]:
    return [(start.container["name"], start.attempt) for start in found.starts]


def written(name: str = "main", **state: Object) -> Object:
    """A status from before a reboot."""
    status = {"name": name, "containerID": "podium://x", "restartCount": 4, "state": state}
    return {"containerStatuses": [status]}


INITS = (a_container("one"), a_container("two"))


def test_all_containers_of_a_new_pod_are_started() -> None:
    pod = a_kubelet_pod(a_container("a"), a_container("b"))
    assert starts(plan(pod, has_sandbox=False)) == [("a", 0), ("b", 0)]


def test_what_runs_is_left_alone() -> None:
    found = plan(a_kubelet_pod(), a_status())
    assert (found.starts, found.waiting, found.again_s, found.is_over) == ([], {}, None, False)


def test_init_containers_start_one_by_one_and_before_the_others() -> None:
    pod = a_kubelet_pod(inits=INITS)
    assert starts(plan(pod)) == [("one", 0)]
    assert starts(plan(pod, a_status("one"))) == []
    assert starts(plan(pod, an_exit(0, "one"))) == [("two", 0)]
    assert starts(plan(pod, an_exit(0, "one"), an_exit(0, "two"))) == [("main", 0)]


def test_a_failed_init_container_is_tried_again_unless_never() -> None:
    assert starts(plan(a_kubelet_pod(inits=INITS), an_exit(1, "one"))) == [("one", 1)]
    assert plan(a_kubelet_pod(inits=INITS, restartPolicy="Never"), an_exit(1, "one")).is_over


@pytest.mark.parametrize(
    ("policy", "code", "comes_back"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy_says_what_comes_back(policy: str, code: int, comes_back: bool) -> None:
    found = plan(a_kubelet_pod(restartPolicy=policy), an_exit(code))
    assert starts(found) == ([("main", 1)] if comes_back else [])
    assert found.is_over is not comes_back


def test_a_pod_is_not_over_while_another_container_runs() -> None:
    pod = a_kubelet_pod(a_container("a"), a_container("b"), restartPolicy="Never")
    assert not plan(pod, an_exit(1, "a"), a_status("b")).is_over


def test_the_second_crash_has_to_wait() -> None:
    backoff = Backoff()
    backoff.tried(150.0, 150.0)
    found = plan(a_kubelet_pod(), an_exit(1, attempt=1), main=backoff)
    assert found.starts == []
    assert found.again_s == pytest.approx(9.0)
    reason, message = found.waiting["main"]
    assert reason == "CrashLoopBackOff"
    assert message.startswith("back-off 10s restarting failed container=main pod=web_default(")


def test_a_container_that_was_made_and_not_started_is_started() -> None:
    (start,) = plan(a_kubelet_pod(), a_status(state="created")).starts
    assert (start.created_id, start.attempt) == ("main-0", 0)


def test_after_a_lost_sandbox_everything_begins_anew() -> None:
    pod = a_kubelet_pod(inits=INITS)
    ended = [an_exit(0, "one"), an_exit(0, "two"), an_exit(137, "main")]
    assert starts(plan(pod, *ended, has_sandbox=False)) == [("one", 1)]


def test_after_a_reboot_the_count_goes_on_from_the_status() -> None:
    found = plan(a_kubelet_pod(), has_sandbox=False, status=written(running={}))
    assert starts(found) == [("main", 5)]


@pytest.mark.parametrize(("policy", "is_over"), [("Never", True), ("OnFailure", False)])
def test_what_vanished_while_it_ran_was_killed(policy: str, is_over: bool) -> None:
    pod = a_kubelet_pod(restartPolicy=policy)
    assert plan(pod, has_sandbox=False, status=written(running={})).is_over is is_over


def test_what_had_succeeded_before_a_reboot_is_not_run_again() -> None:
    status = written(terminated={"exitCode": 0})
    pod = a_kubelet_pod(restartPolicy="OnFailure")
    assert plan(pod, has_sandbox=False, status=status).is_over


# ---- probes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "words"),
    [("Always", "failed liveness probe, will be restarted"), ("Never", "failed liveness probe")],
)
def test_what_fails_its_liveness_probe_is_ended(policy: str, words: str) -> None:
    ill = {"main-0": Verdict(failed="liveness")}
    found = plan(a_kubelet_pod(restartPolicy=policy), a_status(), verdicts=ill)
    (kill,) = found.kills
    assert (kill.id, kill.probe, kill.message) == (
        "main-0", "livenessProbe", f"Container main {words}",
    )  # fmt: skip
    assert found.starts == []


# ---- sidecars -----------------------------------------------------------------------------------

SIDECAR = a_container("side", restartPolicy="Always")
MIXED = (a_container("one"), SIDECAR, a_container("two"))
UNSTARTED = {"side-0": Verdict(is_started=False, is_ready=False)}


def test_a_sidecar_is_waited_for_until_it_has_started_and_no_longer() -> None:
    pod = a_kubelet_pod(inits=MIXED)
    assert starts(plan(pod, an_exit(0, "one"))) == [("side", 0)]
    assert starts(plan(pod, an_exit(0, "one"), a_status("side"), verdicts=UNSTARTED)) == []
    assert starts(plan(pod, an_exit(0, "one"), a_status("side"))) == [("two", 0)]
    done = (an_exit(0, "one"), a_status("side"), an_exit(0, "two"))
    assert starts(plan(pod, *done)) == [("main", 0)]


@pytest.mark.parametrize("policy", ["Always", "OnFailure", "Never"])
def test_a_sidecar_that_ends_is_always_restarted_and_nobody_waits_for_it_again(policy: str) -> None:
    pod = a_kubelet_pod(inits=(SIDECAR, a_container("two")), restartPolicy=policy)
    assert starts(plan(pod, an_exit(0, "side"), a_status("two"))) == [("side", 1)]
    later = plan(pod, an_exit(0, "side"), an_exit(0, "two"))
    assert starts(later) == [("side", 1), ("main", 0)]
    assert starts(plan(pod, an_exit(3, "side"), an_exit(0, "two"), a_status())) == [("side", 1)]


def test_a_pod_is_over_when_only_sidecars_are_left() -> None:
    pod = a_kubelet_pod(inits=(SIDECAR,), restartPolicy="OnFailure")
    found = plan(pod, a_status("side"), an_exit(0))
    assert (found.is_over, found.starts) == (True, [])
    assert plan(pod, an_exit(1, "side"), an_exit(0)).starts == []


@pytest.mark.parametrize("probe", ["startup", "liveness"])
def test_a_sidecar_that_fails_a_probe_is_ended(probe: str) -> None:
    ill = {"side-0": Verdict(is_started=probe == "liveness", failed=probe)}  # type: ignore[arg-type]
    found = plan(a_kubelet_pod(inits=(SIDECAR,)), a_status("side"), a_status(), verdicts=ill)
    assert [kill.message for kill in found.kills] == [f"Init container side failed {probe} probe"]


# ---- ephemeral containers -----------------------------------------------------------------------

DEBUG = {"ephemeralContainers": [a_container("debug")]}


def test_an_ephemeral_container_is_started_once_whatever_the_others_do() -> None:
    pod = a_kubelet_pod(inits=INITS, **DEBUG)
    assert starts(plan(pod, a_status("one"))) == [("debug", 0)]
    assert starts(plan(pod, a_status("one"), an_exit(1, "debug"))) == []
    over = a_kubelet_pod(restartPolicy="Never", **DEBUG)
    assert plan(over, an_exit(0), a_status("debug")).is_over


# ---- back-off -----------------------------------------------------------------------------------


def test_back_off_doubles_up_to_five_minutes_after_a_first_retry_at_once() -> None:
    backoff, waits, now = Backoff(), [], 1000.0
    for _ in range(8):
        due = backoff.due(now)
        waits.append(due - now)
        now = due
        backoff.tried(now, now)
        now += 1
    assert waits == [0, 10, 20, 40, 80, 160, 300, 300]


def test_back_off_is_forgotten_after_ten_quiet_minutes() -> None:
    backoff = Backoff()
    backoff.tried(1000.0, 1000.0)
    backoff.tried(1010.0, 1010.0)
    assert backoff.due(1611.0) == 1611.0
    backoff.tried(1611.0, 1611.0)
    assert backoff.delay_s == 10


def test_durations_are_written_as_go_does() -> None:
    assert [go_duration(s) for s in (10, 80, 300)] == ["10s", "1m20s", "5m0s"]


def test_a_node_can_be_told_to_wait_no_longer_than_a_while() -> None:
    backoff = Backoff(last_s=3)
    backoff.tried(1000.0, 1000.0)
    assert backoff.due(1001.0) == 1004.0
