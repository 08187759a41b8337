"""The namespaces that a PodSpec asks for, from kubectl to the kernel's own view."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.namespaced import Namespaced, a_sleeper

NAMESPACES = ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup")


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
    assert handlers[0]["features"] == {"recursiveReadOnlyMounts": True, "userNamespaces": True}


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


def namespaces_of(pid: int | str) -> dict[str, str]:
    return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in NAMESPACES}


def shared_with_the_host(ns: Namespaced, **spec: Any) -> set[str]:
    """The namespaces in which a Pod with this spec is together with the node."""
    pod = a_sleeper("web")
    pod["spec"] |= spec
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    pid = ns.cluster.container_pid(ns.get("pod", "web"))
    inside, host = namespaces_of(pid), namespaces_of("self")
    return {name for name in NAMESPACES if inside[name] == host[name]}


@pytest.mark.parametrize(
    ("spec", "shared"),
    [
        ({}, {"user"}),
        ({"hostUsers": False}, set()),
        ({"hostPID": True}, {"user", "pid"}),
        ({"hostIPC": True}, {"user", "ipc"}),
        ({"hostNetwork": True}, {"user", "net", "uts"}),
        ({"hostNetwork": True, "hostPID": True, "hostIPC": True},
         {"user", "net", "uts", "pid", "ipc"}),
    ],
    ids=["none", "users", "pid", "ipc", "network", "all"],
)  # fmt: skip
def test_a_pod_shares_with_the_host_what_it_says_and_nothing_else(
    ns: Namespaced, spec: dict[str, Any], shared: set[str]
) -> None:
    assert shared_with_the_host(ns, **spec) == shared


def test_a_pod_that_sees_the_hosts_processes_has_the_usual_masks(ns: Namespaced) -> None:
    shared_with_the_host(ns, hostPID=True)
    assert ns.sh("web", f"test -d /proc/{os.getpid()} && echo seen") == "seen"
    assert ns.sh("web", "cat /proc/kcore /proc/keys /proc/timer_list | wc -c") == "0"
    assert ns.sh("web", "echo 1 2>&1 > /proc/sys/kernel/panic || echo refused").endswith("refused")
    assert ns.sh("web", f"ls /proc/{ns.cluster.pids()['launcher']}/root/ 2>&1 || echo no").endswith(
        "no"
    )


def test_a_pod_in_the_nodes_network_has_the_nodes_name(ns: Namespaced) -> None:
    before = os.uname().nodename
    shared_with_the_host(ns, hostNetwork=True, hostname="mail")
    assert ns.sh("web", "hostname; cat /etc/hostname; echo $HOSTNAME").split() == [before] * 3
    assert os.uname().nodename == before


def test_a_pod_with_a_subdomain_may_have_its_full_name_as_hostname(ns: Namespaced) -> None:
    shared_with_the_host(ns, hostname="mail", subdomain="post", setHostnameAsFQDN=True)
    full = f"mail.post.{ns.name}.svc.cluster.local"
    assert ns.sh("web", "hostname; cat /etc/hostname; echo $HOSTNAME").split() == [full] * 3
    assert f"{full}\tmail" in ns.sh("web", "cat /etc/hosts")


def test_a_full_name_that_is_too_long_is_told_in_an_event(ns: Namespaced) -> None:
    pod = a_sleeper("web")
    pod["spec"] |= {"hostname": "a" * 50, "subdomain": "post", "setHostnameAsFQDN": True}
    ns.apply(pod)
    ns.cluster.until(lambda: "FQDN" in ns.out("get", "events", "-o", "wide"))
    assert ns.get("pod", "web")["status"]["phase"] == "Pending"
