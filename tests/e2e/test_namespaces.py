"""The namespaces that a PodSpec asks for, from kubectl to the kernel's own view."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.support.namespaced import Namespaced, a_sleeper


def a_pair(name: str, **spec: Any) -> dict[str, Any]:
    """A Pod of two sleeping containers, "main" and "side"."""
    pod = a_sleeper(name)
    pod["spec"]["containers"].append({**pod["spec"]["containers"][0], "name": "side"})
    pod["spec"] |= spec
    return pod


def test_containers_that_share_processes_see_and_signal_each_other(ns: Namespaced) -> None:
    ns.apply(a_pair("web", shareProcessNamespace=True))
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "cat /proc/1/comm", "-c", "side") == "podium-init"
    ns.sh("web", "echo hello > /tmp/note", "-c", "main")
    look = "for p in /proc/[0-9]*; do cat $p/root/tmp/note 2>/dev/null && break; done"
    assert ns.sh("web", look, "-c", "side") == "hello"
    ns.sh("web", "touch /tmp/mine; pgrep -x sleep | while read p; do "
          "[ -e /proc/$p/root/tmp/mine ] || kill -9 $(cut -d' ' -f4 /proc/$p/stat); done",
          "-c", "side")  # fmt: skip
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    by_name = {c["name"]: c for c in ns.get("pod", "web")["status"]["containerStatuses"]}
    assert by_name["main"]["lastState"]["terminated"]["exitCode"] == 137
    assert by_name["side"]["restartCount"] == 0


def test_a_pod_without_the_hosts_users_is_root_inside_and_nobody_outside(ns: Namespaced) -> None:
    ns.kubectl("create", "configmap", "settings", "--from-literal=color=blue")
    ns.kubectl("create", "secret", "generic", "token", "--from-literal=word=open")
    pod = a_sleeper("web", volumeMounts=[
        {"name": name, "mountPath": f"/{name}"} for name in ("settings", "token", "scratch", "ram")
    ])  # fmt: skip
    pod["spec"] |= {
        "hostUsers": False,
        "securityContext": {"fsGroup": 4000},
        "volumes": [
            {"name": "settings", "configMap": {"name": "settings"}},
            {"name": "token", "secret": {"secretName": "token", "defaultMode": 0o400}},
            {"name": "scratch", "emptyDir": {}},
            {"name": "ram", "emptyDir": {"medium": "Memory"}},
        ],
    }
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    uid = ns.get("pod", "web")["metadata"]["uid"]
    pid = ns.cluster.first_process(uid)
    inside, first, length = map(int, Path(f"/proc/{pid}/uid_map").read_text().split())
    assert (inside, length) == (0, 65_536)
    assert first % 65_536 == 0 < first
    assert f"Uid:\t{first}\t" in Path(f"/proc/{pid}/status").read_text()
    assert ns.sh("web", "cat /settings/color /token/word; id -u") == "blueopen0"
    assert ns.sh("web", "stat -c '%u %g' /scratch /ram /etc/hosts") == "0 4000\n0 4000\n0 0"
    ns.sh("web", "echo x > /scratch/x; echo x > /ram/x; echo x > /dev/termination-log")
    assert ns.sh("web", "stat -c '%u %g' /scratch/x") == "0 4000"
    handlers = ns.get("node", ns.cluster.nodes[0])["status"]["runtimeHandlers"]
    assert handlers[0]["features"]["userNamespaces"] is True


def test_a_pods_user_range_outlives_the_kubelet_and_its_sandbox(ns: Namespaced) -> None:
    pod = a_sleeper("web")
    pod["spec"]["hostUsers"] = False
    ns.apply(pod, {**pod, "metadata": {"name": "other"}})
    ns.wait("pod/web", "condition=Ready")
    ns.wait("pod/other", "condition=Ready")
    uids = [ns.get("pod", name)["metadata"]["uid"] for name in ("web", "other")]

    def maps() -> list[str]:
        return [Path(f"/proc/{ns.cluster.first_process(uid)}/uid_map").read_text() for uid in uids]

    before = maps()
    assert len(set(before)) == 2
    os.kill(ns.cluster.pids()["kubelet"], signal.SIGKILL)
    os.kill(ns.cluster.shim_pid(uids[0]), signal.SIGKILL)
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    ns.wait("pod/web", "condition=Ready")
    assert maps() == before


def test_namespaces_of_the_host_exclude_user_namespaces(ns: Namespaced) -> None:
    pod = a_sleeper("web")
    pod["spec"] |= {"hostUsers": False, "hostPID": True}
    refused = ns.kubectl("apply", "-f", "-", stdin=json.dumps(pod), check=False)
    assert refused.returncode == 1
    assert "Forbidden: when `pod.Spec.HostUsers` is false" in refused.stderr
