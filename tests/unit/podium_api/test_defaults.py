"""What is left out is filled in as Kubernetes does."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podium.api.defaults import apply_defaults
from podium.api.scheme import resource
from podium.api.strict import find_problems
from tests.support.builders import a_deployment, a_namespace, a_node, a_pod, a_replicaset

POD = resource("pods")


def with_defaults(obj: dict[str, Any], kind: str) -> dict[str, Any]:
    apply_defaults(obj, resource(kind))
    return obj


def test_a_pod_gets_its_policies() -> None:
    spec = with_defaults(a_pod(), "pods")["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["securityContext"] == {}
    assert spec["enableServiceLinks"] is True
    container = spec["containers"][0]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"
    assert container["resources"] == {}


@pytest.mark.parametrize(
    ("image", "policy"),
    [("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1.27", "IfNotPresent"),
     ("registry:5000/nginx", "Always"), ("nginx@sha256:" + "0" * 64, "IfNotPresent"),
     ("host", "IfNotPresent")],
)  # fmt: skip
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    pod = with_defaults(a_pod(image=image), "pods")
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_pod_asks_for_its_limits_and_a_template_does_not() -> None:
    limits = {"cpu": "1", "memory": "1Gi"}
    pod, deployment = a_pod(), a_deployment()
    pod["spec"]["containers"][0]["resources"] = {"limits": limits, "requests": {"cpu": "100m"}}
    template = deployment["spec"]["template"]["spec"]
    template["containers"][0]["resources"] = {"limits": limits}
    requests = with_defaults(pod, "pods")["spec"]["containers"][0]["resources"]["requests"]
    assert requests == {"cpu": "100m", "memory": "1Gi"}
    with_defaults(deployment, "deploy")
    assert template["containers"][0]["resources"] == {"limits": limits}


def test_ports_probes_references_and_volumes_are_completed() -> None:
    pod = a_pod(volumes=[{"name": "a"}, {"name": "c", "configMap": {"name": "c"}}])
    pod["spec"]["containers"][0] |= {
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
    }
    spec = with_defaults(pod, "pods")["spec"]
    container = spec["containers"][0]
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert container["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
    }  # fmt: skip
    assert spec["volumes"][0]["emptyDir"] == {}
    assert spec["volumes"][1]["configMap"]["defaultMode"] == 0o644


def test_a_deployment_rolls_by_a_quarter() -> None:
    deployment = a_deployment()
    deployment["spec"] = {k: deployment["spec"][k] for k in ("selector", "template")}
    spec = with_defaults(deployment, "deploy")["spec"]
    assert spec["replicas"] == 1
    assert spec["revisionHistoryLimit"] == 10
    assert spec["progressDeadlineSeconds"] == 600
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": rolling}
    assert spec["template"]["spec"]["restartPolicy"] == "Always"


def test_zero_is_a_value_and_not_left_out() -> None:
    deployment = with_defaults(a_deployment(replicas=0, max_surge=0), "deploy")
    assert deployment["spec"]["replicas"] == 0
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0
    pod = with_defaults(a_pod(terminationGracePeriodSeconds=0), "pods")
    assert pod["spec"]["terminationGracePeriodSeconds"] == 0


def test_a_recreate_strategy_has_no_rolling_update() -> None:
    deployment = with_defaults(a_deployment(strategy={"type": "Recreate"}), "deploy")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_a_secrets_string_data_becomes_data() -> None:
    secret = {"metadata": {"name": "s"}, "data": {"a": "eA=="}, "stringData": {"a": "y", "b": "ü"}}
    found = with_defaults(secret, "secrets")
    assert found["data"] == {"a": "eQ==", "b": "w7w="}
    assert "stringData" not in found
    assert found["type"] == "Opaque"


def test_a_namespace_is_labelled_with_its_name() -> None:
    found = with_defaults({"metadata": {"name": "lab"}}, "namespaces")
    assert found["metadata"]["labels"] == {"kubernetes.io/metadata.name": "lab"}
    assert found["spec"]["finalizers"] == ["kubernetes"]


@pytest.mark.parametrize(
    ("obj", "kind"),
    [(a_pod(ready=True), "Pod"), (a_deployment(), "Deployment"), (a_replicaset(), "ReplicaSet"),
     (a_node(), "Node"), (a_namespace(), "Namespace")],
)  # fmt: skip
def test_defaulting_twice_changes_nothing_and_leaves_a_good_object(
    obj: dict[str, Any], kind: str
) -> None:
    once = with_defaults(obj, kind)
    assert find_problems(once, kind) == []
    apply_defaults(once, resource(kind))
    twice = copy.deepcopy(once)
    assert with_defaults(twice, kind) == once
