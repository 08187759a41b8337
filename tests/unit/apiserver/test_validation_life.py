"""Probes, hooks, sidecars and ephemeral containers, in Kubernetes' words."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from apiserver.validation import validate_create, validate_ephemeral_update
from podium.api import scheme
from podium.api.defaults import apply_defaults
from tests.support.builders import a_pod

Object = dict[str, Any]
PODS = scheme.resource("pods")
EXEC = {"exec": {"command": ["true"]}}


def causes(container: Object, **spec: Any) -> list[str]:
    pod = a_pod(**spec)
    pod["spec"]["containers"][0] |= container
    apply_defaults(pod, PODS)
    at = "spec.containers[0]."
    return [str(cause).removeprefix(at) for cause in validate_create(PODS, pod)]


@pytest.mark.parametrize(
    ("probe", "cause"),
    [
        ({}, "Required value: must specify a handler type"),
        ({"exec": {}}, ".exec.command: Required value"),
        ({"tcpSocket": {"port": 0}}, ".tcpSocket.port: Invalid value: 0: must be between 1 and"),
        (
            {"grpc": {"port": 70000}},
            ".grpc.port: Invalid value: 70000: must be between 1 and 65535",
        ),
        ({"httpGet": {"port": "a_b"}}, '.httpGet.port: Invalid value: "a_b": must contain only'),
        (
            {"httpGet": {"port": 80, "scheme": "FTP"}},
            '.httpGet.scheme: Unsupported value: "FTP": supported values: "HTTP", "HTTPS"',
        ),
        (
            {"httpGet": {"port": 80, "httpHeaders": [{"name": "a b", "value": ""}]}},
            '.httpGet.httpHeaders: Invalid value: "a b": a valid HTTP header must consist of',
        ),
        (
            EXEC | {"tcpSocket": {"port": 80}},
            ".tcpSocket: Forbidden: may not specify more than 1 handler type",
        ),
        (EXEC | {"periodSeconds": -1}, ".periodSeconds: Invalid value: -1: must be greater than"),
        (EXEC | {"successThreshold": 2}, ".successThreshold: Invalid value: 2: must be 1"),
        (
            EXEC | {"terminationGracePeriodSeconds": 0},
            ".terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
        ),
    ],
)
def test_a_liveness_probe_is_told_what_is_wrong(probe: Object, cause: str) -> None:
    (found,) = causes({"livenessProbe": probe})
    assert found.startswith(f"livenessProbe{'' if cause.startswith('.') else ': '}{cause}")


def test_a_readiness_probe_may_want_several_successes_but_no_grace_period() -> None:
    probe = EXEC | {"successThreshold": 3, "terminationGracePeriodSeconds": 5}
    assert causes({"readinessProbe": probe}) == [
        "readinessProbe.terminationGracePeriodSeconds: Invalid value: 5: must not be set for "
        "readinessProbes"
    ]


@pytest.mark.parametrize("seconds", [0, 31])
def test_a_hook_sleeps_within_the_grace_period(seconds: int) -> None:
    (found,) = causes({"lifecycle": {"preStop": {"sleep": {"seconds": seconds}}}})
    assert found.startswith(
        f"lifecycle.preStop.sleep: Invalid value: {seconds}: must be greater than 0 and less than "
        "terminationGracePeriodSeconds (30)."
    )
    assert causes({"lifecycle": {"preStop": {"sleep": {"seconds": 30}}}}) == []


def test_only_sidecars_among_init_containers_live_long_enough_for_probes() -> None:
    init = {"name": "i", "image": "a", "livenessProbe": EXEC, "lifecycle": {"preStop": EXEC}}
    why = "Forbidden: may not be set for init containers without restartPolicy=Always"
    assert causes({}, initContainers=[copy.deepcopy(init)]) == [
        f"spec.initContainers[0].{field}: {why}" for field in ("lifecycle", "livenessProbe")
    ]
    assert causes({}, initContainers=[init | {"restartPolicy": "Always"}]) == []


@pytest.mark.parametrize(
    ("field", "cause"),
    [
        ({"resource": "limits.gpu"}, '.resource: Unsupported value: "limits.gpu"'),
        (
            {"resource": "limits.cpu", "divisor": "1Mi"},
            '.divisor: Invalid value: "cpu": only divisor\'s values 1m and 1 are supported with',
        ),
        (
            {"resource": "requests.memory", "divisor": "1m"},
            '.divisor: Invalid value: "memory": only divisor\'s values 1, 1k, 1M, 1G, 1T, 1P, 1E,',
        ),
    ],
)
def test_a_container_is_told_only_what_there_is_and_in_units_of_it(
    field: Object, cause: str
) -> None:
    (found,) = causes({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": field}}]})
    assert found.startswith(f"env[0].valueFrom.resourceFieldRef{cause}")


def test_a_readiness_gate_is_named_like_a_label() -> None:
    (found,) = causes({}, readinessGates=[{"conditionType": "a b"}])
    assert found.startswith('spec.readinessGates[0].conditionType: Invalid value: "a b": ')


# ---- ephemeral containers -----------------------------------------------------------------------


def adding(*containers: Object, old: tuple[Object, ...] = (), **metadata: Any) -> list[str]:
    pod = a_pod()
    pod["metadata"] |= metadata
    pod["spec"]["ephemeralContainers"] = [dict(c) for c in old]
    apply_defaults(pod, PODS)
    new = copy.deepcopy(pod)
    new["spec"]["ephemeralContainers"] = [dict(c) for c in containers]
    apply_defaults(new, PODS)
    return [str(cause) for cause in validate_ephemeral_update(PODS, new, pod)]


DEBUG = {"name": "debug", "image": "busybox"}


def test_an_ephemeral_container_may_be_added_and_look_at_another() -> None:
    name = a_pod()["spec"]["containers"][0]["name"]
    assert adding(DEBUG | {"targetContainerName": name, "stdin": True, "tty": True}) == []


@pytest.mark.parametrize(
    ("fields", "cause"),
    [
        ({"targetContainerName": "x"}, '.targetContainerName: Not found: "x"'),
        ({"livenessProbe": EXEC}, ".livenessProbe: Forbidden: cannot be set for an Ephemeral"),
        ({"ports": [{"containerPort": 1}]}, ".ports: Forbidden: cannot be set for an Ephemeral"),
        ({"resources": {"limits": {"cpu": 1}}}, ".resources: Forbidden: cannot be set for an"),
        ({"restartPolicy": "Always"}, ".restartPolicy: Forbidden: cannot be set for an Ephemeral"),
        ({"name": "a_b"}, '.name: Invalid value: "a_b"'),
    ],
)
def test_an_ephemeral_container_is_no_part_of_the_workload(fields: Object, cause: str) -> None:
    (found,) = adding(DEBUG | fields)
    assert found.startswith(f"spec.ephemeralContainers[0]{cause}")


def test_an_ephemeral_container_needs_a_name_that_nobody_has() -> None:
    name = a_pod()["spec"]["containers"][0]["name"]
    assert adding(DEBUG | {"name": name}) == [
        f'spec.ephemeralContainers[0].name: Duplicate value: "{name}"'
    ]


def test_ephemeral_containers_stay_as_they_were_added() -> None:
    at = 'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be'
    assert adding(old=(DEBUG,)) == [f"{at} removed\n"]
    assert adding(DEBUG | {"image": "b"}, old=(DEBUG,)) == [f"{at} changed\n"]


def test_a_static_pod_takes_no_ephemeral_containers() -> None:
    mirror = {"annotations": {"kubernetes.io/config.mirror": "x"}}
    assert adding(DEBUG, **mirror) == [
        ": Forbidden: static pods do not support ephemeral containers"
    ]
