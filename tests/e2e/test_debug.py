"""kubectl debug: ephemeral containers, copies of Pods, Pods on a node."""

from __future__ import annotations

import json
from typing import Any

from tests.support.namespaced import Namespaced, a_script, a_sleeper

Object = dict[str, Any]


def ephemeral(ns: Namespaced, pod: str = "web") -> Object:
    found = ns.get("pod", pod)["status"].get("ephemeralContainerStatuses") or [{"state": {}}]
    state: Object = found[0]["state"]
    return state


def debug(ns: Namespaced, *args: str, script: str) -> str:
    return ns.out("debug", *args, "--image=host", "--", "sh", "-c", script)


def test_a_debugger_sees_the_processes_of_its_target(ns: Namespaced) -> None:
    ns.apply(a_sleeper(command=["sleep", "4712"]))
    ns.wait("pod/web", "condition=Ready")
    debug(ns, "web", "-c", "peek", "--target=main", script="sleep infinity")
    ns.cluster.until(lambda: "running" in ephemeral(ns))
    seen = ns.sh("web", "tr '\\0' ' ' < /proc/1/cmdline; hostname", "-c", "peek")
    assert seen.split() == ["sleep", "4712", "web"]
    assert len(set(ns.sh("web", "readlink /proc/[1s]*/ns/mnt", "-c", "peek").split())) == 2
    assert ns.get("pod", "web")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_an_ephemeral_container_runs_once_and_its_end_is_shown(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    debug(ns, "web", "-c", "once", script="echo looked; exit 3")
    ns.cluster.until(lambda: "terminated" in ephemeral(ns))
    assert ephemeral(ns)["terminated"]["exitCode"] == 3
    assert ns.out("logs", "web", "-c", "once") == "looked\n"
    described = ns.out("describe", "pod", "web")
    assert "Ephemeral Containers:\n  once:\n" in described
    ns.wait("pod/web", "condition=Ready")


def test_a_pod_in_a_crash_loop_can_be_looked_into(ns: Namespaced) -> None:
    ns.apply(a_script("web", "exit 1", restart="Always"))
    ns.cluster.until(lambda: ns.get("pod", "web")["status"].get("containerStatuses"))
    debug(ns, "web", "-c", "peek", script="sleep infinity")
    ns.cluster.until(lambda: "running" in ephemeral(ns))


def test_an_ephemeral_container_cannot_be_changed_or_taken_away(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    debug(ns, "web", "-c", "peek", script="sleep infinity")
    pod = ns.get("pod", "web")
    del pod["spec"]["ephemeralContainers"], pod["metadata"]["resourceVersion"]
    path = f"/api/v1/namespaces/{ns.name}/pods/web/ephemeralcontainers"
    refused = ns.kubectl("replace", "--raw", path, "-f", "-", stdin=json.dumps(pod), check=False)
    assert 'existing ephemeral containers "peek" may not be removed' in refused.stderr


def test_a_copy_of_a_pod_is_debugged_in_its_place(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    debug(ns, "web", "--copy-to=copy", "-c", "peek", "--share-processes", script="sleep infinity")
    ns.wait("pod/copy", "condition=Ready")
    assert "sleep infinity" in ns.sh("copy", "cat /proc/*/cmdline | tr '\\0' ' '", "-c", "peek")


def test_a_node_is_debugged_from_a_pod_that_sees_all_of_it(ns: Namespaced) -> None:
    node = ns.cluster.nodes[0]
    said = debug(ns, f"node/{node}", "--profile=sysadmin", script="sleep infinity")
    name = said.split("Creating debugging pod ")[1].split()[0]
    ns.wait(f"pod/{name}", "condition=Ready")
    assert ns.sh(name, "ls /host/etc/passwd") == "/host/etc/passwd"
    assert int(ns.sh(name, "ls -d /proc/[0-9]* | wc -l")) > 5
