"""What the answers of probes add up to."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.probes import plan
from kubelet.probes.plan import Answer, NoSuchPort, Tally, Verdict, adopt, due, probes_of, verdict

Object = dict[str, Any]
OK, BAD, BROKEN = Answer("success"), Answer("failure"), Answer("unknown")


def probed(*kinds: str, **fields: Any) -> dict[Any, plan.Probe]:
    return probes_of({f"{kind}Probe": {"failureThreshold": 3} | fields for kind in kinds})


def fail(probe: plan.Probe, times: int = 3) -> None:
    for _ in range(times):
        probe.tally.count(BAD)


@pytest.mark.parametrize(
    ("answers", "result"),
    [
        ([OK], None),
        ([OK, OK], True),
        ([OK, BAD, OK], None),
        ([OK, OK, BAD, BAD], True),
        ([OK, OK, BAD, BAD, BAD], False),
        ([BAD, BAD, BROKEN, BAD], False),
        ([Answer("warning"), OK], True),
    ],
)
def test_a_result_needs_enough_equal_answers_in_a_row(
    answers: list[Answer], result: bool | None
) -> None:
    tally = Tally(successes_needed=2, failures_needed=3)
    for answer in answers:
        tally.count(answer)
    assert tally.result is result


def test_only_a_change_is_worth_telling() -> None:
    tally = Tally(1, 1)
    assert [tally.count(answer) for answer in (OK, OK, BAD, BAD, OK)] == [
        True, False, True, False, True,
    ]  # fmt: skip


def test_a_container_is_ready_only_once_its_readiness_probe_says_so() -> None:
    probes = probed("readiness")
    assert verdict(probes) == Verdict(is_started=True, is_ready=False)
    probes["readiness"].tally.count(OK)
    assert verdict(probes) == Verdict()


def test_until_the_startup_probe_succeeds_nothing_else_is_asked() -> None:
    probes = probed("startup", "liveness", "readiness")
    assert [probe.kind for probe in due(probes, is_ending=False)] == ["startup"]
    assert verdict(probes) == Verdict(is_started=False, is_ready=False)
    probes["startup"].tally.count(OK)
    assert [probe.kind for probe in due(probes, is_ending=False)] == ["liveness", "readiness"]


@pytest.mark.parametrize("kind", ["startup", "liveness"])
def test_a_probe_that_has_failed_wants_its_container_ended_and_asks_no_more(kind: str) -> None:
    probes = probed(kind)
    fail(probes[kind])
    assert verdict(probes).failed == kind
    assert list(due(probes, is_ending=False)) == []


def test_readiness_alone_is_asked_while_a_pod_is_being_deleted() -> None:
    probes = probed("liveness", "readiness")
    assert [probe.kind for probe in due(probes, is_ending=True)] == ["readiness"]


def test_what_ran_before_this_kubelet_is_believed_to_be_as_it_was() -> None:
    probes = probed("startup", "readiness")
    adopt(probes, {"started": True, "ready": True})
    assert verdict(probes) == Verdict()


@pytest.mark.parametrize(
    ("kind", "fields", "seconds"),
    [
        ("readiness", {}, 0),
        ("startup", {}, 1),
        ("startup", {"periodSeconds": 5, "initialDelaySeconds": 3}, 3),
        ("liveness", {"periodSeconds": 5}, 5),
        ("liveness", {"initialDelaySeconds": 2}, 2),
    ],
)
def test_when_a_container_is_asked_for_the_first_time(
    kind: str, fields: Object, seconds: float
) -> None:
    assert probed(kind, **fields)[kind].first_after_s() == seconds


def test_ports_go_by_number_or_by_name() -> None:
    container = {"ports": [{"name": "web", "containerPort": 8080}]}
    assert [plan.port_number(port, container) for port in (80, "web", "81")] == [80, 8080, 81]
    with pytest.raises(NoSuchPort, match=r'strconv\.Atoi: parsing "http": invalid syntax'):
        plan.port_number("http", container)
