"""How long a Pod may stay on a tainted node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from controllers.taint_eviction import no_execute, stay_s
from tests.support.builders import a_node

Object = dict[str, Any]
NOW = datetime(2026, 11, 24, 1, 0, 0, tzinfo=UTC)


def taint(key: str = "node.kubernetes.io/unreachable") -> Object:
    return {"key": key, "effect": "NoExecute"}


def tolerates(seconds: int | None = None, key: str = "node.kubernetes.io/unreachable") -> Object:
    found: Object = {"key": key, "operator": "Exists", "effect": "NoExecute"}
    return found | ({} if seconds is None else {"tolerationSeconds": seconds})


@pytest.mark.parametrize(
    ("tolerations", "age_s", "left_s"),
    [
        ([], 0, 0),
        ([tolerates()], 9999, None),
        ([tolerates(300)], 0, 300),
        ([tolerates(300)], 100, 200),
        ([tolerates(300)], 400, -100),
        ([tolerates(0)], 0, 0),
        ([tolerates(-5)], 0, 0),
        ([tolerates(300), tolerates(60)], 0, 60),
        ([tolerates(key="other")], 0, 0),
    ],
)
def test_a_pod_stays_as_long_as_it_tolerates(
    tolerations: list[Object], age_s: float, left_s: float | None
) -> None:
    assert stay_s(tolerations, [(taint(), NOW - timedelta(seconds=age_s))], NOW) == left_s


def test_a_pod_stays_for_ever_where_there_is_no_taint() -> None:
    assert stay_s([], [], NOW) is None


def test_of_several_taints_the_first_to_run_out_counts() -> None:
    there = [(taint("a"), NOW), (taint("b"), NOW - timedelta(seconds=50))]
    assert stay_s([tolerates(100, "a"), tolerates(100, "b")], there, NOW) == 50
    assert stay_s([tolerates(100, "a")], there, NOW) == 0


def test_only_taints_that_drive_out_count() -> None:
    others = [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "PreferNoSchedule"}]
    assert no_execute(a_node(taints=[*others, taint()])) == [taint()]
    assert no_execute(None) == []
