"""Clusters come, go, come back and leave nothing; two of them do not meet."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, running_cluster
from tests.support.leftovers import find_leftovers
from tests.support.namespaced import Namespaced, a_sleeper, a_web_deployment


def test_down_keeps_the_data_and_up_brings_the_workloads_back(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        ns = Namespaced(cluster, "default")
        ns.apply(a_web_deployment(replicas=3))
        ns.rollout_done("deploy/web")
        uids = {pod["metadata"]["uid"] for pod in ns.items("pods")}
        cluster.podium("down")
        assert cluster.container_processes() == []
        assert (tmp_path / "podium.db").exists()
        cluster.podium("up", "-d")
        ns.cluster.until(lambda: _all_ready(ns, 3), timeout_s=60)
        assert {pod["metadata"]["uid"] for pod in ns.items("pods")} == uids
    assert find_leftovers(cluster.id, tmp_path) == []


def _all_ready(ns: Namespaced, count: int) -> bool:
    """Ready with a container that runs now: restarted since `down`."""
    statuses = [pod["status"]["containerStatuses"][0] for pod in ns.items("pods")]
    return len(statuses) == count and all(s["ready"] and s["restartCount"] == 1 for s in statuses)


def test_purge_leaves_nothing_even_after_the_supervisor_was_killed(tmp_path: Path) -> None:
    with running_cluster(tmp_path) as cluster:
        Namespaced(cluster, "default").apply(a_web_deployment(replicas=2))
        Namespaced(cluster, "default").rollout_done("deploy/web")
        for pid in [cluster.supervisor_pid(), *cluster.pids().values()]:
            os.kill(pid, signal.SIGKILL)
        cluster.podium("down", "--purge")
        assert find_leftovers(cluster.id, tmp_path) == []
        assert list(tmp_path.iterdir()) == []


def test_two_clusters_side_by_side_do_not_meet(cluster: Cluster, tmp_path: Path) -> None:
    with running_cluster(tmp_path) as other:
        here, there = Namespaced(cluster, "default"), Namespaced(other, "default")
        here.apply(a_sleeper("mine"))
        there.apply(a_sleeper("theirs"))
        here.wait("pod/mine", "condition=Ready")
        there.wait("pod/theirs", "condition=Ready")
        assert [p["metadata"]["name"] for p in there.items("pods")] == ["theirs"]
        ips = {p["status"]["podIP"] for ns in (here, there) for p in ns.items("pods")}
        assert len(ips) == len(here.items("pods")) + 1
        other.podium("down", "--purge")
        assert here.sh("mine", "echo still here") == "still here"
        here.kubectl("delete", "pod", "mine")


def test_up_twice_says_that_it_runs_already(cluster: Cluster) -> None:
    done = cluster.podium("up", "-d")
    assert done.returncode == 0
    assert "already running" in done.stdout + done.stderr


def test_status_and_kubeconfig_are_made_for_scripts(cluster: Cluster) -> None:
    status = json.loads(cluster.podium("status", "-o", "json").stdout)
    assert {c["name"] for c in status["components"]} >= {"apiserver", "controllers", "kubelet"}
    assert all(c["ready"] and Path(f"/proc/{c['pid']}").exists() for c in status["components"])
    path = Path(cluster.podium("kubeconfig").stdout.strip())
    assert path == cluster.data_dir / "admin.kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("damage", [b"this is not a database at all, not even close to one"])
def test_a_corrupt_database_is_told_and_not_touched(tmp_path: Path, damage: bytes) -> None:
    with running_cluster(tmp_path) as cluster:
        cluster.podium("down")
        database = tmp_path / "podium.db"
        for extra in tmp_path.glob("podium.db-*"):
            extra.unlink()
        database.write_bytes(damage * 100)
        done = cluster.podium("up", "-d", check=False)
        assert done.returncode == 1
        assert "podium.db" in done.stderr
        assert "not a database" in done.stderr or "corrupt" in done.stderr
        assert database.read_bytes() == damage * 100
        cluster.podium("down", "--purge")
