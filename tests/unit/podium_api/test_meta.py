"""What every object has: keys, owners, conditions, times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from podium.api import meta
from tests.support.builders import a_node, a_pod, a_replicaset

MOMENT = datetime(2026, 11, 24, 1, 2, 3, 456789, UTC)


def test_a_key_is_namespace_and_name_and_comes_apart_again() -> None:
    assert meta.key_of(a_pod("web")) == "default/web"
    assert meta.key_of(a_node("n1")) == "n1"
    assert meta.split_key("default/web") == ("default", "web")
    assert meta.split_key("n1") == (None, "n1")


def test_times_are_written_as_kubernetes_writes_them() -> None:
    assert meta.now(MOMENT) == "2026-11-24T01:02:03Z"
    assert meta.now_micro(MOMENT) == "2026-11-24T01:02:03.456789Z"
    assert meta.parse_time(meta.now_micro(MOMENT)) == MOMENT


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="without a zone"):
        meta.parse_time("2026-11-24T01:02:03")


def test_the_controller_is_the_owner_that_says_so() -> None:
    owner = a_replicaset()
    pod = a_pod(owner=owner)
    found = meta.controller_of(pod)
    assert found is not None
    assert found["uid"] == owner["metadata"]["uid"]
    assert meta.controller_of(a_pod()) is None
    pod["metadata"]["ownerReferences"] = [meta.owner_reference(owner, controller=False)]
    assert meta.controller_of(pod) is None


def test_a_condition_keeps_its_transition_time_while_its_value_stays() -> None:
    status: dict[str, object] = {}
    assert meta.set_condition(status, "Ready", "False", "Starting", "", "t1")
    assert meta.set_condition(status, "Ready", "False", "Pulling", "busy", "t2")
    assert status["conditions"] == [
        {"type": "Ready", "status": "False", "reason": "Pulling", "message": "busy",
         "lastTransitionTime": "t1"}
    ]  # fmt: skip
    assert meta.set_condition(status, "Ready", "True", "Started", "", "t3")
    assert (meta.condition({"status": status}, "Ready") or {})["lastTransitionTime"] == "t3"


def test_a_condition_that_says_the_same_again_changes_nothing() -> None:
    status: dict[str, object] = {}
    meta.set_condition(status, "Ready", "True", "Started", "up", "t1")
    assert not meta.set_condition(status, "Ready", "True", "Started", "up", "t2")


def test_a_pod_is_ready_when_its_condition_says_so() -> None:
    assert meta.is_pod_ready(a_pod(ready=True))
    assert not meta.is_pod_ready(a_pod(ready=False))
    assert not meta.is_pod_ready(a_pod())


def test_a_pod_that_ends_or_has_ended_is_not_active() -> None:
    assert meta.is_pod_active(a_pod())
    assert not meta.is_pod_active(a_pod(phase="Failed"))
    assert not meta.is_pod_active(a_pod(meta={"deletionTimestamp": "t"}))
