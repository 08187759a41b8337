"""From a PodSpec to cgroup values, environment and privileges."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet import pod_spec
from kubelet.runtime.capabilities import NAMES

NODE = {"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.9"}]}}


def a_pod(*containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "default", "uid": "u-1", "labels": {"app": "web"}}
    return {"metadata": meta, "spec": {"containers": list(containers), **spec}}


def a_container(limits: Any = None, requests: Any = None, **more: Any) -> dict[str, Any]:
    resources = {"limits": limits or {}, "requests": requests or {}}
    return {"name": "main", "image": "host", "resources": resources, **more}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("cost: $5", "cost: $5"),
        ("$(A", "$(A"),
    ],
)
def test_references_are_expanded_and_unknown_ones_stay(text: str, expanded: str) -> None:
    assert pod_spec.expand(text, {"A": "1"}) == expanded


def test_a_cpu_limit_becomes_a_quota_and_counts_as_the_request() -> None:
    found = pod_spec.container_resources(a_container({"cpu": "500m", "memory": "64Mi"}))
    assert (found.cpu_quota_us, found.cpu_period_us) == (50_000, 100_000)
    assert found.cpu_shares == 512
    assert found.memory_bytes == 64 * 1024 * 1024


def test_a_container_that_asks_for_nothing_gets_the_least_share_and_no_limit() -> None:
    found = pod_spec.container_resources(a_container())
    assert (found.cpu_shares, found.cpu_quota_us, found.memory_bytes) == (2, None, None)


def test_a_tiny_limit_is_not_below_what_the_kernel_takes() -> None:
    assert pod_spec.container_resources(a_container({"cpu": "1m"})).cpu_quota_us == 1_000


def test_a_pod_is_limited_only_if_every_container_is() -> None:
    limited = a_container({"cpu": "1", "memory": "1Gi"})
    both = pod_spec.pod_resources(a_pod(limited, limited))
    one = pod_spec.pod_resources(a_pod(limited, a_container()))
    assert (both.cpu_quota_us, both.memory_bytes) == (200_000, 2 * 1024**3)
    assert (one.cpu_quota_us, one.memory_bytes) == (None, None)
    assert one.pids == pod_spec.DEFAULT_PIDS_LIMIT


@pytest.mark.parametrize(
    ("container", "qos", "parent"),
    [
        (a_container(), "BestEffort", "kubepods/besteffort/podu-1"),
        (a_container(requests={"cpu": "1"}), "Burstable", "kubepods/burstable/podu-1"),
        (a_container({"cpu": "1"}), "Burstable", "kubepods/burstable/podu-1"),
        (a_container({"cpu": "1", "memory": "1Gi"}), "Guaranteed", "kubepods/podu-1"),
        (
            a_container({"cpu": "1", "memory": "1Gi"}, {"cpu": "500m"}),
            "Burstable",
            "kubepods/burstable/podu-1",
        ),
    ],
)
def test_quality_of_service_decides_the_place_among_the_cgroups(
    container: dict[str, Any], qos: str, parent: str
) -> None:
    pod = a_pod(container)
    assert pod_spec.qos_class(pod) == qos
    assert pod_spec.cgroup_parent(pod) == parent


def test_best_effort_is_killed_before_burstable_before_guaranteed() -> None:
    classes = (
        a_container(),
        a_container(requests={"memory": "1Gi"}),
        a_container({"cpu": "1", "memory": "1Gi"}),
    )
    found = [pod_spec.oom_score_adj(a_pod(c), c, 4 * 1024**3) for c in classes]
    assert found == [1000, 750, -997]


def lookup(kind: str, name: str) -> dict[str, str] | None:
    objects = {("configmaps", "settings"): {"colour": "blue"}, ("secrets", "token"): {"key": "s"}}
    return objects.get((kind, name))


def environment(**container: Any) -> dict[str, str]:
    main = a_container({"cpu": "250m"}, **container)
    return pod_spec.environment(a_pod(main), main, "10.1.1.1", NODE, lookup)


def test_environment_takes_from_all_its_sources_in_order() -> None:
    env = environment(
        envFrom=[{"configMapRef": {"name": "settings"}, "prefix": "C_"}],
        env=[
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HOST", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "token", "key": "key"}}},
            {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            {"name": "URL", "value": "http://$(IP)/$(C_colour)"},
        ],
    )
    assert env == {
        "C_colour": "blue",
        "IP": "10.1.1.1",
        "HOST": "10.0.0.9",
        "APP": "web",
        "KEY": "s",
        "CPU": "1",
        "URL": "http://10.1.1.1/blue",
    }


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"configMapKeyRef": {"name": "none", "key": "k"}}, 'configmap "none" not found'),
        (
            {"secretKeyRef": {"name": "token", "key": "k"}},
            "couldn't find key k in Secret default/token",
        ),
        ({"fieldRef": {"fieldPath": "spec.nothing"}}, "unsupported fieldPath: spec.nothing"),
    ],
)
def test_what_is_missing_is_named(source: dict[str, Any], message: str) -> None:
    with pytest.raises(pod_spec.ConfigMissing, match="^" + message.replace("(", r"\(")):
        environment(env=[{"name": "X", "valueFrom": source}])


def test_what_is_optional_may_be_missing() -> None:
    source = {"configMapKeyRef": {"name": "none", "key": "k", "optional": True}}
    assert environment(env=[{"name": "X", "valueFrom": source}]) == {}
    assert environment(envFrom=[{"secretRef": {"name": "none", "optional": True}}]) == {}


def capabilities(**context: Any) -> set[str]:
    return set(pod_spec.capabilities(a_container(securityContext=context), NAMES))


def test_capabilities_are_the_default_ones_with_what_is_added_and_dropped() -> None:
    assert capabilities() == set(pod_spec.DEFAULT_CAPABILITIES)
    assert capabilities(capabilities={"drop": ["ALL"], "add": ["NET_ADMIN"]}) == {"CAP_NET_ADMIN"}
    assert "CAP_CHOWN" not in capabilities(capabilities={"drop": ["CHOWN"]})
    assert capabilities(privileged=True) == set(NAMES)


def test_the_container_has_the_last_word_on_its_user() -> None:
    pod = a_pod(a_container(), securityContext={"runAsUser": 1000, "runAsGroup": 1000})
    own = a_container(securityContext={"runAsUser": 7})
    assert pod_spec.user_of(pod, a_container(), "web") == (1000, 1000)
    assert pod_spec.user_of(pod, own, "web") == (7, 1000)
    assert pod_spec.user_of(a_pod(), a_container(), "web:staff") == ("web", "staff")
    assert pod_spec.user_of(a_pod(), a_container(), "") == (0, None)


@pytest.mark.parametrize(
    "spec",
    [
        {"hostUsers": False},
        {"shareProcessNamespace": True},
        {"runtimeClassName": "other"},
        {"volumes": [{"name": "v", "nfs": {"server": "x", "path": "/"}}]},
        {"initContainers": [{"name": "i", "restartPolicy": "Always"}]},
    ],
)
def test_what_this_version_cannot_run_is_refused_by_name(spec: dict[str, Any]) -> None:
    (refusal,) = pod_spec.refusals(a_pod(a_container(), **spec))
    assert refusal.startswith(f"spec.{next(iter(spec))}")


def test_a_common_pod_is_refused_nothing_and_probes_are_told() -> None:
    pod = a_pod(a_container(livenessProbe={"exec": {"command": ["true"]}}), hostNetwork=True)
    assert pod_spec.refusals(pod) == []
    assert pod_spec.warnings(pod) == [
        "container main: livenessProbe is not acted on in this version"
    ]
