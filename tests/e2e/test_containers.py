"""What a container is here: read from inside it, from the kernel, and by measuring the effect."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

from tests.support.cluster import ContainerCgroups
from tests.support.namespaced import Namespaced, a_script, a_sleeper
from tests.support.waiting import PATIENCE

NAMESPACES = ("pid", "mnt", "net", "ipc", "uts", "cgroup")
QUOTA_S = 0.05  # of 500m in each period of 100 ms


def namespaces_of(ns: Namespaced, pod: str) -> dict[str, str]:
    lines = ns.sh(pod, "for n in pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done")
    return dict(zip(NAMESPACES, lines.split(), strict=True))


def test_pid_1_is_the_containers_own_process(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    assert "sleep infinity" in ns.sh("web", "tr '\\0' ' ' < /proc/1/cmdline")
    assert ns.sh("web", "hostname") == "web"


def test_namespaces_differ_from_the_hosts_and_from_another_pods(ns: Namespaced) -> None:
    ns.apply(a_sleeper("one"), a_sleeper("two"))
    ns.wait("pod/one", "condition=Ready")
    ns.wait("pod/two", "condition=Ready")
    one, two = namespaces_of(ns, "one"), namespaces_of(ns, "two")
    host = {n: os.readlink(f"/proc/self/ns/{n}") for n in NAMESPACES}
    for name in NAMESPACES:
        assert len({one[name], two[name], host[name]}) == 3, name


def test_containers_of_a_pod_share_network_and_ipc_but_not_pids(ns: Namespaced) -> None:
    pod = a_sleeper()
    second = dict(pod["spec"]["containers"][0], name="second")
    pod["spec"]["containers"].append(second)
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    read = "for n in pid mnt net ipc uts cgroup; do readlink /proc/self/ns/$n; done"
    first_ns = ns.sh("web", read, "-c", "main").split()
    second_ns = ns.sh("web", read, "-c", "second").split()
    shared = {n for n, a, b in zip(NAMESPACES, first_ns, second_ns, strict=True) if a == b}
    assert shared == {"net", "ipc", "uts"}


def test_memory_over_the_limit_is_oomkilled_with_exit_code_137(ns: Namespaced) -> None:
    eat = 'python3 -c "x = bytearray(200 * 1024 * 1024); print(len(x))"'
    ns.apply(a_script("eater", f"exec {eat}", resources={"limits": {"memory": "64Mi"}}))
    ns.wait("pod/eater", "jsonpath={.status.phase}=Failed")
    ended = ns.get("pod", "eater")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["reason"], ended["exitCode"]) == ("OOMKilled", 137)


def test_a_busy_loop_with_500m_gets_half_a_core(ns: Namespaced) -> None:
    """However busy the machine is: never more than its 50 ms of each 100, and never stopped before
    it had them."""
    spin = "exec python3 -c 'while True: pass'"
    ns.apply(a_script("spinner", spin, resources={"limits": {"cpu": "500m"}}))
    ns.wait("pod/spinner", "condition=Ready")
    cgroup = ns.cluster.container_cgroups(ns.get("pod", "spinner"))
    began, used_s, throttled = time.monotonic(), cpu_seconds(cgroup), times_throttled(cgroup)
    ns.cluster.until(lambda: times_throttled(cgroup) >= throttled + 30, timeout_s=120)
    throttled = times_throttled(cgroup) - throttled
    used_s = cpu_seconds(cgroup) - used_s
    assert used_s < 0.525 * (time.monotonic() - began) + QUOTA_S
    assert used_s > 0.9 * QUOTA_S * throttled


def times_throttled(cgroup: ContainerCgroups) -> int:
    """Periods in which it was stopped for the rest, by the kernel's own count."""
    counts = dict(line.split() for line in cgroup.read("cpu.stat", "cpu.stat").splitlines())
    return int(counts["nr_throttled"])


def cpu_seconds(cgroup: ContainerCgroups) -> float:
    """User and system time of all of the container's processes."""
    words = cgroup.read("cpuacct.usage", "cpu.stat").split()
    if len(words) == 1:
        return int(words[0]) / 1e9
    return int(words[words.index("usage_usec") + 1]) / 1e6


def test_a_fork_bomb_stops_at_the_pids_limit_and_harms_nobody(ns: Namespaced) -> None:
    sleeper = "sleep 999 >/dev/null 2>&1"  # longer than the slowest machine needs to start them all
    bomb = f"i=0; while [ $i -lt 4000 ]; do {sleeper} & i=$((i+1)); done; echo reached $i"
    ns.apply(a_script("bomb", f"({bomb}) 2>&1 | tail -n 1; sleep 30"), a_sleeper("neighbour"))
    ns.wait("pod/neighbour", "condition=Ready")
    ns.cluster.until(lambda: "fork" in ns.out("logs", "bomb").lower(), timeout_s=45)
    assert ns.sh("neighbour", "echo alive") == "alive"
    ns.kubectl("delete", "pod", "bomb", "--grace-period=0", "--force")
    ns.wait("pod/bomb", "delete")


def test_quantities_reach_the_cgroup_files(ns: Namespaced) -> None:
    limits = {"limits": {"memory": "64Mi", "cpu": "250m"}, "requests": {"cpu": "100m"}}
    ns.apply(a_sleeper(resources=limits))
    ns.wait("pod/web", "condition=Ready")
    cgroup = ns.cluster.container_cgroups(ns.get("pod", "web"))
    assert int(cgroup.read("memory.limit_in_bytes", "memory.max")) == 64 * 1024 * 1024
    quota = cgroup.read("cpu.cfs_quota_us", "cpu.max").split()[0]
    assert int(quota) == 25_000


def test_masked_paths_and_dropped_capabilities(ns: Namespaced) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "cat /proc/kcore | wc -c") == "0"
    status = ns.sh("web", "cat /proc/1/status")
    effective = int(re.search(r"CapEff:\s+([0-9a-f]+)", status)[1], 16)
    assert not effective & (1 << 21), "CAP_SYS_ADMIN"
    assert effective & (1 << 10), "CAP_NET_BIND_SERVICE"
    attempts = (
        "mount -t tmpfs none /mnt",
        "echo 1 > /proc/sys/kernel/panic",
        "mknod /tmp/disk b 254 0 && head -c1 /tmp/disk",
        "echo x > /usr/x",
    )
    for attempt in attempts:
        script = f"({attempt}) 2>/dev/null && echo done || echo refused"
        assert ns.sh("web", script) == "refused", attempt


def test_restart_policy_backs_off_and_tells_the_exit_code(ns: Namespaced) -> None:
    ns.apply(a_script("crash", "echo boom; exit 3", restart="Always"))
    ns.wait(
        "pod/crash", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff"
    )
    status = ns.get("pod", "crash")["status"]["containerStatuses"][0]
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert status["lastState"]["terminated"]["reason"] == "Error"
    assert status["restartCount"] >= 1


def test_init_containers_run_in_order_before_the_others(ns: Namespaced) -> None:
    pod = a_sleeper(volumeMounts=[{"name": "d", "mountPath": "/d"}])
    mount = {"volumeMounts": [{"name": "d", "mountPath": "/d"}], "image": "host"}
    pod["spec"]["volumes"] = [{"name": "d", "emptyDir": {}}]
    pod["spec"]["initContainers"] = [
        {"name": "first", "command": ["sh", "-c", "echo first >> /d/log"], **mount},
        {"name": "second", "command": ["sh", "-c", "echo second >> /d/log"], **mount},
    ]
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "cat /d/log").split() == ["first", "second"]


def test_graceful_end_sends_term_and_then_kill(ns: Namespaced) -> None:
    polite = a_script(
        "polite", "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    )
    deaf = a_script("deaf", "trap '' TERM; echo up; while :; do sleep 0.1; done")
    grace_s = int(2 * PATIENCE)
    deaf["spec"]["terminationGracePeriodSeconds"] = grace_s
    ns.apply(polite, deaf)
    for pod in ("polite", "deaf"):
        ns.wait(f"pod/{pod}", "condition=Ready")
    began = time.monotonic()
    ns.kubectl("delete", "pod", "polite", "--timeout=30s")
    polite_s = time.monotonic() - began
    began = time.monotonic()
    ns.kubectl("delete", "pod", "deaf", "--timeout=30s")
    deaf_s = time.monotonic() - began
    assert polite_s < deaf_s
    assert deaf_s >= grace_s


def test_pods_reach_each_other_by_ip(ns: Namespaced) -> None:
    serve = "cd /tmp && echo hello > index.html && exec python3 -m http.server 8080"
    ns.apply(a_script("server", serve), a_sleeper("client"))
    ns.wait("pod/server", "condition=Ready")
    ns.wait("pod/client", "condition=Ready")
    ip = ns.get("pod", "server")["status"]["podIP"]
    url = f"http://{ip}:8080"
    fetch = f"import urllib.request as u; print(u.urlopen('{url}', timeout=5).read().decode())"
    answer = ns.cluster.until(
        lambda: ns.kubectl("exec", "client", "--", "python3", "-c", fetch, check=False).stdout,
        timeout_s=20,
    )
    assert answer.strip() == "hello"


def test_configuration_arrives_as_env_and_files_and_is_updated(ns: Namespaced) -> None:
    ns.kubectl("create", "configmap", "settings", "--from-literal=colour=blue")
    ns.kubectl("create", "secret", "generic", "token", "--from-literal=key=s3cret")
    pod = a_sleeper(
        env=[
            {
                "name": "COLOUR",
                "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}},
            },
            {"name": "GREETING", "value": "very $(COLOUR) $$(COLOUR)"},
        ],
        volumeMounts=[
            {"name": "c", "mountPath": "/etc/settings"},
            {"name": "s", "mountPath": "/etc/token"},
        ],
    )
    pod["spec"]["volumes"] = [
        {"name": "c", "configMap": {"name": "settings"}},
        {"name": "s", "secret": {"secretName": "token", "defaultMode": 0o400}},
    ]
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert ns.sh("web", "echo $GREETING; cat /etc/settings/colour /etc/token/key") == (
        "very blue $(COLOUR)\nblues3cret"
    )
    assert ns.sh("web", "stat -L -c %a /etc/token/key") == "400"
    ns.kubectl("patch", "configmap", "settings", "-p", '{"data":{"colour":"green"}}')
    ns.cluster.until(lambda: ns.sh("web", "cat /etc/settings/colour") == "green", timeout_s=90)


def test_an_image_from_a_file_runs(ns: Namespaced, tmp_path: Path) -> None:
    from tests.support.images import busybox_image_tar

    busybox_image_tar(tmp_path / "busybox.tar", name="busybox:1.0")
    assert "busybox:1.0" in ns.cluster.podium("image", "load", str(tmp_path / "busybox.tar")).stdout
    pod = a_sleeper(image="busybox:1.0", imagePullPolicy="IfNotPresent")
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    assert "BusyBox" in ns.sh("web", "busybox | head -n 1")
    assert ns.sh("web", "ls /usr/lib/python3 2>/dev/null; echo none") == "none"
    assert "busybox:1.0" in ns.cluster.podium("image", "list").stdout


def test_a_container_that_restarts_leaves_only_its_last_end_behind(ns: Namespaced) -> None:
    ns.apply(a_script("often", "exit 1", restart="Always"))
    restarts = "jsonpath={.status.containerStatuses[0].restartCount}=3"
    ns.wait("pod/often", restarts, timeout_s=90)
    pod = ns.get("pod", "often")
    nodes = ns.cluster.data_dir / "nodes" / pod["spec"]["nodeName"]
    logs = nodes / "logs" / f"{ns.name}_often_{pod['metadata']['uid']}" / "main"
    assert sorted(path.name for path in logs.iterdir()) == ["2.log", "3.log"]
    assert ns.kubectl("logs", "often", "--previous").returncode == 0
