"""A class of thirty: what an API request takes during a rollout of 100 Pods, with and without
thirty browsers on the page."""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from bench.cluster import BenchError, Cluster, a_deployment, cpu_s, delete_and_wait, wait_ready
from bench.report import Row

BROWSERS = 30
REPLICAS = 100
MUST = 1.5  # times the latency without them
PAUSE_S = 0.01  # between two requests of the one who is measured
TIMEOUT_S = 180


def classroom(cluster: Cluster, runs: int) -> list[Row]:
    """Alternately without and with them, so that both have the same weather."""
    with cluster.client() as client:
        client.create("deployments.apps", a_deployment("class", REPLICAS), "default")
        wait_ready(client, "class", REPLICAS)
        alone: list[dict[str, float]] = []
        watched: list[dict[str, float]] = []
        for run in range(runs):
            alone.append(rollout(cluster, client, f"alone-{run}"))
            with browsers(cluster) as last:
                watched.append(rollout(cluster, client, f"watched-{run}"))
        delete_and_wait(cluster, client, "class")
    return [
        _row(f"API request during a {REPLICAS}-Pod rollout, {BROWSERS} browsers on the page",
             "median_ms", alone, watched, last),
        _row("the same, 95 % of requests are faster", "p95_ms", alone, watched, last),
    ]  # fmt: skip


def _row(
    name: str,
    what: str,
    alone: list[dict[str, float]],
    watched: list[dict[str, float]],
    told: dict[str, Any],
) -> Row:
    without = statistics.median(run[what] for run in alone)
    seconds = statistics.median(run["took_s"] for run in watched)
    before_s = statistics.median(run["took_s"] for run in alone)
    busy = statistics.median(run["server_cpu"] for run in watched)
    busy_before = statistics.median(run["server_cpu"] for run in alone)
    return Row(
        name, "ms", [run[what] for run in watched], without * MUST, without, without,
        notes=[
            f"without browsers; the rollout takes {before_s:.1f} s without and {seconds:.1f} s "
            f"with them, the API server {busy_before:.0%} and {busy:.0%} of a core",
            f"the last time they were sent {told.get('messages', 0)} messages, "
            f"{told.get('bytes', 0) / 1e6:.1f} MB; on the same cores, at the lowest priority",
        ],
    )  # fmt: skip


@contextlib.contextmanager
def browsers(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Thirty of them; what they were told is known at the end."""
    command = [sys.executable, "-m", "bench.browsers", str(cluster.kubeconfig), str(BROWSERS)]
    told: dict[str, Any] = {}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        if process.stdout.readline().strip() != "ready":
            raise BenchError("the browsers were shown nothing")
        try:
            yield told
        finally:
            process.stdin.close()
            told.update(json.loads(process.stdout.readline() or "{}"))


def rollout(cluster: Cluster, client: Any, value: str) -> dict[str, float]:
    """Replace all Pods; meanwhile somebody reads and writes and counts the milliseconds."""
    probe = Probe(cluster)
    server = cluster.components()["apiserver"]
    cpu_before, began = cpu_s(server), time.perf_counter()
    with probe:
        container = {"name": "main", "env": [{"name": "ROLLOUT", "value": value}]}
        client.patch(
            "deployments.apps", "class", "default",
            {"spec": {"template": {"spec": {"containers": [container]}}}}, patch_type="strategic",
        )  # fmt: skip
        _wait_rolled_out(client)
        took_s = time.perf_counter() - began
    times_ms = sorted(probe.times_ms)
    return {
        "median_ms": statistics.median(times_ms),
        "p95_ms": times_ms[int(len(times_ms) * 0.95)],
        "took_s": took_s,
        "server_cpu": (cpu_s(server) - cpu_before) / took_s,
    }


def _wait_rolled_out(client: Any) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        deployment = client.get("deployments.apps", "class", "default")
        status = deployment.get("status") or {}
        is_seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
        counts = {status.get(n) for n in ("replicas", "updatedReplicas", "availableReplicas")}
        if is_seen and counts == {REPLICAS}:
            return
        time.sleep(0.1)
    raise BenchError(f"the rollout has not ended after {TIMEOUT_S} s")


class Probe:
    """Reads a Deployment and changes a ConfigMap in turn, on a connection of its own."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.times_ms: list[float] = []

    def __enter__(self) -> Probe:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self._cluster.client() as client:
            name = f"probe-{time.monotonic_ns()}"
            about = {"name": name}
            client.create("configmaps", {"apiVersion": "v1", "kind": "ConfigMap",
                                         "metadata": about, "data": {}}, "default")  # fmt: skip
            turn = 0
            while not self._stop.wait(PAUSE_S):
                turn += 1
                began = time.perf_counter()
                if turn % 2:
                    client.get("deployments.apps", "class", "default")
                else:
                    client.patch("configmaps", name, "default", {"data": {"turn": str(turn)}})
                self.times_ms.append((time.perf_counter() - began) * 1000)
            client.delete("configmaps", name, "default")
