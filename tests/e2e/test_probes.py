"""Probes and hooks of real containers, as kubectl shows them and as the kernel sees them."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import h2

from tests.support.namespaced import Namespaced, a_sleeper
from tests.support.waiting import PATIENCE

Object = dict[str, Any]

WEB = ["python3", "-m", "http.server", "8080", "--directory", "/tmp"]
FAST = {"periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": int(max(1, PATIENCE))}


def a_shell(script: str, **fields: Any) -> Object:
    return {"exec": {"command": ["sh", "-c", script]}} | fields


def main(ns: Namespaced, pod: str = "web") -> Object:
    found: Object = ns.get("pod", pod)["status"]["containerStatuses"][0]
    return found


def events(ns: Namespaced, reason: str) -> list[str]:
    return [e["message"] for e in ns.items("events") if e["reason"] == reason]


def expect_event(ns: Namespaced, reason: str, words: str) -> None:
    ns.cluster.until(lambda: any(words in message for message in events(ns, reason)))


def test_a_pod_is_ready_while_its_http_probe_says_so(ns: Namespaced) -> None:
    probe = {"httpGet": {"path": "/ok", "port": "http"}} | FAST
    ports = [{"name": "http", "containerPort": 8080}]
    ns.apply(a_sleeper(command=WEB, ports=ports, readinessProbe=probe))
    failed = "Readiness probe failed: HTTP probe failed with statuscode: 404"
    expect_event(ns, "Unhealthy", failed)
    assert (main(ns)["started"], main(ns)["ready"]) == (True, False)
    ns.sh("web", "touch /tmp/ok")
    ns.wait("pod/web", "condition=Ready")
    ns.sh("web", "rm /tmp/ok")
    ns.wait("pod/web", "condition=Ready=false")


def test_a_tcp_probe_waits_for_somebody_who_listens(ns: Namespaced) -> None:
    probe = {"tcpSocket": {"port": 8080}} | FAST
    script = f"until [ -e /tmp/go ]; do sleep 0.1; done; exec {' '.join(WEB)}"
    ns.apply(a_sleeper(command=["sh", "-c", script], readinessProbe=probe))
    expect_event(ns, "Unhealthy", ":8080: connect: connection refused")
    ns.sh("web", "touch /tmp/go")
    ns.wait("pod/web", "condition=Ready")


def test_a_container_that_fails_its_liveness_probe_is_restarted(ns: Namespaced) -> None:
    ns.apply(a_sleeper(livenessProbe=a_shell("echo ill; test ! -e /tmp/ill", **FAST)))
    ns.wait("pod/web", "condition=Ready")
    ns.sh("web", "touch /tmp/ill")
    ns.cluster.until(lambda: main(ns)["restartCount"] == 1 and main(ns)["ready"])
    expect_event(ns, "Unhealthy", "Liveness probe failed: ill")
    expect_event(ns, "Killing", "Container main failed liveness probe, will be restarted")


def test_a_startup_probe_holds_the_others_back(ns: Namespaced) -> None:
    startup = a_shell("test -e /tmp/up", periodSeconds=1, failureThreshold=60)
    ill = a_shell("test -e /tmp/up", **FAST)
    ns.apply(a_sleeper(startupProbe=startup, livenessProbe=ill, readinessProbe=ill))
    expect_event(ns, "Unhealthy", "Startup probe failed")
    assert (main(ns)["started"], main(ns)["ready"], main(ns)["restartCount"]) == (False, False, 0)
    ns.sh("web", "touch /tmp/up")
    ns.wait("pod/web", "condition=Ready")
    assert main(ns)["restartCount"] == 0


def test_a_probe_that_is_too_slow_leaves_no_process_behind(ns: Namespaced) -> None:
    slow = a_shell("sleep 4711 & sleep 4711", periodSeconds=3, failureThreshold=100)
    ns.apply(a_sleeper(readinessProbe=slow))
    expect_event(ns, "Unhealthy", "command timed out:")
    ns.cluster.until(lambda: sleepers(ns) == 0)


def sleepers(ns: Namespaced) -> int:
    """Processes of the slow probe, in this cluster."""
    found = [Path(f"/proc/{pid}/cmdline") for pid in ns.cluster.container_processes()]
    texts = [path.read_bytes() for path in found if path.exists()]
    return sum(text.split(b"\0")[:2] == [b"sleep", b"4711"] for text in texts)


def test_a_container_does_not_run_before_its_post_start_hook_is_done(ns: Namespaced) -> None:
    hook = a_shell("until [ -e /tmp/go ]; do sleep 0.1; done")
    pod = a_sleeper(lifecycle={"postStart": hook})
    pod["spec"]["containers"].append(a_sleeper(command=["sleep", "60"])["spec"]["containers"][0])
    pod["spec"]["containers"][1]["name"] = "next"
    ns.apply(pod)
    expect_event(ns, "Started", "Started container main")
    assert main(ns)["state"] == {"waiting": {"reason": "ContainerCreating"}}
    ns.sh("web", "touch /tmp/go", "-c", "main")
    ns.wait("pod/web", "condition=Ready")
    assert "Started container next" in events(ns, "Started")


def test_a_post_start_hook_that_fails_ends_its_container(ns: Namespaced) -> None:
    ns.apply(a_sleeper(lifecycle={"postStart": a_shell("exit 7")}))
    expect_event(ns, "FailedPostStartHook", "PostStartHook failed")
    expect_event(ns, "Killing", "FailedPostStartHook")
    ns.cluster.until(lambda: main(ns)["restartCount"] >= 1)


def test_a_pre_stop_hook_runs_before_the_stop_signal(ns: Namespaced) -> None:
    hook = a_shell("echo hook > /proc/1/fd/1; sleep 1")
    script = "trap 'echo term; exit 0' TERM; echo up; sleep infinity & wait"
    pod = a_sleeper(command=["sh", "-c", script], lifecycle={"preStop": hook})
    pod["spec"]["terminationGracePeriodSeconds"] = 20
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    ns.kubectl("delete", "pod", "web", "--wait=false")
    lines = ns.cluster.first_lines(("kubectl", "-n", ns.name, "logs", "-f", "web"), until="term")
    assert lines == ["up", "hook", "term"]


def test_a_hook_that_takes_too_long_does_not_outlast_the_grace_period(ns: Namespaced) -> None:
    pod = a_sleeper(lifecycle={"preStop": a_shell("sleep 600")})
    pod["spec"]["terminationGracePeriodSeconds"] = 1
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    ns.kubectl("delete", "pod", "web", "--timeout=30s")


def test_a_grpc_probe_asks_the_health_service(ns: Namespaced) -> None:
    house = Path(__file__).resolve().parents[2]
    volumes = {"tests": house / "tests" / "support", "libraries": Path(h2.__file__).parents[1]}
    pod = a_sleeper(
        command=["python3", "/tests/grpc_health.py", "8080", "/tmp/ok"],
        env=[{"name": "PYTHONPATH", "value": "/libraries"}],
        volumeMounts=[{"name": n, "mountPath": f"/{n}", "readOnly": True} for n in volumes],
        readinessProbe={"grpc": {"port": 8080, "service": "db"}} | FAST,
    )
    pod["spec"]["volumes"] = [{"name": n, "hostPath": {"path": str(p)}} for n, p in volumes.items()]
    ns.apply(pod)
    unhealthy = 'Readiness probe failed: service unhealthy (responded with "NOT_SERVING")'
    expect_event(ns, "Unhealthy", unhealthy)
    ns.sh("web", "touch /tmp/ok")
    ns.wait("pod/web", "condition=Ready")


def test_a_pod_in_the_nodes_network_is_probed_there(ns: Namespaced) -> None:
    probe = {"httpGet": {"path": "/", "port": 18642, "scheme": "HTTPS"}} | FAST
    script = (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /tmp/k -out /tmp/c 2>&1;"
        "cd /tmp; exec openssl s_server -accept 18642 -key /tmp/k -cert /tmp/c -www"
    )
    pod = a_sleeper(command=["sh", "-c", script], readinessProbe=probe)
    pod["spec"]["hostNetwork"] = True
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")


def test_a_liveness_probe_may_have_a_shorter_grace_period(ns: Namespaced) -> None:
    probe = a_shell("exit 1", terminationGracePeriodSeconds=2, **FAST)
    pod = a_sleeper(command=["sh", "-c", "trap '' TERM; sleep 600"], livenessProbe=probe)
    pod["spec"]["terminationGracePeriodSeconds"] = 600
    ns.apply(pod)
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    assert main(ns)["lastState"]["terminated"]["exitCode"] == 137
    ns.kubectl("delete", "pod", "web", "--grace-period=1")


def test_hooks_speak_http_and_sleep(ns: Namespaced) -> None:
    hooks = {
        "postStart": {"httpGet": {"path": "/started", "port": 8080}},
        "preStop": {"sleep": {"seconds": 2}},
    }
    server = a_sleeper("server", command=["python3", "-u", "-m", "http.server", "8080"])
    ns.apply(server)
    ns.wait("pod/server", "condition=Ready")
    hooks["postStart"]["httpGet"]["host"] = ns.get("pod", "server")["status"]["podIP"]
    pod = a_sleeper(lifecycle=hooks)
    pod["spec"]["terminationGracePeriodSeconds"] = 30
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")  # though the answer was 404
    ns.cluster.until(lambda: "GET /started" in ns.out("logs", "server"))
    began = time.monotonic()
    ns.kubectl("delete", "pod", "web", "--timeout=60s")
    assert time.monotonic() - began >= 2


def test_a_restarted_kubelet_takes_what_was_ready_as_ready(ns: Namespaced) -> None:
    probe = a_shell("true", periodSeconds=2)
    ns.apply(a_sleeper(readinessProbe=probe, startupProbe=probe))
    ns.wait("pod/web", "condition=Ready")
    ready_since = since(ns, "Ready")
    pid = ns.cluster.pids()["kubelet"]
    os.kill(pid, signal.SIGKILL)
    ns.cluster.until(lambda: ns.cluster.pids().get("kubelet", pid) != pid)
    ns.cluster.until(lambda: ns.kubectl("exec", "web", "--", "true", check=False).returncode == 0)
    assert since(ns, "Ready") == ready_since
    assert main(ns)["restartCount"] == 0


def since(ns: Namespaced, type_: str) -> str:
    conditions = ns.get("pod", "web")["status"]["conditions"]
    return next(c["status"] + c["lastTransitionTime"] for c in conditions if c["type"] == type_)
