"""PriorityClass and RuntimeClass with kubectl: what they do to a Pod, and what is refused."""

from __future__ import annotations

from typing import Any

import yaml

from tests.support.namespaced import Namespaced, a_sleeper

Object = dict[str, Any]


def a_priority_class(name: str, value: int, **fields: Any) -> Object:
    about = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    return {**about, "metadata": {"name": name}, "value": value, **fields}


def a_runtime_class(name: str, handler: str, **fields: Any) -> Object:
    about = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass"}
    return {**about, "metadata": {"name": name}, "handler": handler, **fields}


def with_spec(pod: Object, **fields: Any) -> Object:
    pod["spec"] |= fields
    return pod


def refused(ns: Namespaced, obj: Object) -> str:
    done = ns.kubectl("create", "-f", "-", stdin=yaml.safe_dump(obj), check=False)
    assert done.returncode != 0
    return done.stderr


def test_a_pod_has_the_priority_of_its_class(ns: Namespaced) -> None:
    ns.apply(a_priority_class(f"{ns.name}-high", 1000, preemptionPolicy="Never"))
    ns.apply(with_spec(a_sleeper(), priorityClassName=f"{ns.name}-high"))
    spec = ns.get("pod", "web")["spec"]
    assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
    ns.apply(with_spec(a_sleeper("vital"), priorityClassName="system-node-critical"))
    assert ns.get("pod", "vital")["spec"]["priority"] == 2_000_001_000


def test_a_priority_that_does_not_fit_its_class_is_refused(ns: Namespaced) -> None:
    missing = with_spec(a_sleeper(), priorityClassName="nobody")
    assert "no PriorityClass with name nobody was found" in refused(ns, missing)
    own = with_spec(a_sleeper(), priority=7)
    words = "the integer value of priority (7) must not be provided in pod spec; priority admission"
    assert words in refused(ns, own)


def test_only_one_class_is_the_default_and_system_names_are_the_systems(ns: Namespaced) -> None:
    default = a_priority_class(f"{ns.name}-default", 5, globalDefault=True)
    ns.apply(default)
    try:
        ns.apply(a_sleeper())
        spec = ns.get("pod", "web")["spec"]
        assert (spec["priorityClassName"], spec["priority"]) == (f"{ns.name}-default", 5)
        second = a_priority_class(f"{ns.name}-second", 6, globalDefault=True)
        assert "is already marked as default. Only one default can exist" in refused(ns, second)
    finally:
        ns.kubectl("delete", "priorityclass", f"{ns.name}-default")
    assert "reserved for system use only" in refused(ns, a_priority_class("system-mine", 5))
    high = a_priority_class(f"{ns.name}-high", 2_000_000_000)
    assert "maximum allowed value of a user defined priority is 1000000000" in refused(ns, high)


def test_a_runtime_class_adds_overhead_and_chooses_nodes(ns: Namespaced) -> None:
    name = f"{ns.name}-ours"
    ns.apply(a_runtime_class(
        name, "podium", overhead={"podFixed": {"memory": "8Mi", "cpu": "20m"}},
        scheduling={"nodeSelector": {"kubernetes.io/os": "linux"}},
    ))  # fmt: skip
    ns.apply(with_spec(a_sleeper(), runtimeClassName=name))
    ns.wait("pod/web", "condition=Ready")
    spec = ns.get("pod", "web")["spec"]
    assert spec["overhead"] == {"memory": "8Mi", "cpu": "20m"}
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    shown = ns.out("get", "runtimeclass", name, "--no-headers").split()
    assert shown[:2] == [name, "podium"]


def test_a_handler_that_this_node_lacks_keeps_the_pod_waiting(ns: Namespaced) -> None:
    ns.apply(a_runtime_class(f"{ns.name}-other", "gvisor"))
    ns.apply(with_spec(a_sleeper(), runtimeClassName=f"{ns.name}-other"))
    words = 'Failed to create pod sandbox: failed to get sandbox runtime: no runtime for "gvisor"'
    ns.cluster.until(lambda: words in ns.out("describe", "pod", "web"))
    unknown = with_spec(a_sleeper("late"), runtimeClassName="nobody")
    assert 'pod rejected: RuntimeClass "nobody" not found' in refused(ns, unknown)
