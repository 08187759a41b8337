"""Faults in a whole cluster: what goes wrong, and what does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from podium.cli import processes
from tests.support.cluster import Cluster, running_cluster


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("lab"), "--lab") as cluster:
        yield cluster
        cluster.podium("fault", "undo", "--all", check=False)


def pid_of(cluster: Cluster, name: str) -> int:
    found = processes.read_components(cluster.data_dir)
    return next(one.pid for one in found if one.name == name)


def is_ready(cluster: Cluster, value: str) -> bool:
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    return cluster.kubectl("get", "node", cluster.nodes[0], "-o", path).stdout == value


def test_without_lab_a_fault_is_refused(cluster: Cluster) -> None:
    done = cluster.podium("fault", "kill", "kubelet", check=False)
    assert done.returncode == 1
    assert "faults are for a cluster that was started with podium up --lab" in done.stderr


@pytest.mark.parametrize("component", ["kubelet", "controllers", "apiserver"])
def test_a_component_is_killed_and_comes_back(lab: Cluster, component: str) -> None:
    before = pid_of(lab, component)
    told = lab.podium("fault", "kill", component).stdout
    assert f"killed {component} (pid {before})" in told
    lab.until(lambda: pid_of(lab, component) not in (0, before))
    lab.until(lambda: is_ready(lab, "True"))


def test_what_cannot_be_killed_is_told(lab: Cluster) -> None:
    done = lab.podium("fault", "kill", "kublet", check=False)
    assert done.returncode == 1
    assert 'component "kublet" does not run; there are apiserver, controllers' in done.stderr


def test_a_node_that_is_cut_off_keeps_its_pods_running(lab: Cluster) -> None:
    lab.kubectl("run", "web", "--image=host", "--command", "--", "sleep", "infinity")
    lab.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    done = lab.podium("fault", "cut-off", lab.nodes[0], "--for", "10m")
    assert "podium fault undo cut-off-" in done.stdout
    logs = lab.kubectl("logs", "web", check=False)
    assert "is cut off by a fault" in logs.stderr
    lab.kubectl("run", "later", "--image=host", "--command", "--", "sleep", "infinity")
    table = lab.podium("fault", "list").stdout
    assert "CutOff" in table
    assert "Active" in table
    lab.podium("fault", "undo", "--all")
    lab.kubectl("wait", "--for=condition=Ready", "pod/later", "pod/web", "--timeout=60s")
    path = "jsonpath={.status.containerStatuses[0].restartCount}"
    assert lab.kubectl("get", "pod", "web", "-o", path).stdout == "0"
