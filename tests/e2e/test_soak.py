"""Pods come and go while kubelet, launcher and shims are killed: all of it works, nothing is left.

The short form of `python -m bench.soak`, on the session's cluster.
"""

from __future__ import annotations

import os
import signal

from bench.cluster import Cluster as BenchCluster
from bench.soak import Soak
from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_script, a_sleeper


def test_waves_of_pods_under_kill_9_converge_and_leave_nothing(cluster: Cluster) -> None:
    there = BenchCluster(cluster.data_dir, cluster.port)
    with there.client() as client:
        soak = Soak(there, client, pods=10, warm_up_pods=10, settle_s=0.5)
        report = soak.run(12, seed=7)
    assert report.waves >= 2
    assert report.kills.total() >= 3
    assert report.leaks == []


def test_a_container_whose_shim_was_killed_is_reported_and_its_policy_kept(ns: Namespaced) -> None:
    ns.apply(a_sleeper("again"), a_script("never", "sleep infinity"))
    for name in ("again", "never"):
        ns.wait(f"pod/{name}", "condition=Ready")
        os.kill(ns.cluster.shim_pid(ns.get("pod", name)["metadata"]["uid"]), signal.SIGKILL)
    ns.wait("pod/again", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    ns.wait("pod/never", "jsonpath={.status.phase}=Failed")
    ended = ns.get("pod", "again")["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")
    ended = ns.get("pod", "never")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "Error")
    assert ended["finishedAt"]
    ns.cluster.until(lambda: "SandboxChanged" in ns.out("get", "events"))
