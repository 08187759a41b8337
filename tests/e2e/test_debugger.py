"""Loops stopped at breakpoints, with podium and with kubectl."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from podium.cli import processes
from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced


@pytest.fixture
def debug(cluster: Cluster) -> Iterator[Cluster]:
    yield cluster
    if json.loads(cluster.podium("debug", "list", "-o", "json").stdout)["items"]:
        cluster.podium("debug", "rm", "--all")


def shown(cluster: Cluster, name: str, until: str) -> str:
    """What `podium debug show` prints, once it tells of that."""

    def look() -> str:
        text = cluster.podium("debug", "show", name).stdout
        return text if until in text else ""

    return cluster.until(look)


def a_deployment(ns: Namespaced, name: str = "web") -> None:
    ns.kubectl("create", "deployment", name, "--image=host", "--", "sleep", "infinity")


def test_a_rollout_is_walked_through_step_by_step(ns: Namespaced, debug: Cluster) -> None:
    set_ = debug.podium("-n", ns.name, "debug", "break", "deployment", "web", "--name", "roll")
    assert f"deployment stops at {ns.name}/web before it writes" in set_.stdout
    assert 'there is no deployment "web" yet' in set_.stderr
    a_deployment(ns)
    text = shown(debug, "roll", "next: create replicasets.apps")
    assert f"deployment is stopped at Deployment {ns.name}/web" in text
    assert max(map(len, text.splitlines())) <= 100
    stepped = debug.podium("debug", "step").stdout
    assert f"{ns.name}/web: step done" in stepped
    assert "written:\n    create replicasets.apps" in stepped
    assert "next: patch deployments.apps/status" in stepped
    table = debug.kubectl("get", "breakpoints").stdout.split("\n")
    assert table[0].split()[:4] == ["NAME", "CONTROLLER", "SELECTOR", "PHASE"]
    assert table[1].split()[:4] == ["roll", "deployment", f"{ns.name}/web", "Stopped"]
    assert "continue done" in debug.podium("debug", "continue", "roll", f"{ns.name}/web").stdout
    debug.podium("debug", "rm", "roll")
    ns.kubectl("rollout", "status", "deployment/web", "--timeout=60s")


def test_kubectl_alone_can_debug(ns: Namespaced, debug: Cluster) -> None:
    spec = {"controller": "scheduler", "selector": {"namespace": ns.name}}
    found = {"apiVersion": "debug.podium.dev/v1", "kind": "Breakpoint",
             "metadata": {"name": "placing"}, "spec": spec}  # fmt: skip
    debug.kubectl("apply", "-f", "-", stdin=json.dumps(found))
    ns.kubectl("run", "web", "--image=host", "--command", "--", "sleep", "infinity")
    debug.kubectl("wait", "--for=jsonpath={.status.phase}=Stopped", "bp/placing", "--timeout=30s")
    write = "{.status.stopped[0].plannedWrites[0].changes[?(@.path=='spec.nodeName')].to}"
    path = f"jsonpath={write}"
    assert debug.kubectl("get", "bp", "placing", "-o", path).stdout == debug.nodes[0]
    action = json.dumps({"spec": {"action": {"type": "Continue"}}})
    for _ in range(2):  # the same patch, each time a new action
        debug.kubectl("patch", "bp", "placing", "--type=merge", "-p", action)
    ns.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
    assert "maxStopSeconds" in debug.kubectl("explain", "breakpoint.spec").stdout


def pid_of(cluster: Cluster, name: str) -> int:
    found = processes.read_components(cluster.data_dir)
    return next(one.pid for one in found if one.name == name)


def test_a_kubelet_is_stopped_and_killed_between_two_steps(ns: Namespaced, debug: Cluster) -> None:
    node = debug.nodes[0]
    debug.podium(
        "-n", ns.name, "debug", "break", f"kubelet/{node}", "web", "--name", "node", "--once",
        "--if", 'write.verb == "createContainer"',
    )  # fmt: skip
    ns.kubectl("run", "web", "--image=host", "--command", "--", "sleep", "infinity")
    text = shown(debug, "node", "next: createContainer runtime web")
    assert "sandbox: none" in text
    assert "runPodSandbox runtime web: done" in text
    before = pid_of(debug, "kubelet")
    assert "crash done" in debug.podium("debug", "inject", "crash", "node").stdout
    debug.until(lambda: pid_of(debug, "kubelet") not in (0, before))
    ns.kubectl("wait", "--for=condition=Ready", "pod/web", "--timeout=60s")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("break", "deploymnt"), 'Unsupported value: "deploymnt": supported values: "deployment"'),
        (("break", "kubelet/nowhere"), 'spec.controller: Not found: "kubelet/nowhere"'),
        (("break", "deployment", "--if", "1 +"), "spec.condition: Invalid value"),
        (("break", "deployment", "--max-stop", "soon"), 'cannot read "soon"'),
        (("step",), "nothing is stopped at any breakpoint"),
        (("step", "nothing"), 'breakpoints.debug.podium.dev "nothing" not found'),
        (("rm",), "name breakpoints, or say --all"),
        (("inject", "chaos"), "'chaos' is not one of"),
    ],
)
def test_what_names_nothing_is_told(debug: Cluster, args: tuple[str, ...], words: str) -> None:
    done = debug.podium("debug", *args, check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_an_action_at_a_key_that_is_not_stopped_is_told(debug: Cluster) -> None:
    debug.podium("debug", "break", "namespace", "--name", "idle")
    done = debug.podium("debug", "step", "idle", "nothing", check=False)
    assert done.returncode == 1
    assert "NotStopped: nothing is stopped at nothing" in done.stderr
