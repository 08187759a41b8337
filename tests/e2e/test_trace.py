"""The causal trace of a real cluster: from one apply to each process, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced

Object = dict[str, Any]

REPLICAS = 50


@pytest.fixture
def space(ns: Namespaced) -> str:
    """The name of a fresh namespace."""
    return ns.name


def a_deployment(name: str, replicas: int) -> str:
    container = {"name": "main", "image": "host", "command": ["sleep", "infinity"]}
    spec = {
        "replicas": replicas, "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
                     "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}},
    }  # fmt: skip
    return json.dumps({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                       "spec": spec})  # fmt: skip


def trace_of(cluster: Cluster, space: str, name: str) -> Object:
    path = f"/podium/v1/trace/deployments.apps/{space}/{name}"
    answer: Object = json.loads(cluster.kubectl("get", "--raw", path).stdout)
    return answer


def processes(trace: Object) -> set[str]:
    """The containers whose processes the trace tells of, each led back to the one apply."""
    parent = {span["spanId"]: span["parentId"] for span in trace["spans"]}
    first = trace["spans"][0]["spanId"]
    found = set()
    for span in trace["spans"]:
        if span["kind"] == "process":
            at = span["spanId"]
            while parent[at]:
                at = parent[at]
            assert at == first
            found.add(span["attributes"]["containerID"])
    return found


def running(cluster: Cluster, space: str, name: str) -> set[str]:
    """The containers that the API says run."""
    listed = cluster.kubectl("get", "pods", "-n", space, "-l", f"app={name}", "-o", "json").stdout
    statuses = [pod["status"].get("containerStatuses") or [] for pod in json.loads(listed)["items"]]
    return {one[0]["containerID"] for one in statuses if one and "running" in one[0]["state"]}


def wait_until_whole(cluster: Cluster, space: str, name: str, replicas: int) -> None:
    """Until all run and the trace tells of each; spans come a moment later."""
    seen: Object = {}

    def is_whole() -> bool:
        seen["running"] = running(cluster, space, name)
        seen["told"] = processes(trace_of(cluster, space, name))
        return len(seen["running"]) == replicas and seen["running"] <= seen["told"]

    try:
        cluster.until(is_whole, timeout_s=80)
    except AssertionError:
        raise AssertionError(f"{len(seen['running'])} run, not told: "
                             f"{seen['running'] - seen['told']}") from None  # fmt: skip


def test_every_process_of_fifty_replicas_leads_back_to_the_one_apply(
    cluster: Cluster, space: str
) -> None:
    cluster.podium("-n", space, "apply", "-f", "-", stdin=a_deployment("web", REPLICAS))
    wait_until_whole(cluster, space, "web", REPLICAS)
    cluster.until(lambda: trace_of(cluster, space, "web")["unfinished"] == 0)  # told in batches
    trace = trace_of(cluster, space, "web")
    assert (trace["orphans"], trace["unfinished"], trace["droppedSpans"]) == (0, 0, 0)
    assert len(trace["pods"]) == REPLICAS
    text = cluster.podium("-n", space, "trace", "deployment/web").stdout.splitlines()
    assert max(len(line) for line in text) <= 100
    assert f"{REPLICAS} of {REPLICAS} Pods Ready" in "\n".join(text)


@pytest.mark.parametrize("component", ["apiserver", "controllers", "kubelet", "launcher"])
def test_the_trace_is_whole_although_a_component_was_killed_in_the_middle(
    cluster: Cluster, space: str, component: str
) -> None:
    replicas = 8
    cluster.podium("-n", space, "apply", "-f", "-", stdin=a_deployment("web", replicas))
    cluster.until(lambda: len(running(cluster, space, "web")) > 1)
    pid = next(pid for name, pid in cluster.pids().items() if name.startswith(component))
    os.kill(pid, signal.SIGKILL)
    cluster.until(lambda: cluster.kubectl("get", "--raw", "/readyz", check=False).stdout == "ok")
    wait_until_whole(cluster, space, "web", replicas)
    assert trace_of(cluster, space, "web")["orphans"] == 0


def test_both_processes_of_a_container_whose_shim_was_killed_lead_back_to_the_apply(
    cluster: Cluster, space: str
) -> None:
    cluster.podium("-n", space, "apply", "-f", "-", stdin=a_deployment("web", 3))
    cluster.until(lambda: len(running(cluster, space, "web")) > 0)
    first = running(cluster, space, "web").pop()
    cluster.until(lambda: first in processes(trace_of(cluster, space, "web")))  # told in batches
    killed = next(pod for pod in trace_of(cluster, space, "web")["pods"]
                  if first in {one["containerID"] for one in pod["processes"]})  # fmt: skip
    os.kill(cluster.shim_pid(killed["uid"]), signal.SIGKILL)
    cluster.until(lambda: first not in running(cluster, space, "web"))
    wait_until_whole(cluster, space, "web", 3)
    trace = trace_of(cluster, space, "web")
    (pod,) = [pod for pod in trace["pods"] if pod["uid"] == killed["uid"]]
    assert [one["attempt"] for one in pod["processes"]] == [0, 1]
    assert {one["containerID"] for one in pod["processes"]} <= processes(trace)
    assert trace["orphans"] == 0


def test_the_trace_is_whole_although_the_supervisor_was_killed_in_the_middle(
    cluster: Cluster, space: str
) -> None:
    cluster.podium("-n", space, "apply", "-f", "-", stdin=a_deployment("web", 6))
    cluster.until(lambda: len(running(cluster, space, "web")) > 1)
    os.kill(cluster.supervisor_pid(), signal.SIGKILL)
    cluster.podium("up", "-d")  # nobody else would start it
    wait_until_whole(cluster, space, "web", 6)
    assert trace_of(cluster, space, "web")["orphans"] == 0


def test_a_trace_can_be_followed_while_a_rollout_goes_on(cluster: Cluster, space: str) -> None:
    cluster.podium("-n", space, "apply", "--wait", "-f", "-", stdin=a_deployment("web", 1))
    changed = a_deployment("web", 1).replace("infinity", "3600")
    cluster.podium("-n", space, "apply", "-f", "-", stdin=changed)
    argv = ("podium", "-n", space, "trace", "deployment/web", "--follow")
    lines = cluster.first_lines(argv, "  ready", timeout_s=60)[5:]
    assert len(set(lines)) == len(lines)  # each once
    told = [line[22:] for line in lines]
    steps = [f"change deployments.apps {space}/web", f"create replicasets.apps {space}/web-",
             f"create pods {space}/web-", "sandbox", "process ", "ready"]  # fmt: skip
    at = [next(n for n, line in enumerate(told) if line.startswith(step)) for step in steps]
    assert at == sorted(at)


def test_a_pods_trace_goes_up_to_the_apply_and_its_start_has_a_budget(
    cluster: Cluster, space: str
) -> None:
    cluster.podium("-n", space, "apply", "--wait", "-f", "-", stdin=a_deployment("web", 1))
    wait_until_whole(cluster, space, "web", 1)
    pod = trace_of(cluster, space, "web")["pods"][0]["name"]
    path = f"/podium/v1/trace/pods/{space}/{pod}"
    spans = json.loads(cluster.kubectl("get", "--raw", path).stdout)["spans"]
    assert [(span["kind"], span["name"]) for span in spans[:2]] == [
        ("command", "podium-apply"), ("change", f"create deployments.apps {space}/web"),
    ]  # fmt: skip
    phases = {span["name"] for span in spans if span["kind"] == "phase"}
    assert phases >= {"sandbox", "network", "volumes", "image", "create", "cgroup", "rootfs",
                      "start", "exec", "ready"}  # fmt: skip
    path = f"/podium/v1/budget/pods/{space}/{pod}"
    budget = json.loads(cluster.kubectl("get", "--raw", path).stdout)
    assert 0 < budget["countedMs"] <= budget["readyMs"]
    assert "within Kubernetes' 5 s" in cluster.podium("-n", space, "describe", "pod", pod).stdout


def test_who_asks_at_once_sees_what_has_just_been_done(cluster: Cluster, space: str) -> None:
    cluster.podium("-n", space, "apply", "--wait", "-f", "-", stdin=a_deployment("web", 1))
    shown = cluster.podium("-n", space, "trace", "deployment/web").stdout
    assert "1 of 1 Pods Ready" in shown
    assert "unfinished" not in shown


def test_scaling_up_is_a_trace_of_its_own(cluster: Cluster, space: str) -> None:
    cluster.podium("-n", space, "apply", "--wait", "-f", "-", stdin=a_deployment("web", 1))
    first = trace_of(cluster, space, "web")
    cluster.podium("-n", space, "scale", "deployment/web", "--replicas", "2")
    cluster.until(lambda: len(trace_of(cluster, space, "web")["pods"]) == 1)
    second = trace_of(cluster, space, "web")
    assert second["traceId"] != first["traceId"]
    assert [other["revision"] for other in second["otherChanges"]] == [first["revision"]]
    again = cluster.podium("-n", space, "trace", "deployment/web", "--revision",
                           str(first["revision"]), "-o", "json").stdout  # fmt: skip
    assert json.loads(again)["traceId"] == first["traceId"]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("pod/gone",), 'pods "gone" not found'),
        (("nonsense/web",), 'the server doesn\'t have a resource type "nonsense"'),
        (("configmap/kube-root-ca.crt", "--revision", "999999"), "has no change 999999"),
        (("configmap/kube-root-ca.crt", "--revision", "x"), "revision: not a number"),
    ],
)
def test_what_has_no_trace_is_refused_clearly(
    cluster: Cluster, space: str, words: tuple[str, ...], why: str
) -> None:
    about = ("get", "configmap", "kube-root-ca.crt", "-n", space)
    cluster.until(lambda: cluster.kubectl(*about, check=False).returncode == 0)
    answer = cluster.podium("-n", space, "trace", *words, check=False)
    assert answer.returncode == 1
    assert why in answer.stderr


A_CONFIGMAP = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}'


def test_all_objects_of_one_apply_are_one_trace(cluster: Cluster, space: str) -> None:
    both = f"{A_CONFIGMAP}\n---\n{a_deployment('web', 1)}"
    cluster.podium("-n", space, "apply", "--wait", "-f", "-", stdin=both)
    cluster.until(lambda: trace_of(cluster, space, "web")["unfinished"] == 0)  # told in batches
    trace = trace_of(cluster, space, "web")
    beside = [span["name"] for span in trace["spans"] if span["depth"] == 1]
    assert beside == [f"create configmaps {space}/settings", f"create deployments.apps {space}/web"]
    command = trace["spans"][0]
    assert (command["kind"], command["component"], trace["orphans"]) == ("command", "podium", 0)
    assert command["durationMs"] < trace["pods"][0]["createdMs"] + trace["pods"][0]["readyMs"]
    shown = cluster.podium("-n", space, "trace", "configmap/settings").stdout
    assert "podium apply" in shown
    assert "create deployments.apps" in shown


def test_an_apply_that_is_killed_leaves_no_orphan(
    cluster: Cluster, space: str, tmp_path: Path
) -> None:
    many = tmp_path / "many.yaml"
    many.write_text("\n---\n".join(A_CONFIGMAP.replace("settings", f"c{n}") for n in range(300)))
    argv = ("podium", "-n", space, "apply", "-f", str(many))
    applying = cluster.first_lines(argv, "configmap/c5 ")  # and then it is killed
    assert len(applying) < 300
    path = f"/podium/v1/trace/configmaps/{space}/c5"
    trace = json.loads(cluster.kubectl("get", "--raw", path).stdout)
    command = trace["spans"][0]
    assert (command["name"], command["isFinished"]) == ("podium-apply", False)
    assert (trace["orphans"], trace["unfinished"]) == (0, 1)
