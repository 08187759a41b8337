"""Why a Pod is where it is, and what would have to be otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from controllers.scheduler.counterfactual import what_would_fit
from controllers.scheduler.figures import most, shown
from controllers.scheduler.filters import first_rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from controllers.scheduler.reasons import MOST_BYTES, Record, says_the_same
from controllers.scheduler.scores import Ranking
from tests.support.builders import a_node, a_pod

Object = dict[str, Any]
GPU = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


def a_port(number: int) -> Object:
    pod = a_pod(f"on-{number}")
    pod["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": number}]
    return pod


def fitting(pod: Object, node: Object, *there: Object) -> tuple[str, ...] | None:
    info = NodeInfo.of(node, map(PodInfo.of, there))
    return what_would_fit(PodInfo.of(pod), info, first_rejection)


def a_record(pod: Object, *nodes: NodeInfo) -> Object:
    info, record = PodInfo.of(pod), Record("now", len(nodes))
    found = [(node, first_rejection(info, node)) for node in nodes]
    record.rejected(info, [(n, r) for n, r in found if r is not None], first_rejection)
    if feasible := [node for node, rejection in found if rejection is None]:
        ranking = Ranking(info, feasible)
        record.bound(ranking.best.name, ranking)
    else:
        record.refused("Unschedulable")
    return dict(json.loads(record.text()))


@pytest.mark.parametrize(
    ("pod", "node", "there", "wanted"),
    [
        (a_pod(cpu="500m"), a_node(cpu="2"), [a_pod("x", cpu="1700m")], ("cpu ≤ 300m",)),
        (a_pod(cpu="1"), a_node(cpu="2"), [a_pod("x", cpu="2")], ("no request for cpu",)),
        (a_pod(), a_node(taints=[GPU]), [], ("a toleration of gpu=yes:NoSchedule",)),
        (a_pod(), a_node(unschedulable=True), [], ("the node uncordoned",)),
        (a_pod(nodeSelector={"disk": "ssd"}), a_node(), [], ("no nodeSelector disk=ssd",)),
        (a_port(8080), a_node(), [a_port(8080)], ("no hostPort 8080/TCP",)),
        (a_pod(), a_node(pods="1"), [a_pod("x")], ("one Pod fewer there",)),
        (a_pod(), a_node(), [], ()),
    ],
)
def test_the_least_that_would_have_to_change_is_told(
    pod: Object, node: Object, there: list[Object], wanted: tuple[str, ...]
) -> None:
    assert fitting(pod, node, *there) == wanted


def test_all_that_stands_in_the_way_is_told_together() -> None:
    node = a_node(cpu="1", memory="1Gi", taints=[GPU])
    assert fitting(a_pod(cpu="2", memory="3Gi"), node) == (
        "a toleration of gpu=yes:NoSchedule",
        "cpu ≤ 1 and memory ≤ 1Gi",
    )


def test_where_nothing_helps_nothing_is_promised() -> None:
    assert fitting(a_pod(), a_node(pods="0")) is None


def test_a_rejected_node_is_shown_with_its_numbers_and_what_would_fit() -> None:
    full = NodeInfo.of(a_node("node-2", cpu="2"), [PodInfo.of(a_pod("x", cpu="1700m"))])
    record = a_record(a_pod(cpu="500m"), full)
    assert record["rejected"] == [
        {
            "filter": "NodeResourcesFit",
            "reason": "Insufficient cpu",
            "count": 1,
            "nodes": [
                {
                    "name": "node-2",
                    "why": ["cpu: asks 500m, 300m of 2 free"],
                    "fitsWith": ["cpu ≤ 300m"],
                }
            ],
        }
    ]
    assert record["fits"] == [{"node": "node-2", "with": ["cpu ≤ 300m"]}]


def test_a_label_that_is_not_there_is_named_with_what_is() -> None:
    node = NodeInfo.of(a_node(labels={"disk": "hdd"}))
    (group,) = a_record(a_pod(nodeSelector={"disk": "ssd"}), node)["rejected"]
    assert group["nodes"][0]["why"] == ["asks for the label disk=ssd, has disk=hdd"]


def test_the_scores_of_the_nodes_that_would_do_add_up() -> None:
    busy = NodeInfo.of(a_node("busy"), [PodInfo.of(a_pod("x", cpu="2"))])
    record = a_record(a_pod(cpu="1"), busy, NodeInfo.of(a_node("idle")))
    assert [one["node"] for one in record["scores"]] == ["idle", "busy"]
    for one in record["scores"]:
        assert sum(one["parts"].values()) == pytest.approx(one["total"], abs=0.05)


def test_of_a_thousand_nodes_that_would_do_the_best_are_shown() -> None:
    record = a_record(a_pod(cpu="1"), *(NodeInfo.of(a_node(f"n{i:03}")) for i in range(1000)))
    assert len(record["scores"]) + record["scoresNotShown"] == 1000
    assert ["parts" in one for one in record["scores"][:4]] == [True, True, False, False]
    assert len(json.dumps(record)) < 800


def test_a_thousand_nodes_make_a_small_record_that_shows_the_nearest() -> None:
    nodes = [NodeInfo.of(a_node(f"n{i:04}", cpu=f"{i + 1}m")) for i in range(1000)]
    record = a_record(a_pod(cpu="2"), *nodes)
    (group,) = record["rejected"]
    assert group["count"] == 1000
    assert [one["name"] for one in group["nodes"]] == ["n0999", "n0998", "n0997", "n0996", "n0995"]
    assert record["fits"][0] == {"node": "n0999", "with": ["cpu ≤ 1"]}
    assert len(json.dumps(record)) < MOST_BYTES


def test_a_thousand_different_reasons_make_a_small_record_too() -> None:
    taints = [{"key": f"k{i}", "effect": "NoSchedule"} for i in range(1000)]
    record = a_record(a_pod(), *(NodeInfo.of(a_node(t["key"], taints=[t])) for t in taints))
    assert len(record["rejected"]) == 13
    assert record["rejected"][-1]["count"] == 988
    assert len(json.dumps(record)) < MOST_BYTES


def test_a_record_that_only_the_clock_has_changed_says_the_same() -> None:
    assert says_the_same('{"at": "1", "nodes": 2}', '{"at": "2", "nodes": 2}')
    assert not says_the_same('{"at": "1", "nodes": 2}', '{"at": "1", "nodes": 3}')
    assert not says_the_same("mine", '{"at": "1"}')


def test_amounts_are_written_as_people_write_them() -> None:
    assert [shown("cpu", n) for n in (500, 2000, 1500)] == ["500m", "2", "1500m"]
    assert [shown("memory", n) for n in (1 << 30, 1 << 20, 1000)] == ["1Gi", "1Mi", "1000"]
    assert most("memory", 200 * (1 << 20) + 5) == "200Mi"
    assert most("example.com/gpu", 3) == "3"
