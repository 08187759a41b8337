"""A throw-away cluster for the measurements, driven through the `podium` command and the public
API."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.client.config import load_kubeconfig
from podium.client.http import Client

PODIUM = Path(sys.executable).with_name("podium")


@dataclass
class Cluster:
    data_dir: Path
    port: int
    start_s: float

    def podium(self, *args: str) -> str:
        command = [str(PODIUM), *args, "--data-dir", str(self.data_dir)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def client(self) -> Client:
        return Client(
            load_kubeconfig(str(self.data_dir / "admin.kubeconfig")), user_agent="podium-bench"
        )

    def pids(self) -> dict[str, int]:
        """Pid by component, the supervisor included."""
        status = json.loads(self.podium("status", "-o", "json"))
        pids = {component["name"]: component["pid"] for component in status["components"]}
        pids["supervisor"] = _parent_of(next(iter(pids.values())))
        return pids

    def shims(self) -> list[int]:
        """Pids of the shims, by the title that they give themselves."""
        title = (
            f"podium-shim podium-{json.loads((self.data_dir / 'cluster.json').read_text())['id']}"
        )
        return [pid for pid in _all_pids() if _title(pid).startswith(title)]


def _all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""  # the process has ended


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def pss_bytes(pid: int) -> int:
    """Proportional set size (`man 5 proc_pid_smaps_rollup`)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"no Pss in smaps_rollup of {pid}")


def cpu_s(pid: int) -> float:
    """User and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started_cluster() -> Iterator[Cluster]:
    """A fresh cluster, purged afterwards."""
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as parent:
        cluster = Cluster(Path(parent) / "data", free_port(), 0.0)
        began = time.perf_counter()
        cluster.podium("up", "-d", "--port", str(cluster.port))
        cluster.start_s = time.perf_counter() - began
        try:
            yield cluster
        finally:
            cluster.podium("down", "--purge", "--grace-period", "0")


def a_deployment(name: str, replicas: int) -> dict[str, Any]:
    """Replicas of `sleep` in the image `host`."""
    container = {"name": "main", "image": "host", "command": ["sleep", "infinity"]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
        },
    }


def wait_ready(client: Client, name: str, replicas: int, timeout_s: float = 120) -> None:
    """Returns at the watch event in which every replica is ready."""
    listed = client.list("deployments.apps", "default", field_selector=f"metadata.name={name}")
    version = listed["metadata"]["resourceVersion"]
    if any(_ready(item) == replicas for item in listed["items"]):
        return
    for event in client.watch(
        "deployments.apps", "default", resource_version=version,
        field_selector=f"metadata.name={name}", timeout_s=int(timeout_s),
    ):  # fmt: skip
        if event.type in ("ADDED", "MODIFIED") and _ready(event.object) == replicas:
            return
    raise TimeoutError(f"deployment {name} was not ready after {timeout_s} s")


def _ready(deployment: dict[str, Any]) -> int:
    return int(deployment.get("status", {}).get("readyReplicas", 0))


def delete_and_wait(client: Client, name: str) -> None:
    client.delete("deployments.apps", name, "default")
    deadline = time.monotonic() + 120
    while client.list("pods", "default", label_selector=f"app={name}")["items"]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"pods of {name} are still there")
        time.sleep(0.1)
