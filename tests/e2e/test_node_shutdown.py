"""The machine goes down (SIGPWR stands for logind) and comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.test_eviction import written
from tests.support.cluster import Cluster, running_cluster
from tests.support.namespaced import Namespaced, a_script, a_web_deployment


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    config = written(tmp_path / "kubelet.yaml", shutdownGracePeriod="20s")
    with running_cluster(tmp_path / "data", "--kubelet-config", str(config)) as cluster:
        yield cluster


def ready(cluster: Cluster) -> str:
    path = '{.items[0].status.conditions[?(@.type=="Ready")].message}'
    return cluster.kubectl("get", "nodes", "-o", f"jsonpath={path}").stdout


def test_pods_end_with_grace_and_a_deployment_is_back_with_the_node(own: Cluster) -> None:
    ns = Namespaced(own, "default")
    ns.apply(
        a_script("alone", "trap 'echo good-bye; exit 0' TERM; sleep 1000 & wait"),
        a_web_deployment(replicas=1),
    )
    ns.wait("pod/alone", "condition=Ready")
    ns.rollout_done("deployment/web")
    kubelet = own.pids()["kubelet"]
    os.kill(kubelet, signal.SIGPWR)
    ns.wait("pod/alone", "jsonpath={.status.reason}=Terminated")
    status = ns.get("pod", "alone")["status"]
    assert status["phase"] == "Failed"
    assert status["message"] == "Pod was terminated in response to imminent node shutdown."
    assert "good-bye" in ns.out("logs", "alone")
    own.until(lambda: ready(own) == "node is shutting down")
    own.until(lambda: not own.sandbox_uids())
    os.kill(kubelet, signal.SIGKILL)  # the machine is off, and on again
    own.until(lambda: ready(own) == "kubelet is posting ready status")
    ns.rollout_done("deployment/web")
