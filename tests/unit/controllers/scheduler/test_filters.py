"""On which nodes a Pod can run, and what is said of the others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controllers.scheduler.filters import Rejection, first_rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo
from tests.support.builders import a_node, a_pod

Object = dict[str, Any]


def reasons(pod: Object, node: Object, *there: Object) -> tuple[str, ...]:
    rejection = judge(pod, node, *there)
    return rejection.reasons if rejection else ()


def judge(pod: Object, node: Object, *there: Object) -> Rejection | None:
    return first_rejection(PodInfo.of(pod), NodeInfo.of(node, map(PodInfo.of, there)))


# --- resources ----------------------------------------------------------------------------------


def test_a_pod_that_fits_exactly_fits() -> None:
    assert reasons(a_pod(cpu="4", memory="8Gi"), a_node(cpu="4", memory="8Gi")) == ()


def test_every_resource_that_is_short_is_named() -> None:
    found = reasons(a_pod(cpu="5", memory="9Gi"), a_node(cpu="4", memory="8Gi"))
    assert sorted(found) == ["Insufficient cpu", "Insufficient memory"]


def test_what_is_there_already_is_taken() -> None:
    assert reasons(a_pod(cpu="1001m"), a_node(cpu="4"), a_pod("a", cpu="3")) == (
        "Insufficient cpu",
    )


def test_a_pod_that_asks_for_nothing_fits_a_node_that_is_full() -> None:
    assert reasons(a_pod(), a_node(cpu="1"), a_pod("a", cpu="1")) == ()


def test_a_resource_that_the_node_has_never_heard_of_is_insufficient() -> None:
    pod = a_pod()
    pod["spec"]["containers"][0]["resources"] = {"requests": {"example.com/gpu": "1"}}
    assert reasons(pod, a_node()) == ("Insufficient example.com/gpu",)


def test_a_node_takes_no_more_pods_than_it_says() -> None:
    assert reasons(a_pod(), a_node(pods="1"), a_pod("a")) == ("Too many pods",)


def test_preemption_helps_only_if_the_node_is_large_enough() -> None:
    small = judge(a_pod(cpu="2"), a_node(cpu="1"))
    full = judge(a_pod(cpu="2"), a_node(cpu="2"), a_pod("a", cpu="1"))
    assert small is not None
    assert full is not None
    assert (small.would_preemption_help, full.would_preemption_help) == (False, True)


@given(
    st.lists(st.integers(1, 4000), max_size=12),
    st.integers(0, 4000),
    st.integers(1, 8),
)
def test_a_node_is_never_promised_more_than_it_has(
    there: list[int], wanted: int, cores: int
) -> None:
    node = NodeInfo.of(a_node(cpu=str(cores)))
    for number, millicores in enumerate([*there, wanted]):
        pod = PodInfo.of(a_pod(f"p{number}", cpu=f"{millicores}m"))
        if first_rejection(pod, node) is None:
            node.add(pod)
    assert node.used["cpu"] <= cores * 1000


# --- taints, cordon -----------------------------------------------------------------------------


def taint(effect: str = "NoSchedule", key: str = "gpu", value: str = "yes") -> Object:
    return {"key": key, "value": value, "effect": effect}


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_an_untolerated_taint_is_named_with_key_and_value(effect: str) -> None:
    found = reasons(a_pod(), a_node(taints=[taint(effect)]))
    assert found == ("node(s) had untolerated taint {gpu: yes}",)


def test_a_taint_that_only_discourages_keeps_nobody_away() -> None:
    assert reasons(a_pod(), a_node(taints=[taint("PreferNoSchedule")])) == ()


@pytest.mark.parametrize(
    ("toleration", "is_tolerated"),
    [
        ({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule"}, True),
        ({"key": "gpu", "value": "yes"}, True),
        ({"key": "gpu", "value": "no"}, False),
        ({"key": "gpu", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "disk", "operator": "Exists"}, False),
    ],
)
def test_who_tolerates_a_taint(toleration: Object, is_tolerated: bool) -> None:
    found = reasons(a_pod(tolerations=[toleration]), a_node(taints=[taint()]))
    assert (found == ()) is is_tolerated


def test_a_cordoned_node_takes_only_pods_that_tolerate_that() -> None:
    exists = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    node = a_node(unschedulable=True)
    assert reasons(a_pod(), node) == ("node(s) were unschedulable",)
    assert reasons(a_pod(tolerations=[exists]), node) == ()


# --- selectors ----------------------------------------------------------------------------------

NO_MATCH = ("node(s) didn't match Pod's node affinity/selector",)


def required(*terms: Object) -> Object:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def expression(operator: str, *values: str, key: str = "zone") -> Object:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_every_label_of_a_node_selector_must_be_there() -> None:
    pod = a_pod(nodeSelector={"disk": "ssd", "zone": "a"})
    assert reasons(pod, a_node(labels={"disk": "ssd", "zone": "a"})) == ()
    assert reasons(pod, a_node(labels={"disk": "ssd"})) == NO_MATCH


@pytest.mark.parametrize(
    ("term", "matches"),
    [
        (expression("In", "a", "b"), True),
        (expression("NotIn", "a"), False),
        (expression("NotIn", "x", key="absent"), True),
        (expression("Exists"), True),
        (expression("DoesNotExist"), False),
        (expression("Gt", "3", key="size"), True),
        (expression("Lt", "3", key="size"), False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}]}, False),
        ({}, False),
    ],
)
def test_operators_of_a_required_term(term: Object, matches: bool) -> None:
    node = a_node("n1", labels={"zone": "a", "size": "4"})
    found = reasons(a_pod(affinity=required(term)), node)
    assert found == (() if matches else NO_MATCH)


def test_one_term_of_several_is_enough_but_the_node_selector_must_hold_as_well() -> None:
    affinity = required(expression("In", "x"), expression("In", "a"))
    node = a_node(labels={"zone": "a"})
    assert reasons(a_pod(affinity=affinity), node) == ()
    assert reasons(a_pod(affinity=affinity, nodeSelector={"disk": "ssd"}), node) == NO_MATCH


def test_no_terms_at_all_match_nothing() -> None:
    assert reasons(a_pod(affinity=required()), a_node()) == NO_MATCH


# --- ports --------------------------------------------------------------------------------------


def with_port(name: str, ip: str = "", protocol: str = "TCP", number: int = 8080) -> Object:
    pod = a_pod(name)
    port = {"containerPort": 80, "hostPort": number, "protocol": protocol, "hostIP": ip}
    pod["spec"]["containers"][0]["ports"] = [port]
    return pod


@pytest.mark.parametrize(
    ("one", "other", "is_free"),
    [
        (("",), ("",), False),
        (("10.0.0.1",), ("10.0.0.2",), True),
        (("10.0.0.1",), ("",), False),
        (("0.0.0.0",), ("10.0.0.1",), False),
        (("", "TCP"), ("", "UDP"), True),
        (("", "TCP", 8080), ("", "TCP", 8081), True),
    ],
)
def test_when_a_port_of_the_host_is_free(one: Any, other: Any, is_free: bool) -> None:
    found = reasons(with_port("new", *one), a_node(), with_port("old", *other))
    expected = ("node(s) didn't have free ports for the requested pod ports",)
    assert found == (() if is_free else expected)


def test_only_the_first_objection_is_heard() -> None:
    node = a_node(unschedulable=True, taints=[taint()], cpu="1")
    assert reasons(a_pod(cpu="2"), node) == ("node(s) were unschedulable",)
