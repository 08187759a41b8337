"""Spans of a process: what is told, and what requests carry."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from podium.client import tracing
from podium.client.causes import Cause, Reasons

CAUSE = Cause(812, "ab" * 16, "cd" * 8, "default/web", "uid", False)
REASONS = Reasons((CAUSE,), 5)


@pytest.fixture
def told() -> Iterator[list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    tracing.send_to(records.append)
    yield records
    tracing.send_to(None)


def test_a_reconcile_from_which_nothing_comes_is_not_told(told: list[dict[str, Any]]) -> None:
    with tracing.reconciling("replicaset", "default/web", REASONS):
        pass
    assert told == []


def test_a_reconcile_that_writes_is_told_with_what_it_reacted_to(
    told: list[dict[str, Any]],
) -> None:
    with (
        tracing.reconciling("replicaset", "default/web", REASONS) as span,
        tracing.requesting(span, "POST"),
    ):
        pass
    (record,) = told
    assert (record["traceId"], record["parentId"]) == (CAUSE.trace_id, CAUSE.span_id)
    assert record["reactedTo"] == [812]


def test_requests_carry_the_span_and_what_it_reacted_to() -> None:
    assert tracing.headers() == ""
    with tracing.reconciling("replicaset", "default/web", REASONS) as span:
        assert tracing.headers() == (
            f"traceparent: 00-{CAUSE.trace_id}-{span.span_id}-01\r\n"
            f"tracestate: podium=replicaset/{span.began_us}/812\r\n"
        )
    assert tracing.headers() == ""


def test_a_phase_says_what_it_is_within(told: list[dict[str, Any]]) -> None:
    with tracing.reconciling("pod-sync", "uid", REASONS) as span, tracing.phase("sandbox"):
        pass
    phase, whole = told
    assert phase["parentId"] == whole["spanId"] == span.span_id
    assert phase["within"] == {
        "spanId": span.span_id, "name": "pod-sync", "beganUs": span.began_us, "reactedTo": [812],
    }  # fmt: skip


def test_a_failure_is_told(told: list[dict[str, Any]]) -> None:
    with (
        pytest.raises(ValueError, match="no"),
        tracing.reconciling("replicaset", "default/web", REASONS),
    ):
        raise ValueError("no")
    assert told[0]["attributes"]["outcome"] == "ValueError: no"


def test_a_pool_works_as_a_part_of_the_span() -> None:
    with (
        ThreadPoolExecutor(1) as pool,
        tracing.reconciling("replicaset", "default/web", REASONS) as span,
    ):
        seen = pool.submit(tracing.carried(lambda _: tracing.headers()), None).result()
        assert span.span_id in seen
        assert pool.submit(tracing.headers).result() == ""


def test_what_is_wanted_within_a_span_is_wanted_for_its_reasons() -> None:
    with tracing.reconciling("scheduler", "default/web", REASONS):
        assert tracing.causes() == (CAUSE,)
    assert tracing.causes() == ()


def test_a_command_is_the_root_of_a_trace_and_told_by_whoever_commands(
    told: list[dict[str, Any]],
) -> None:
    with tracing.commanding("apply") as span, tracing.requesting(span, "POST"):
        assert f"tracestate: podium=podium-apply/{span.began_us}/\r\n" in tracing.headers()
    record = span.record(tracing.now_us())
    assert (record["kind"], record["parentId"], record["reactedTo"]) == ("command", "", [])
    assert (span.must_be_told, told, tracing.headers()) == (True, [], "")
