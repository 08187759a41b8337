"""Deployments and ReplicaSets are refused in Kubernetes' words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.validation import validate_create, validate_scale, validate_update
from podium.api.defaults import apply_defaults
from podium.api.scheme import resource
from tests.support.builders import a_deployment, a_replicaset, a_template

DEPLOYMENTS, REPLICASETS = resource("deploy"), resource("rs")


def causes(**fields: Any) -> list[str]:
    deployment = a_deployment(**fields)
    apply_defaults(deployment, DEPLOYMENTS)
    return [str(cause) for cause in validate_create(DEPLOYMENTS, deployment)]


def test_a_good_deployment_and_replicaset_have_no_causes() -> None:
    assert causes() == []
    replicaset = a_replicaset()
    apply_defaults(replicaset, REPLICASETS)
    assert validate_create(REPLICASETS, replicaset) == []


def test_a_selector_must_match_the_template() -> None:
    assert causes(template=a_template({"app": "other"})) == [
        'spec.template.metadata.labels: Invalid value: map[string]string{"app":"other"}: '
        "`selector` does not match template `labels`"
    ]


def test_a_selector_is_required() -> None:
    deployment = a_deployment()
    del deployment["spec"]["selector"]
    apply_defaults(deployment, DEPLOYMENTS)
    found = [str(cause) for cause in validate_create(DEPLOYMENTS, deployment)]
    assert found[0] == "spec.selector: Required value"
    assert found[1].endswith("`selector` does not match template `labels`")


def test_an_empty_selector_is_refused() -> None:
    (found,) = causes(selector={})
    assert found == (
        "spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string(nil), "
        "MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: empty selector is invalid for "
        "deployment"
    )


def test_a_wrong_expression_is_told_what_is_wrong() -> None:
    expression = {"key": "app", "operator": "In"}
    found = causes(selector={"matchLabels": {"app": "web"}, "matchExpressions": [expression]})
    assert found[0] == (
        "spec.selector.matchExpressions[0].values: Required value: must be specified when "
        "`operator` is 'In' or 'NotIn'"
    )


def test_replicas_are_not_negative() -> None:
    assert causes(replicas=-1) == [
        "spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    ]
    (cause,) = validate_scale({"spec": {"replicas": -3}})
    assert str(cause) == "spec.replicas: Invalid value: -3: must be greater than or equal to 0"


def test_pods_of_a_workload_are_always_restarted() -> None:
    assert causes(template=a_template(restartPolicy="Never")) == [
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'
    ]


def test_a_template_is_judged_like_a_pod() -> None:
    assert causes(template=a_template(containers=[])) == [
        "spec.template.spec.containers: Required value"
    ]


def test_a_template_that_is_missing_has_no_containers() -> None:
    deployment = a_deployment()
    del deployment["spec"]["template"]
    apply_defaults(deployment, DEPLOYMENTS)
    found = [c.field for c in validate_create(DEPLOYMENTS, deployment)]
    assert found == ["spec.template.metadata.labels", "spec.template.spec.containers"]


@pytest.mark.parametrize(
    ("rolling", "cause"),
    [
        (
            {"max_surge": 0, "max_unavailable": 0},
            'maxUnavailable: Invalid value: intstr.IntOrString{Type:0, IntVal:0, StrVal:""}: '
            "may not be 0 when `maxSurge` is 0",
        ),
        (
            {"max_unavailable": "101%"},
            'maxUnavailable: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"101%"}: '
            "must not be greater than 100%",
        ),
        (
            {"max_surge": "half"},
            'maxSurge: Invalid value: intstr.IntOrString{Type:1, IntVal:0, StrVal:"half"}: a valid '
            "percent string must be a numeric string followed by an ending '%'",
        ),
        ({"max_surge": -1}, "maxSurge: Invalid value: -1: must be greater than or equal to 0"),
    ],
)
def test_a_wrong_rolling_update_is_told_what_is_wrong(rolling: dict[str, Any], cause: str) -> None:
    (found,) = causes(**rolling)
    assert found.startswith(f"spec.strategy.rollingUpdate.{cause}")


def test_a_strategy_is_one_of_two() -> None:
    found = causes(strategy={"type": "BlueGreen"})
    assert found[0].endswith('supported values: "Recreate", "RollingUpdate"')
    both = {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}
    assert causes(strategy=both) == [
        "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is "
        "'Recreate'"
    ]


def test_a_deadline_is_later_than_ready() -> None:
    assert causes(progressDeadlineSeconds=5, minReadySeconds=5) == [
        "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds"
    ]


def test_a_selector_never_changes() -> None:
    old = a_deployment()
    apply_defaults(old, DEPLOYMENTS)
    new = copy.deepcopy(old)
    new["spec"]["selector"]["matchLabels"] = {"app": "other"}
    new["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    (cause,) = validate_update(DEPLOYMENTS, new, old)
    assert str(cause) == (
        'spec.selector: Invalid value: v1.LabelSelector{MatchLabels:map[string]string{"app":'
        '"other"}, MatchExpressions:[]v1.LabelSelectorRequirement(nil)}: field is immutable'
    )
