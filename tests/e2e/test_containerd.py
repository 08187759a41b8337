"""A cluster whose containers are made by Debian's containerd: `podium up --runtime containerd`."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_inspect import inspect, live
from tests.support.cluster import Cluster, ContainerCgroups, run_podium, running_cluster
from tests.support.images import busybox_image_tar
from tests.support.namespaced import Namespaced, a_script, a_sleeper, a_web_deployment


@pytest.fixture(scope="module")
def containerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    data_dir = tmp_path_factory.mktemp("containerd")
    with running_cluster(data_dir, "--runtime", "containerd") as cluster:
        yield cluster


@pytest.fixture
def here(containerd: Cluster) -> Namespaced:
    return Namespaced(containerd, "default")


def processes_of(cluster: Cluster, container: dict[str, Any]) -> list[int]:
    """The host's pids of what runs in a container; runc names its cgroup by its id."""
    name = container["containerID"].removeprefix("containerd://")
    pids = cluster.container_processes()
    return [pid for pid in pids if name in Path(f"/proc/{pid}/cgroup").read_text()]


def test_the_node_says_who_makes_its_containers(here: Namespaced) -> None:
    node = here.items("nodes")[0]
    assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://1.")


def test_a_deployment_runs_and_its_processes_are_runc_s(here: Namespaced) -> None:
    here.apply(a_web_deployment("web", replicas=2))
    here.rollout_done("deploy/web")
    pods = here.items("pods", "-l", "app=web")
    status = pods[0]["status"]
    assert status["containerStatuses"][0]["containerID"].startswith("containerd://")
    parent = here.cluster.shim_pid(pods[0]["metadata"]["uid"])
    assert "containerd-shim-runc-v2" in Path(f"/proc/{parent}/cmdline").read_text()
    assert here.sh(pods[0]["metadata"]["name"], "hostname -i") == status["podIP"]
    here.kubectl("delete", "deploy/web")


def test_limits_are_in_the_cgroup_and_the_log_can_be_read(here: Namespaced) -> None:
    limits = {"limits": {"cpu": "250m", "memory": "48Mi"}}
    here.apply(a_sleeper("limited", resources=limits))
    here.wait("pod/limited", "condition=Ready")
    status = here.get("pod", "limited")["status"]["containerStatuses"][0]
    files = ContainerCgroups(processes_of(here.cluster, status)[0])
    assert files.read("memory.limit_in_bytes", "memory.max") == str(48 << 20)
    assert "25000" in files.read("cpu.cfs_quota_us", "cpu.max")
    here.apply(a_script("speaks", "echo to out; echo to err >&2; exit 3"))
    here.wait("pod/speaks", "jsonpath={.status.phase}=Failed")
    assert sorted(here.out("logs", "speaks").splitlines()) == ["to err", "to out"]
    ended = here.get("pod", "speaks")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (3, "Error")
    here.kubectl("delete", "pod", "limited", "speaks")


def test_the_kernel_behind_it_is_shown_as_well_but_not_how_it_was_made(here: Namespaced) -> None:
    pod = a_sleeper("seen", resources={"limits": {"memory": "48Mi"}}, command=["sleep", "4567"])
    sysctl = {"name": "net.ipv4.tcp_fin_timeout", "value": "33"}
    pod["spec"]["securityContext"] = {"sysctls": [sysctl]}
    here.apply(pod)
    here.wait("pod/seen", "condition=Ready")
    found = inspect(here, "seen")
    (container,) = found["containers"]
    assert found["engine"].startswith("containerd://")
    assert [one["command"] for one in container["processes"]] == [["sleep", "4567"]]
    assert live(container, "limits.memory")[0] == str(48 << 20)
    assert live(found["pod"], "tcp_fin_timeout]") == ["33"]
    assert "eth0" in [one["name"] for one in found["pod"]["network"]["interfaces"]]
    assert container["layers"]["lower"]
    argv = ("inspect", "pod/seen", "-n", here.name, "--as-commands")
    refused = here.cluster.podium(*argv, check=False)
    assert refused.returncode == 1
    assert "was made by containerd, which does not tell what it did" in refused.stderr
    here.kubectl("delete", "pod", "seen")


def test_an_image_of_the_node_s_store_is_a_container_s_root(
    here: Namespaced, tmp_path: Path
) -> None:
    archive = busybox_image_tar(tmp_path / "busybox.tar", "busybox:1.0")
    here.cluster.podium("image", "load", str(archive))
    here.apply(a_script("boxed", "busybox | head -n 1; ls /; sleep 1000", image="busybox:1.0"))
    here.cluster.until(lambda: "BusyBox" in here.out("logs", "boxed", check=False))
    assert "BusyBox" in here.sh("boxed", "busybox")
    here.kubectl("delete", "pod", "boxed", "--grace-period=1")


def test_a_seccomp_profile_filters_what_runs(here: Namespaced) -> None:
    context = {"seccompProfile": {"type": "RuntimeDefault"}}
    here.apply(a_sleeper("filtered", securityContext=context))
    here.wait("pod/filtered", "condition=Ready")
    assert here.sh("filtered", "grep ^Seccomp: /proc/1/status").split() == ["Seccomp:", "2"]
    here.kubectl("delete", "pod", "filtered")


def test_what_containerd_cannot_do_is_said(here: Namespaced) -> None:
    pod = a_sleeper("mapped")
    pod["spec"]["hostUsers"] = False
    here.apply(pod)
    words = "containerd cannot give a Pod user namespaces"
    here.cluster.until(lambda: words in here.out("describe", "pod", "mapped"))
    here.kubectl("delete", "pod", "mapped")


def test_containers_live_on_when_kubelet_and_containerd_are_killed(here: Namespaced) -> None:
    here.apply(a_sleeper("steady"))
    here.wait("pod/steady", "condition=Ready")
    before = here.get("pod", "steady")["status"]["containerStatuses"][0]
    for name in ("kubelet", "containerd"):
        pid = here.cluster.pids()[name]
        os.kill(pid, signal.SIGKILL)
        here.cluster.until(lambda n=name, p=pid: here.cluster.pids().get(n) not in (None, p))
    here.cluster.until(
        lambda: here.kubectl("exec", "steady", "--", "true", check=False).returncode == 0
    )
    assert here.get("pod", "steady")["status"]["containerStatuses"][0] == before
    here.kubectl("delete", "pod", "steady")
    assert processes_of(here.cluster, before) == []


def test_the_engine_of_a_cluster_cannot_be_changed(containerd: Cluster) -> None:
    where = ("--data-dir", str(containerd.data_dir))
    containerd.podium("down", *where)
    refused = run_podium("up", "-d", *where, "--runtime", "podium", check=False)
    assert refused.returncode == 1
    assert "containers are made by containerd" in refused.stderr
    run_podium("up", "-d", *where)
