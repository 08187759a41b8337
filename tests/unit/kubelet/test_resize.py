"""Resizing a Pod where it runs: what is agreed, what is shown, and what is done in which order."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.cgroup_values import CgroupValues
from kubelet.configuration import KubeletConfiguration
from kubelet.hardware import Hardware
from kubelet.resize import Resizer, agreement, allocated, changed, restarts_for, shown_resources
from kubelet.runtime.protocol import ContainerConfig, ContainerStatus, Resources, SandboxConfig
from tests.support.fake_runtime import FakeRuntime
from tests.unit.kubelet.containers import a_container, a_kubelet_pod

Object = dict[str, Any]

MI = 1 << 20
VALUES = CgroupValues(Hardware(8 << 30, 0, frozenset({0, 1})), KubeletConfiguration())


def sized(cpu: str, memory: str = "64Mi", **fields: Any) -> Object:
    limits = {"cpu": cpu, "memory": memory}
    return a_container(resources={"limits": limits, "requests": dict(limits)}, **fields)


def shown_as(container: Object) -> Object:
    resources = container["resources"]
    return {"containerStatuses": [
        {"name": "main", "allocatedResources": resources["requests"], "resources": resources}
    ]}  # fmt: skip


# What is agreed


def test_what_was_agreed_is_found_in_the_status_again() -> None:
    wanted, agreed = a_kubelet_pod(sized("2")), sized("1")
    found = allocated(wanted, shown_as(agreed), {})
    assert found["spec"]["containers"][0]["resources"] == agreed["resources"]
    assert wanted["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "2"


def test_this_lifes_agreement_counts_more_than_an_older_status() -> None:
    wanted, agreed = a_kubelet_pod(sized("2")), agreement(a_kubelet_pod(sized("2")))
    assert allocated(wanted, shown_as(sized("1")), agreed) is wanted


def test_a_pod_without_a_status_is_run_as_it_was_admitted() -> None:
    pod = a_kubelet_pod(sized("2"))
    assert allocated(pod, {}, {}) is pod


def test_other_ways_to_write_an_amount_are_no_resize() -> None:
    pod = a_kubelet_pod(sized("1", "65536Ki"))
    assert allocated(pod, shown_as(sized("1000m", "64Mi")), {}) is pod


# What is shown


def test_what_the_kernel_has_is_shown_where_it_differs() -> None:
    actual = Resources(cpu_shares=256, cpu_quota_us=50_000, memory_bytes=32 * MI)
    assert shown_resources(sized("1"), actual) == {
        "limits": {"cpu": "500m", "memory": "32Mi"}, "requests": {"cpu": "250m", "memory": "64Mi"},
    }  # fmt: skip
    same = Resources(cpu_shares=1024, cpu_quota_us=100_000, memory_bytes=64 * MI)
    assert shown_resources(sized("1"), same) == sized("1")["resources"]


def test_a_limit_that_the_kernel_does_not_have_is_not_shown() -> None:
    found = shown_resources(sized("1"), Resources(cpu_shares=1024, cpu_quota_us=-1))
    assert found == {"requests": {"cpu": "1", "memory": "64Mi"}}


def test_tiny_amounts_are_shown_as_they_were_asked_for() -> None:
    tiny = Resources(cpu_shares=2, cpu_quota_us=1000, memory_bytes=64 * MI)
    assert shown_resources(sized("1m"), tiny) == sized("1m")["resources"]


# What is done


@pytest.mark.parametrize(
    ("actual", "names"),
    [
        (Resources(cpu_shares=1024, cpu_quota_us=100_000, memory_bytes=64 * MI), set()),
        (Resources(cpu_shares=1000, cpu_quota_us=100_000, memory_bytes=64 * MI), {"cpu"}),
        (Resources(cpu_shares=1024, cpu_quota_us=-1, memory_bytes=MI), {"cpu", "memory"}),
    ],
)
def test_a_change_is_one_of_cpu_or_memory(actual: Resources, names: set[str]) -> None:
    wanted = VALUES.of_container(a_kubelet_pod(sized("1")), sized("1"))
    assert changed(wanted, actual) == names


def test_only_a_change_that_the_policy_names_restarts() -> None:
    policy = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    container = sized("1", resizePolicy=policy)
    assert restarts_for(container, {"memory"})
    assert not restarts_for(container, {"cpu"})
    assert not restarts_for(sized("1"), {"cpu", "memory"})


class Running:
    """A Pod whose container runs with 1 CPU and 64 MiB."""

    def __init__(self, tmp_path: Any) -> None:
        self.runtime = FakeRuntime()
        self.pod = a_kubelet_pod(sized("1"))
        uid = self.pod["metadata"]["uid"]
        self.runtime.run_pod_sandbox(SandboxConfig(uid, "web", "kubepods"))
        values = VALUES.of_container(self.pod, self.pod["spec"]["containers"][0])
        log = str(tmp_path / "log")
        config = ContainerConfig("main", 0, ["sleep"], {}, "/", log, resources=values)
        self.id = self.runtime.create_container(uid, config)
        self.runtime.start_container(self.id)
        self.runtime.calls.clear()
        self.resizer = Resizer(self.runtime, VALUES)

    @property
    def containers(self) -> list[ContainerStatus]:
        return self.runtime.list_containers()

    def resized(self, container: Object) -> Object:
        return {**self.pod, "spec": {**self.pod["spec"], "containers": [container]}}


@pytest.fixture
def running(tmp_path: Any) -> Running:
    return Running(tmp_path)


def test_nothing_is_done_where_nothing_differs(running: Running) -> None:
    progress = running.resizer.advance(running.pod, running.containers)
    assert (progress.kills, progress.problem, running.runtime.calls) == ([], "", [])


def test_the_pod_grows_before_its_container_and_shrinks_after_it(running: Running) -> None:
    progress = running.resizer.advance(running.resized(sized("2", "32Mi")), running.containers)
    assert (progress.kills, progress.problem) == ([], "")
    assert [call for call, _ in running.runtime.calls] == ["update_sandbox_resources"] * 2
    found = running.runtime.resources_of(running.id)
    assert (found.cpu_quota_us, found.memory_bytes) == (200_000, 32 * MI)
    assert (
        running.resizer.advance(running.resized(sized("2", "32Mi")), running.containers).kills == []
    )


def test_a_memory_limit_below_what_is_used_is_not_set(running: Running) -> None:
    progress = running.resizer.advance(running.resized(sized("1", "512Ki")), running.containers)
    assert progress.problem.startswith("aborting attempt to set memory limit of container main")
    assert running.runtime.resources_of(running.id).memory_bytes == 64 * MI


def test_a_container_to_restart_is_named_and_left_as_it_is(running: Running) -> None:
    policy = [{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]
    bigger = running.resized(sized("2", resizePolicy=policy))
    progress = running.resizer.advance(bigger, running.containers)
    assert [kill.message for kill in progress.kills] == ["Container main resize requires restart"]
    assert running.runtime.resources_of(running.id).cpu_quota_us == 100_000
