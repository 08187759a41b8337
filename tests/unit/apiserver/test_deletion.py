"""What a DELETE does to an object, by the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apiserver.deletion import mark
from podium.api.scheme import resource

NOW = datetime(2026, 11, 24, 1, 0, 0, tzinfo=UTC)
PODS = resource("pods")


def a_running_pod(**metadata: object) -> dict:
    return {
        "metadata": {"name": "web", **metadata},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running"},
    }


def test_a_pod_is_given_its_own_grace_period_or_thirty_seconds() -> None:
    pod = a_running_pod()
    assert mark(PODS, pod, {}, NOW) == "changed"
    assert pod["metadata"]["deletionTimestamp"] == "2026-11-24T01:00:30Z"
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30


@pytest.mark.parametrize(
    ("seconds", "outcome", "grace_s"), [(0, "gone", 0), (-5, "changed", 1), (7, "changed", 7)]
)
def test_a_grace_period_of_zero_is_none_and_a_negative_one_a_second(
    seconds: int, outcome: str, grace_s: int
) -> None:
    pod = a_running_pod()
    pod["spec"]["terminationGracePeriodSeconds"] = seconds
    assert mark(PODS, pod, {}, NOW) == outcome
    assert pod["metadata"]["deletionGracePeriodSeconds"] == grace_s


def test_a_finished_pod_needs_no_grace() -> None:
    pod = a_running_pod()
    pod["status"]["phase"] = "Failed"
    assert mark(PODS, pod, {}, NOW) == "gone"


def test_a_shorter_grace_counts_from_the_first_delete() -> None:
    pod = a_running_pod()
    mark(PODS, pod, {"gracePeriodSeconds": 60}, NOW)
    assert mark(PODS, pod, {"gracePeriodSeconds": 20}, NOW + timedelta(seconds=5)) == "changed"
    assert pod["metadata"]["deletionTimestamp"] == "2026-11-24T01:00:20Z"
    assert mark(PODS, pod, {"gracePeriodSeconds": 40}, NOW + timedelta(seconds=6)) == "unchanged"


def test_grace_zero_with_a_finalizer_waits_for_the_finalizer_alone() -> None:
    pod = a_running_pod(finalizers=["x/y"])
    assert mark(PODS, pod, {"gracePeriodSeconds": 0}, NOW) == "changed"
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 0
    del pod["metadata"]["finalizers"]
    assert mark(PODS, pod, {"gracePeriodSeconds": 0}, NOW) == "gone"
