"""The measurements, each a row: design.md section 9, then what else is worth watching."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import docker, registry
from bench.cluster import (
    PODIUM,
    BenchError,
    Cluster,
    a_deployment,
    cpu_s,
    delete_and_wait,
    pss_bytes,
    started_cluster,
    wait_ready,
)
from bench.floor import Floor
from bench.report import Row
from podium.cli.connection import Connection
from podium.cli.exec_stream import ExecStream

MIB = 1024 * 1024
CONNECTIONS = 16
REPLICAS = 100
SHIM_MAX_MIB = 3e6 / MIB  # 3 MB
LIST_PODS = 10_000
SETTLE_S = 5.0  # what the measurement before left to do
RECOVERY_TIMEOUT_S = 60
BUSY = 0.25  # of every core, before anything is measured


@dataclass(frozen=True)
class Effort:
    """How often and how long."""

    runs: int = 3
    idle_s: float = 40.0
    load_s: float = 8.0


def times(runs: int, measure: Callable[[], float]) -> list[float]:
    return [measure() for _ in range(runs)]


# ---- start ----


MODULES = "flask, sqlalchemy, gevent, apscheduler, orjson"
OF_A_TEST = """
import time
began = time.perf_counter()
from podium.testing.start import running_cluster
with running_cluster():
    print(time.perf_counter() - began)
"""


def start(effort: Effort) -> list[Row]:
    """By the command; and for a test, whose session has one of its own by the pytest plugin."""
    samples = []
    for _ in range(effort.runs):
        with started_cluster() as cluster:
            samples.append(cluster.start_s)
    tested = [of_a_test() for _ in range(2 * effort.runs + 1)]
    imports = [sys.executable, "-c", f"import {MODULES}"]
    bare = statistics.median(seconds(imports) for _ in range(effort.runs))
    notes = [f"one Python that imports {MODULES}"]
    return [
        Row("start until node Ready", "s", samples, 2.0, 1.0, bare, 15.7, "K8s* 15.7", notes=notes),
        Row("a test's cluster by the pytest plugin", "s", tested, 1.5, 1.0, bare, notes=notes),
    ]


def of_a_test() -> float:
    done = subprocess.run(
        [sys.executable, "-c", OF_A_TEST], check=True, stdout=subprocess.PIPE, text=True
    )
    return float(done.stdout)


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


# ---- idle ----


def idle(cluster: Cluster, effort: Effort) -> list[Row]:
    time.sleep(SETTLE_S)
    processes = cluster.everything()
    percents = [cpu_percents(processes, effort.idle_s) for _ in range(effort.runs)]
    sizes = {pid: pss_bytes(pid) / MIB for pid in processes}
    return [
        Row(
            "memory of everything but the workload", "MiB PSS", [sum(sizes.values())], 200, 120,
            bare_python_mib() * len(processes), 835, "K8s* 800-870",
            notes=[
                f"{len(processes)} Pythons that import nothing",
                "Podium: " + _by_name(processes, sizes, "MiB"),
            ],
        ),
        Row(
            "idle CPU", "% of a core", [sum(run.values()) for run in percents], 2.0, 0.5, 0.0, 4.3,
            "K8s* 4.3",
            notes=[
                f"nothing, over {effort.idle_s:.0f} s at a time",
                "Podium, the last time: " + _by_name(processes, percents[-1], "%"),
            ],
        ),
    ]  # fmt: skip


def cpu_percents(processes: dict[int, str], seconds: float) -> dict[int, float]:
    """Of a core, by pid, while nothing is asked of them."""
    before = {pid: cpu_s(pid) for pid in processes}
    began = time.perf_counter()
    time.sleep(seconds)
    took = time.perf_counter() - began
    return {pid: (cpu_s(pid) - before[pid]) / took * 100 for pid in processes}


def _by_name(processes: dict[int, str], values: dict[int, float], unit: str) -> str:
    return ", ".join(f"{name} {values[pid]:.2g} {unit}" for pid, name in processes.items())


def bare_python_mib() -> float:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        time.sleep(0.3)
        size = pss_bytes(process.pid) / MIB
        process.communicate(b"\n")
    return size


# ---- Pods ----


def pods(cluster: Cluster, effort: Effort) -> list[Row]:
    until_ready(cluster, 1)  # the first one finds everything cold
    one = times(effort.runs + 2, lambda: until_ready(cluster, 1))
    many = times(effort.runs, lambda: until_ready(cluster, REPLICAS))
    bare = [bare_containers(REPLICAS) for _ in range(effort.runs)]
    bare_one = statistics.median(s for run in bare for s in run)
    bare_many = statistics.median(sum(run) for run in bare)
    other_one, other_many = "K8s* 0.7-0.9", "K8s* 19 tuned, 79"
    if docker.is_there():
        docker.seconds_for(1)
        other_one += f", Docker {docker.seconds_for(1):.2f}"
        other_many += f", Docker {docker.seconds_for(REPLICAS):.1f}"
    what = "cgroups, six namespaces, overlay, veth with address and route, pivot_root, exec"
    return [
        Row(
            "apply one Pod's Deployment until Ready", "s", one, 0.4, 0.15, bare_one, 0.8, other_one,
            notes=[what + ", by one Python process"],
        ),
        Row(
            f"{REPLICAS} replicas until all Ready", "s", many, 5.0, 2.0, bare_many, 19,
            other_many, notes=["the same, one after the other; the design aims at 3 x this"],
        ),
    ]  # fmt: skip


def until_ready(cluster: Cluster, replicas: int, image: str = "host") -> float:
    """Seconds from `podium apply` to the watch event that says all are ready."""
    name = f"bench-{time.monotonic_ns()}"
    path = cluster.data_dir.parent / f"{name}.json"
    path.write_text(json.dumps(a_deployment(name, replicas, image)))
    with cluster.client() as client:
        client.list("deployments.apps", "default", limit=1)  # connected before the clock starts
        began = time.perf_counter()
        cluster.podium("apply", "-f", str(path))
        wait_ready(client, name, replicas)
        took = time.perf_counter() - began
        delete_and_wait(cluster, client, name)
    return took


def images(cluster: Cluster, effort: Effort) -> list[Row]:
    """Nothing where the programs for it are missing."""
    if not registry.is_there():
        return []
    with registry.running() as image:
        registry.seconds_for_skopeo(image)  # the registry finds its files cold
        fetched = times(effort.runs, lambda: registry.seconds_for_skopeo(image))
        pulled = times(effort.runs, lambda: until_pulled(cluster, image))
    size = f"{sum(registry.LAYERS_MIB)} MiB"
    return [
        Row(
            f"apply until Ready, with an image of {size} to pull", "s", pulled, None, None,
            statistics.median(fetched), None,
            notes=["skopeo copy to a directory, which fetches and checks but unpacks nothing"],
        )
    ]  # fmt: skip


def until_pulled(cluster: Cluster, image: str) -> float:
    """`until_ready` on a node that has nothing of the image, as before and afterwards."""
    took = until_ready(cluster, 1, image)
    deadline = time.monotonic() + RECOVERY_TIMEOUT_S
    while True:
        try:
            cluster.podium("image", "rm", image)
        except BenchError:  # the last container is still being removed
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return took


def bare_containers(count: int) -> list[float]:
    """Seconds of each, made one after the other and alive until the last is there."""
    with contextlib.closing(Floor()) as floor:
        floor.make()  # finds everything cold
        return times(count, floor.make)


def shims(cluster: Cluster) -> Row:
    with cluster.client() as client:
        client.create("deployments.apps", a_deployment("shims", REPLICAS), "default")
        wait_ready(client, "shims", REPLICAS)
        sizes = [pss_bytes(pid) / MIB for pid in cluster.shims()]
        delete_and_wait(cluster, client, "shims")
    name = f"a Pod's shim, of {REPLICAS}"
    return Row(name, "MiB PSS", sizes, SHIM_MAX_MIB, None, notes=["there is none"])


def execs(cluster: Cluster, effort: Effort) -> list[Row]:
    """`true` in a running container: through the API server and the kubelet on a connection of its
    own, as every exec has it, and as a command that a user types."""
    runs = 5 * effort.runs
    with cluster.client() as client:
        client.create("deployments.apps", a_deployment("exec", 1), "default")
        wait_ready(client, "exec", 1)
        (pod,) = client.list("pods", "default", label_selector="app=exec")["items"]
        name = pod["metadata"]["name"]
        api = Connection(cluster.kubeconfig, "default")
        exec_once(api, name)
        through_api = times(runs, lambda: exec_once(api, name))
        command = [str(PODIUM), "exec", name, "--data-dir", str(cluster.data_dir), "--", "true"]
        typed = times(runs, lambda: seconds(command))
        delete_and_wait(cluster, client, "exec")
    bare = statistics.median(seconds(["true"]) for _ in range(runs))
    python = statistics.median(seconds([sys.executable, "-c", ""]) for _ in range(runs))
    return [
        Row("exec into a running container, through the API", "s", through_api, 0.05, None, bare,
            notes=["`true` on the host"]),
        Row("the same by `podium exec`", "s", typed, None, None, python,
            notes=["a Python that does nothing"]),
    ]  # fmt: skip


def exec_once(api: Connection, pod: str) -> float:
    """Seconds from dialling to the exit code."""
    began = time.perf_counter()
    sock, host = api.dial()
    query = "command=true&container=main&stdin=false&stdout=true&stderr=true&tty=false"
    target = f"/api/v1/namespaces/default/pods/{pod}/exec?{query}"
    with sock:
        code = ExecStream(sock, host, target, stdin_fd=None).run()
    if code != 0:
        raise BenchError(f"exec of true ended with {code}")
    return time.perf_counter() - began


# ---- the API ----


def generate(cluster: Cluster, kind: str, size: int, bound: float, port: int = 0) -> dict[str, Any]:
    command = [sys.executable, "-m", "bench.load", str(cluster.kubeconfig), kind, str(size)]
    command += [str(bound), f"bench-{kind}".replace("fill", "list")]
    command += ["--port", str(port)] if port else []
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise BenchError(f"load generator ({kind}): {done.stderr.strip()}")
    result = dict(json.loads(done.stdout))
    bad = {code: n for code, n in result["statuses"].items() if code not in ("200", "201")}
    if bad:
        raise BenchError(f"load generator ({kind}): answers {bad}")
    return result


@contextlib.contextmanager
def bare_server(cluster: Cluster, body_bytes: int, *, is_durable: bool = False) -> Iterator[int]:
    command = [sys.executable, "-m", "bench.bare_server", str(cluster.data_dir), str(body_bytes)]
    command += ["--durable"] if is_durable else []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def requests(cluster: Cluster, effort: Effort) -> list[Row]:
    return [
        _load_row(cluster, effort, "post", kubernetes=1101),
        _load_row(cluster, effort, "get", kubernetes=3869),
    ]


def _load_row(cluster: Cluster, effort: Effort, kind: str, *, kubernetes: float) -> Row:
    """Half of Kubernetes' is what must be reached, the same is the aim."""
    runs = [generate(cluster, kind, CONNECTIONS, effort.load_s) for _ in range(effort.runs)]
    is_durable = kind == "post"
    with bare_server(cluster, runs[0]["answer_bytes"], is_durable=is_durable) as port:
        bare = generate(cluster, kind, CONNECTIONS, min(effort.load_s, 3.0), port)
    busy = statistics.median(run["generator_cpu"] for run in runs)
    median_ms, slow_ms = (statistics.median(r[k] for r in runs) for k in ("median_ms", "p99_ms"))
    synced = ", each batch synced to the disk" if is_durable else ""
    return Row(
        f"{kind.upper()} Pod, {CONNECTIONS} TLS connections", "per s", [r["per_s"] for r in runs],
        kubernetes / 2, kubernetes, bare["per_s"], kubernetes, f"K8s* {kubernetes:,.0f}",
        more_is_better=True,
        notes=[
            f"a TLS server of fixed bytes{synced}; Podium answers in {median_ms:.1f} ms "
            f"(median), {slow_ms:.1f} ms (99 %)",
            f"load by bench.load, not wrk, which shows no client certificate; it took {busy:.0%} "
            f"of a core, and {bare['generator_cpu']:.0%} against the bare server",
        ],
    )  # fmt: skip


def big_list(cluster: Cluster, effort: Effort) -> Row:
    generate(cluster, "fill", CONNECTIONS, LIST_PODS)
    listed = generate(cluster, "list", effort.runs + 2, 0)
    with bare_server(cluster, listed["answer_bytes"]) as port:
        bare = generate(cluster, "list", effort.runs + 2, 0, port)
    return Row(
        f"LIST {LIST_PODS:,} Pods", "s", listed["seconds"], 0.4, 0.1,
        statistics.median(bare["seconds"]), 0.4, "K8s* ~0.4",
        notes=[f"the same {listed['answer_bytes'] / 1e6:.0f} MB from a TLS server of fixed bytes"],
    )  # fmt: skip


# ---- recovery ----


def recovery(cluster: Cluster, effort: Effort) -> Row:
    """kill -9 of every component but the supervisor at once, until all are ready again."""

    def once() -> float:
        before = cluster.components()
        for name, pid in before.items():
            if name != "supervisor":
                os.kill(pid, 9)
        began = time.perf_counter()
        while time.perf_counter() - began < RECOVERY_TIMEOUT_S:
            now = cluster.recorded()
            if now and all(is_ready and pid != before[name] for name, pid, is_ready in now):
                return time.perf_counter() - began
            time.sleep(0.01)
        raise BenchError(f"the components were not back after {RECOVERY_TIMEOUT_S} s")

    samples = []
    for _ in range(effort.runs):
        samples.append(once())
        time.sleep(SETTLE_S + 1)  # a component that dies again within 5 s is held back on purpose
    return Row(
        "all components killed until all ready", "s", samples, 2.0, None,
        notes=["there is nothing to come back"],
    )  # fmt: skip


def machine() -> str:
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    cores = os.cpu_count() or 1
    load = os.getloadavg()[0]
    about = f"{platform.platform()}, {cores} cores{' (' + model[1] + ')' if model else ''}, "
    about += f"Python {platform.python_version()}, load average {load:.2f} at the start"
    if load > cores * BUSY:
        about += "\nOTHERS USE THIS MACHINE: compare with the bare figures only"
    return about
