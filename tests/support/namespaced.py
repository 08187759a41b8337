"""kubectl bound to one namespace, and the verbs that the whole-cluster tests are written in."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import yaml

from tests.support.cluster import Cluster


class Namespaced:
    """What a test does to its own namespace. Every wait has a bound of `timeout_s`."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = True, timeout_s: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl in this namespace; with `check`, a failure fails the test with its output."""
        return self.cluster.kubectl(
            "-n", self.name, *args, stdin=stdin, check=check, timeout_s=timeout_s
        )

    def out(self, *args: str, **options: Any) -> str:
        return self.kubectl(*args, **options).stdout

    def apply(self, *objects: dict[str, Any], extra: tuple[str, ...] = ()) -> str:
        return self.out("apply", "-f", "-", *extra, stdin=yaml.safe_dump_all(objects))

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return json.loads(self.out("get", kind, name, "-o", "json"))

    def items(self, kind: str, *args: str) -> list[dict[str, Any]]:
        return json.loads(self.out("get", kind, "-o", "json", *args))["items"]

    def wait(self, what: str, condition: str, timeout_s: int = 60) -> None:
        """`wait("pod/web", "condition=Ready")`, or `"jsonpath={.status.phase}=Failed"`."""
        self.kubectl(
            "wait",
            what,
            f"--for={condition}",
            f"--timeout={timeout_s}s",
            timeout_s=timeout_s + 15,
        )

    def rollout_done(self, what: str, timeout_s: int = 90) -> None:
        limit = f"--timeout={timeout_s}s"
        self.kubectl("rollout", "status", what, limit, timeout_s=timeout_s + 15)

    def sh(self, pod: str, script: str, *args: str) -> str:
        """What a shell script prints inside the pod."""
        return self.out("exec", pod, *args, "--", "sh", "-c", script).strip()


def a_sleeper(name: str = "web", **container: Any) -> dict[str, Any]:
    """A Pod that sleeps and ends at once when asked to."""
    spec: dict[str, Any] = {
        "name": "main",
        "image": "host",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [spec | container]},
    }


def a_script(name: str, script: str, *, restart: str = "Never", **container: Any) -> dict[str, Any]:
    """A Pod that runs a shell script."""
    pod = a_sleeper(name, command=["sh", "-c", script], **container)
    pod["spec"]["restartPolicy"] = restart
    return pod


def a_web_deployment(name: str = "web", replicas: int = 2, **spec: Any) -> dict[str, Any]:
    """A Deployment of sleepers; `spec` adds to the Deployment's spec."""
    pod = a_sleeper(name)
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod["spec"]},
        }
        | spec,
    }
