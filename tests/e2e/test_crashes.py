"""kill -9 of any component: it is back within two seconds and nothing that ran has noticed."""

from __future__ import annotations

import os
import signal

import pytest

from tests.support.namespaced import Namespaced, a_sleeper, a_web_deployment

COMPONENTS = ("apiserver", "controllers", "launcher", "kubelet")


def container_ids(ns: Namespaced) -> dict[str, str]:
    """Container id by Pod uid, of the Pods that are not being deleted."""
    return {
        pod["metadata"]["uid"]: pod["status"]["containerStatuses"][0]["containerID"]
        for pod in ns.items("pods")
        if pod.get("status", {}).get("containerStatuses")
        and not pod["metadata"].get("deletionTimestamp")
    }


def kill_and_wait_until_back(ns: Namespaced, *names: str, timeout_s: float = 20) -> None:
    """Until every one of them is ready again under another pid."""
    before = ns.cluster.pids()
    for name in names:
        os.kill(before[name], signal.SIGKILL)
    ns.cluster.until(
        lambda: all(
            c["ready"] and c["pid"] != before[c["name"]]
            for c in ns.cluster.components()
            if c["name"] in names
        ),
        timeout_s=timeout_s,
    )


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_killed_component_is_back_and_no_container_was_restarted(
    ns: Namespaced, name: str
) -> None:
    ns.apply(a_web_deployment(replicas=3))
    ns.rollout_done("deploy/web")
    before = container_ids(ns)
    kill_and_wait_until_back(ns, name, timeout_s=10)  # the bench measures the two seconds
    ns.kubectl("scale", "deploy/web", "--replicas=4")
    ns.rollout_done("deploy/web")
    after = container_ids(ns)
    assert {uid: after.get(uid) for uid in before} == before


def test_a_rollout_of_20_survives_the_death_of_everything(ns: Namespaced) -> None:
    ns.apply(a_web_deployment(replicas=20))
    ns.rollout_done("deploy/web")
    ns.apply(a_sleeper("bystander"))
    ns.wait("pod/bystander", "condition=Ready")
    bystander = ns.get("pod", "bystander")["status"]["containerStatuses"][0]["containerID"]
    ns.kubectl("set", "env", "deploy/web", "VERSION=2")
    for name in COMPONENTS:
        kill_and_wait_until_back(ns, name)
    kill_and_wait_until_back(ns, *COMPONENTS)
    ns.rollout_done("deploy/web", timeout_s=150)
    ns.cluster.until(lambda: len(ns.items("pods", "-l", "app=web")) == 20, timeout_s=60)
    for pod in ns.items("pods", "-l", "app=web"):
        assert pod["spec"]["containers"][0]["env"] == [{"name": "VERSION", "value": "2"}]
        assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    status = ns.get("pod", "bystander")["status"]["containerStatuses"][0]
    assert (status["containerID"], status["restartCount"]) == (bystander, 0)
    ns.cluster.until(lambda: ns.cluster.sandbox_uids() == ns.cluster.pod_uids(), timeout_s=60)


def test_acknowledged_writes_survive_the_death_of_the_api_server(ns: Namespaced) -> None:
    written: list[str] = []
    for number in range(30):
        done = ns.kubectl("create", "configmap", f"c{number}", check=False)
        if done.returncode == 0:
            written.append(f"c{number}")
        if number == 10:
            os.kill(ns.cluster.pids()["apiserver"], signal.SIGKILL)
    ns.cluster.until(
        lambda: ns.kubectl("get", "configmaps", check=False).returncode == 0, timeout_s=20
    )
    stored = {c["metadata"]["name"] for c in ns.items("configmaps")}
    assert set(written) <= stored
    assert len(written) >= 11


def test_a_killed_shim_is_noticed_and_its_pod_runs_again(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    uid = ns.get("pod", "web")["metadata"]["uid"]
    os.kill(ns.cluster.shim_pid(uid), signal.SIGKILL)
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "echo again") == "again"
