"""Which faults slow a node's disk just now, and how much."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kubelet.runtime.protocol import IoLimit
from kubelet.slow_disk import is_on, slowest
from podium.api.faults import active

NOW = datetime(2026, 11, 26, 8, tzinfo=UTC)


def a_fault(**spec: Any) -> dict[str, Any]:
    return {"spec": {"type": "SlowDisk", "target": "node-1", "seconds": 30, **spec}}


def test_of_several_faults_the_least_rate_counts() -> None:
    faults = [
        a_fault(bytesPerSecond="2Mi"),
        a_fault(bytesPerSecond="1Mi", operationsPerSecond=50),
        a_fault(operationsPerSecond=100),
    ]
    assert slowest((8, 0), faults) == IoLimit(8, 0, 1 << 20, 1 << 20, 50, 50)


def test_operations_alone_leave_the_bytes_without_a_limit() -> None:
    assert slowest((8, 0), [a_fault(operationsPerSecond=9)]) == IoLimit(8, 0, 0, 0, 9, 9)


@pytest.mark.parametrize(("after_s", "expected"), [(0, True), (29, True), (30, False)])
def test_a_fault_ends_by_the_clock_of_the_kubelet(after_s: int, expected: bool) -> None:
    fault = a_fault()
    fault["status"] = active(fault, NOW)
    assert is_on(fault, NOW + timedelta(seconds=after_s)) is expected


@pytest.mark.parametrize(("phase", "expected"), [("", True), ("Failed", False), ("Ended", False)])
def test_a_fault_that_has_not_begun_is_to_begin(phase: str, expected: bool) -> None:
    fault = a_fault() | {"status": {"phase": phase, "endTime": "2026-11-26T09:00:00.0Z"}}
    assert is_on(fault, NOW) is expected
