"""Which taints a node's conditions ask for."""

from __future__ import annotations

from typing import Any

from controllers.node_lifecycle import desired_taints
from tests.support.builders import a_node

Object = dict[str, Any]
NOW = "2026-11-24T01:00:00Z"


def with_conditions(node: Object, **values: str) -> Object:
    node["status"]["conditions"] = [{"type": t, "status": v} for t, v in values.items()]
    return node


def shown(node: Object) -> list[str]:
    return [f"{taint['key']}:{taint['effect']}" for taint in desired_taints(node, NOW)]


def test_a_node_that_is_ready_has_no_taints_of_ours() -> None:
    assert desired_taints(a_node(), NOW) == []


def test_not_ready_and_unreachable_keep_pods_away_and_drive_them_out() -> None:
    for value, name in (("False", "not-ready"), ("Unknown", "unreachable")):
        key = f"node.kubernetes.io/{name}"
        node = with_conditions(a_node(), Ready=value)
        assert shown(node) == [f"{key}:NoSchedule", f"{key}:NoExecute"]


def test_pressure_and_a_cordon_keep_pods_away() -> None:
    node = with_conditions(a_node(unschedulable=True), Ready="True", DiskPressure="True")
    assert shown(node) == [
        "node.kubernetes.io/disk-pressure:NoSchedule",
        "node.kubernetes.io/unschedulable:NoSchedule",
    ]


def test_taints_of_others_stay_where_they_are() -> None:
    mine = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}
    node = with_conditions(a_node(taints=[mine]), Ready="Unknown")
    assert desired_taints(node, NOW)[0] == mine
    assert desired_taints(with_conditions(node, Ready="True"), NOW) == [mine]


def test_a_taint_that_is_there_keeps_the_time_since_when() -> None:
    node = with_conditions(a_node(), Ready="Unknown")
    node["spec"]["taints"] = desired_taints(node, NOW)
    assert desired_taints(node, "2026-11-24T02:00:00Z") == node["spec"]["taints"]


def test_unreachable_replaces_not_ready() -> None:
    node = with_conditions(a_node(), Ready="False")
    node["spec"]["taints"] = desired_taints(node, NOW)
    key = "node.kubernetes.io/unreachable"
    assert shown(with_conditions(node, Ready="Unknown")) == [
        f"{key}:NoSchedule",
        f"{key}:NoExecute",
    ]
