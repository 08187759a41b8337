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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.client.config import load_kubeconfig
from podium.client.http import Client

PODIUM = Path(sys.executable).with_name("podium")
TIMEOUT_S = 180
REST_S, RESTING = 0.5, 0.05  # a cluster rests that uses less than so much of a core for so long
GENERATIONS = 8  # of processes that components start


class BenchError(Exception):
    """A measurement could not be made; the message says why."""


@dataclass
class Cluster:
    data_dir: Path
    port: int
    start_s: float = 0.0

    def podium(self, *args: str) -> str:
        """What a command prints; raises BenchError with what it complained about."""
        command = [str(PODIUM), *args, "--data-dir", str(self.data_dir)]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise BenchError(f"podium {' '.join(args)}: exit {done.returncode}: {said}")
        return done.stdout

    @property
    def kubeconfig(self) -> Path:
        return self.data_dir / "admin.kubeconfig"

    @contextlib.contextmanager
    def client(self) -> Iterator[Client]:
        client = Client(load_kubeconfig(self.kubeconfig), user_agent="podium-bench")
        try:
            yield client
        finally:
            client.close()

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.podium("status", "-o", "json")))

    def components(self) -> dict[str, int]:
        """Pid by component, the supervisor included."""
        status = self.status()
        pids = {component["name"]: int(component["pid"]) for component in status["components"]}
        return {"supervisor": int(status["supervisor"]["pid"])} | pids

    def recorded(self) -> list[tuple[str, int, bool]]:
        """(name, pid, is ready) of each component as the supervisor keeps it: looking costs
        nothing, where asking `podium status` would be part of what is measured."""
        content = json.loads((self.data_dir / "run" / "components.json").read_text())
        return [(each["name"], int(each["pid"]), bool(each["ready"])) for each in content]

    def everything(self) -> dict[int, str]:
        """Every process of the cluster but its workload: the components and what they started."""
        found = {pid: name for name, pid in self.components().items()}
        parents = {pid: parent_of(pid) for pid in all_pids()}
        workload = {pid for pid in parents if self._is_contained(pid)} | set(self.shims())
        for _ in range(GENERATIONS):
            for pid, parent in parents.items():
                if parent in found and pid not in found and pid not in workload:
                    found[pid] = f"{found[parent]}'s child"
        return found

    def _is_contained(self, pid: int) -> bool:
        return f"/podium-{self.cluster_id}" in read(f"/proc/{pid}/cgroup")

    @property
    def cluster_id(self) -> str:
        return str(json.loads((self.data_dir / "cluster.json").read_text())["id"])

    def shims(self) -> list[int]:
        """Pids of the shims, by the title that they give themselves."""
        title = f"podium-shim podium-{self.cluster_id}"
        return [pid for pid in all_pids() if read(f"/proc/{pid}/cmdline").startswith(title)]


def all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def read(path: str) -> str:
    try:
        return Path(path).read_bytes().decode(errors="replace")  # a name may be any bytes
    except OSError:
        return ""  # the process has ended


def _stat(pid: int) -> list[str]:
    """The fields from the third on; the second may have blanks in it."""
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()


def parent_of(pid: int) -> int:
    """0 for one that has ended."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def pss_bytes(pid: int) -> int:
    """Proportional set size (`man 5 proc_pid_smaps_rollup`); 0 for one that has ended."""
    for line in read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid: int) -> float:
    """User and system time so far, that of ended children included."""
    fields = _stat(pid)
    return sum(int(ticks) for ticks in fields[11:15]) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def started_cluster() -> Iterator[Cluster]:
    """A fresh cluster, purged afterwards, whatever happens."""
    with tempfile.TemporaryDirectory(prefix="podium-bench-") as parent:
        cluster = Cluster(Path(parent) / "data", free_port())
        try:
            began = time.perf_counter()
            cluster.podium("up", "-d", "--port", str(cluster.port))
            cluster.start_s = time.perf_counter() - began
            yield cluster
        finally:
            if cluster.data_dir.exists():
                cluster.podium("down", "--purge", "--grace-period", "0")


def a_deployment(name: str, replicas: int, image: str = "host") -> dict[str, Any]:
    """Replicas of `sleep`."""
    container = {"name": "main", "image": image, "command": ["sleep", "infinity"]}
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


def wait_ready(client: Client, name: str, replicas: int) -> None:
    """Returns at the watch event in which every replica is ready."""
    field = f"metadata.name={name}"
    listed = client.list("deployments.apps", "default", field_selector=field)
    if any(_ready(item) == replicas for item in listed["items"]):
        return
    with contextlib.closing(
        client.watch(
            "deployments.apps",
            "default",
            resource_version=listed["metadata"]["resourceVersion"],
            field_selector=field,
            timeout_s=TIMEOUT_S,
        )
    ) as events:
        for event in events:
            if event.type in ("ADDED", "MODIFIED") and _ready(event.object) == replicas:
                return
    raise BenchError(f"deployment {name} was not ready after {TIMEOUT_S} s")


def _ready(deployment: dict[str, Any]) -> int:
    return int(deployment.get("status", {}).get("readyReplicas", 0))


def delete_and_wait(cluster: Cluster, client: Client, name: str) -> None:
    """Until it is gone and the cluster rests: the node goes on clearing up after Pods that the API
    has no more, which the next measurement should not pay for."""
    client.delete("deployments.apps", name, "default")
    deadline = time.monotonic() + TIMEOUT_S
    while client.list("pods", "default", label_selector=f"app={name}", limit=1)["items"]:
        if time.monotonic() > deadline:
            raise BenchError(f"pods of {name} are still there")
        time.sleep(0.1)
    processes = cluster.everything()
    while _used_s(processes, REST_S) > REST_S * RESTING:
        if time.monotonic() > deadline:
            raise BenchError(f"the cluster does not come to rest after {name}")


def _used_s(processes: Iterable[int], seconds: float) -> float:
    """CPU time that they use within so many seconds."""
    began = sum(map(cpu_s, processes))
    time.sleep(seconds)
    return sum(map(cpu_s, processes)) - began
