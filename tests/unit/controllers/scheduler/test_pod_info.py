"""What a Pod asks of a node."""

from __future__ import annotations

from typing import Any

import pytest

from controllers.scheduler.pod_info import PodInfo, pod_requests
from tests.support.builders import a_pod

Object = dict[str, Any]


def container(restart: str = "", **requests: str) -> Object:
    found: Object = {"name": "c", "image": "host", "resources": {"requests": requests}}
    return found | ({"restartPolicy": restart} if restart else {})


def cpu(containers: list[Object], init: list[Object] | None = None, **more: Any) -> int:
    spec = {"containers": containers, "initContainers": init or []} | more
    return pod_requests(spec).get("cpu", 0)


def test_containers_are_added_up() -> None:
    assert cpu([container(cpu="250m"), container(cpu="0.5")]) == 750


def test_of_init_containers_the_largest_counts_if_it_is_more_than_all_containers() -> None:
    init = [container(cpu="900m"), container(cpu="100m")]
    assert cpu([container(cpu="250m")], init) == 900
    assert cpu([container(cpu="1")], init) == 1000


def test_an_init_container_that_goes_on_running_counts_beside_the_containers() -> None:
    assert cpu([container(cpu="250m")], [container("Always", cpu="100m")]) == 350


def test_an_init_container_counts_beside_those_that_run_already() -> None:
    init = [container("Always", cpu="100m"), container(cpu="500m")]
    assert cpu([container(cpu="250m")], init) == 600


def test_an_init_container_does_not_count_beside_those_that_run_later() -> None:
    init = [container(cpu="500m"), container("Always", cpu="100m")]
    assert cpu([container(cpu="250m")], init) == 500


def test_overhead_is_added() -> None:
    assert cpu([container(cpu="250m")], overhead={"cpu": "50m"}) == 300


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("memory", "64Mi", 64 * 1024 * 1024),
        ("memory", "128M", 128_000_000),
        ("cpu", "0.0001", 1),
        ("example.com/gpu", "2", 2),
        ("ephemeral-storage", "1Gi", 1024**3),
    ],
)
def test_quantities_become_integers_rounded_up(name: str, value: str, expected: int) -> None:
    spec = {"containers": [container(**{name: value})]}
    assert pod_requests(spec) == {name: expected}


def test_what_is_zero_is_not_asked_for() -> None:
    assert PodInfo.of(a_pod(cpu="0")).requests == {}


def test_for_scoring_a_container_without_requests_counts_a_little() -> None:
    info = PodInfo.of(a_pod())
    assert (info.scored_cpu_millicores, info.scored_memory_bytes) == (100, 200 * 1024 * 1024)
    assert PodInfo.of(a_pod(cpu="50m")).scored_cpu_millicores == 50


def test_only_ports_of_the_host_count() -> None:
    ports = [{"containerPort": 80}, {"containerPort": 81, "hostPort": 8081, "hostIP": "10.0.0.1"}]
    spec = a_pod()
    spec["spec"]["containers"][0]["ports"] = ports
    assert PodInfo.of(spec).ports == {("TCP", "10.0.0.1", 8081)}


@pytest.mark.parametrize(
    ("wanted", "agreed", "there", "resize", "counted"),
    [
        ("100m", "100m", "100m", "", 100),
        ("300m", "100m", "100m", "Proposed", 300),
        ("100m", "100m", "300m", "InProgress", 300),
        ("9", "100m", "200m", "Infeasible", 200),
    ],
)
def test_while_a_pod_is_resized_the_most_counts_that_it_can_come_to(
    wanted: str, agreed: str, there: str, resize: str, counted: int
) -> None:
    pod = a_pod(cpu=wanted)
    name = pod["spec"]["containers"][0]["name"]
    shown = {"allocatedResources": {"cpu": agreed}, "resources": {"requests": {"cpu": there}}}
    pod["status"] = {"resize": resize, "containerStatuses": [{"name": name} | shown]}
    assert PodInfo.of(pod).requests == {"cpu": counted}
