"""A Pod is refused for what Kubernetes refuses it for, with every cause."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.validation import validate_create, validate_update
from podium.api.defaults import apply_defaults
from podium.api.scheme import resource
from tests.support.builders import a_pod

PODS = resource("pods")


def causes(container: dict[str, Any] | None = None, **spec: Any) -> list[str]:
    """Of a Pod with these fields in its spec and in its container."""
    pod = a_pod(**spec)
    if container and pod["spec"]["containers"]:
        pod["spec"]["containers"][0] |= container
    apply_defaults(pod, PODS)
    return [str(cause) for cause in validate_create(PODS, pod)]


def test_a_good_pod_has_no_causes() -> None:
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "h", "hostPath": {"path": "/x"}}]
    container = {
        "ports": [{"containerPort": 80, "name": "http"}],
        "env": [{"name": "A", "value": "b"},
                {"name": "L", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}}],
        "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "a/b"}],
        "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}},
        "readinessProbe": {"httpGet": {"port": "http"}},
        "livenessProbe": {"exec": {"command": ["true"]}},
    }  # fmt: skip
    assert causes(container, volumes=volumes, tolerations=[{"operator": "Exists"}]) == []


def test_containers_are_required() -> None:
    assert causes(containers=[]) == ["spec.containers: Required value"]


def test_every_wrong_thing_of_a_container_is_a_cause() -> None:
    found = causes({"name": "Main", "image": "", "ports": [{"containerPort": 70000}]})
    assert [f.partition(": ")[0] for f in found] == [
        "spec.containers[0].name",
        "spec.containers[0].image",
        "spec.containers[0].ports[0].containerPort",
    ]
    assert found[1].endswith(": Required value")
    assert found[2].endswith("Invalid value: 70000: must be between 1 and 65535, inclusive")


def test_names_of_containers_are_unique_among_all_of_them() -> None:
    main = {"name": "main", "image": "a"}
    assert causes(initContainers=[main]) == ['spec.initContainers[0].name: Duplicate value: "main"']


@pytest.mark.parametrize(
    ("container", "cause"),
    [
        (
            {"image": " a"},
            'image: Invalid value: " a": must not have leading or trailing whitespace',
        ),
        (
            {"imagePullPolicy": "Sometimes"},
            'imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", '
            '"IfNotPresent", "Never"',
        ),
        ({"ports": [{}]}, "ports[0].containerPort: Required value"),
        (
            {"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
            'ports[1].name: Duplicate value: "a"',
        ),
        (
            {"ports": [{"containerPort": 1, "protocol": "tcp"}]},
            'ports[0].protocol: Unsupported value: "tcp": supported values: "SCTP", "TCP", "UDP"',
        ),
        (
            {"env": [{"name": "A=B"}]},
            'env[0].name: Invalid value: "A=B": a valid environment variable name must consist '
            "only of printable ASCII characters other than '='",
        ),
        ({"env": [{"value": "x"}]}, "env[0].name: Required value"),
        (
            {"env": [{"name": "A", "valueFrom": {}}]},
            'env[0].valueFrom: Invalid value: "": must specify one of: `fieldRef`, '
            "`resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]},
            'env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.foo": error converting '
            "fieldPath: field label not supported: spec.foo",
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]},
            "env[0].valueFrom.secretKeyRef.key: Required value",
        ),
        (
            {"volumeMounts": [{"name": "gone", "mountPath": "/x"}]},
            'volumeMounts[0].name: Not found: "gone"',
        ),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            'resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
        ),
        (
            {"resources": {"requests": {"cpu": "-1"}}},
            'resources.requests[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        ),
        (
            {"resources": {"requests": {"hugepages-2Mi": "2Mi", "cpu": "1"}}},
            "resources.limits: Required value: Limit must be set for non overcommitable resources",
        ),
        (
            {"resources": {"limits": {"hugepages-2Mi": "2Mi"}}},
            "resources: Forbidden: HugePages require cpu or memory",
        ),
        (
            {
                "resources": {
                    "limits": {"example.com/gpu": "2"},
                    "requests": {"example.com/gpu": "1"},
                }
            },
            'resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2',
        ),
        ({"livenessProbe": {}}, "livenessProbe: Required value: must specify a handler type"),
        (
            {"livenessProbe": {"exec": {"command": ["x"]}, "tcpSocket": {"port": 1}}},
            "livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (
            {"livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}},
            "livenessProbe.successThreshold: Invalid value: 2: must be 1",
        ),
        (
            {"lifecycle": {"preStop": {"exec": {}}}},
            "lifecycle.preStop.exec.command: Required value",
        ),
    ],
)
def test_a_wrong_container_is_told_what_is_wrong(container: dict[str, Any], cause: str) -> None:
    assert causes(container) == [f"spec.containers[0].{cause}"]


@pytest.mark.parametrize(
    ("volume", "cause"),
    [
        ({}, "spec.volumes[0].name: Required value"),
        (
            {"name": "v", "emptyDir": {}, "hostPath": {"path": "/x"}},
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
        ),
        ({"name": "v", "hostPath": {}}, "spec.volumes[0].hostPath.path: Required value"),
        (
            {"name": "v", "hostPath": {"path": "/a/../b"}},
            "spec.volumes[0].hostPath.path: Invalid value: \"/a/../b\": must not contain '..'",
        ),
        ({"name": "v", "configMap": {}}, "spec.volumes[0].configMap.name: Required value"),
        ({"name": "v", "secret": {}}, "spec.volumes[0].secret.secretName: Required value"),
        (
            {"name": "v", "configMap": {"name": "c", "defaultMode": 512}},
            "spec.volumes[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 "
            "and 0777 (octal), both inclusive",
        ),
        (
            {"name": "v", "secret": {"secretName": "s", "items": [{"key": "a", "path": "/x"}]}},
            'spec.volumes[0].secret.items[0].path: Invalid value: "/x": must be a relative path',
        ),
    ],
)
def test_a_wrong_volume_is_told_what_is_wrong(volume: dict[str, Any], cause: str) -> None:
    assert causes(volumes=[volume]) == [cause]


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        (
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", '
            '"OnFailure", "Never"',
        ),
        (
            {"activeDeadlineSeconds": 0},
            "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
            "inclusive",
        ),
        (
            {"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]},
            'spec.tolerations[0].operator: Invalid value: "b": value must be empty when '
            "`operator` is 'Exists'",
        ),
        (
            {"nodeSelector": {"a": "b c"}},
            'spec.nodeSelector: Invalid value: "b c": a valid label must be',
        ),
    ],
)
def test_a_wrong_spec_is_told_what_is_wrong(spec: dict[str, Any], cause: str) -> None:
    (found,) = causes(**spec)
    assert found.startswith(cause)


def test_two_containers_may_not_take_one_host_port() -> None:
    ports = [{"containerPort": 80, "hostPort": 8080}]
    both = [{"name": n, "image": "a", "ports": copy.deepcopy(ports)} for n in ("a", "b")]
    assert causes(containers=both) == [
        'spec.containers[1].ports[0].hostPort: Duplicate value: "TCP//8080"'
    ]


# ---- updates ------------------------------------------------------------------------------------


def updated(change: Any) -> list[str]:
    old = a_pod()
    apply_defaults(old, PODS)
    new = copy.deepcopy(old)
    change(new["spec"])
    return [str(cause) for cause in validate_update(PODS, new, old)]


def test_a_pods_image_deadline_and_more_tolerations_may_change() -> None:
    def change(spec: dict[str, Any]) -> None:
        spec["containers"][0]["image"] = "other"
        spec["activeDeadlineSeconds"] = 5
        spec["tolerations"] = [{"operator": "Exists"}]

    assert updated(change) == []


def test_nothing_else_of_a_pod_may_change_and_the_difference_is_shown() -> None:
    (cause,) = updated(lambda spec: spec["containers"][0].update(command=["false"]))
    assert cause.startswith(
        "spec: Forbidden: pod updates may not change fields other than "
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
        "`spec.tolerations` (only additions to existing tolerations),"
    )
    assert "false" in cause


def test_a_pods_containers_may_not_be_added_or_removed() -> None:
    (cause,) = updated(lambda spec: spec["containers"].append({"name": "b", "image": "b"}))
    assert cause == "spec.containers: Forbidden: pod updates may not add or remove containers"


def test_an_empty_list_is_no_change() -> None:
    assert updated(lambda spec: spec.update(volumes=[], nodeSelector={})) == []


@pytest.mark.parametrize(
    ("name", "amount", "why"),
    [
        ("hugepages-2Mi", "3Mi", "3Mi is not positive integer multiple of hugepages-2Mi"),
        ("example.com/gpu", "500m", "must be an integer"),
    ],
)
def test_what_comes_only_in_pieces_is_asked_for_in_pieces(name: str, amount: str, why: str) -> None:
    found = causes({"resources": {"limits": {name: amount, "cpu": "1"}}})
    about = "spec.containers[0].resources"
    problem = f'[{name}]: Invalid value: "{amount}": {why}'
    assert found == [f"{about}.limits{problem}", f"{about}.requests{problem}"]


def annotated(**annotations: str) -> dict[str, Any]:
    pod = a_pod()
    pod["metadata"]["annotations"] = annotations
    apply_defaults(pod, PODS)
    return pod


def test_an_annotation_that_asks_for_resources_must_make_sense() -> None:
    pod = annotated(**{"io.podium.dev/read-bps": "fast", "example.com/x": "y"})
    assert [str(cause) for cause in validate_create(PODS, pod)] == [
        'metadata.annotations[io.podium.dev/read-bps]: Invalid value: "fast": must be a quantity '
        "such as 10Mi"
    ]


def test_an_annotation_that_asks_for_resources_stays_as_it_was() -> None:
    old = annotated(**{"cpuset.podium.dev/main": "0", "example.com/x": "y"})
    new = copy.deepcopy(old)
    new["metadata"]["annotations"] = {"cpuset.podium.dev/main": "1", "example.com/x": "z"}
    assert [str(cause) for cause in validate_update(PODS, new, old)] == [
        "metadata.annotations[cpuset.podium.dev/main]: Forbidden: may not be changed after the pod "
        "was created"
    ]


@pytest.mark.parametrize(
    ("policy", "cause"),
    [
        ({"resourceName": "disk", "restartPolicy": "NotRequired"},
         'Unsupported value: "disk": supported values: "cpu", "memory"'),
        ({"resourceName": "cpu", "restartPolicy": "Perhaps"},
         'Unsupported value: "Perhaps": supported values: "NotRequired", "RestartContainer"'),
    ],
)  # fmt: skip
def test_a_resize_policy_is_one_of_two_for_cpu_or_memory(
    policy: dict[str, str], cause: str
) -> None:
    assert causes({"resizePolicy": [policy]}) == [f"spec.containers[0].resizePolicy: {cause}"]


def test_what_never_restarts_cannot_be_restarted_for_a_resize() -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    assert causes({"resizePolicy": policy}, restartPolicy="Never") == [
        'spec.containers[0].resizePolicy: Invalid value: "RestartContainer": must be '
        "'NotRequired' when `restartPolicy` is 'Never'"
    ]
