"""`make bench`: the numbers that Podium is designed for, each beside the bare kernel's in the same
run.

Prints a table, writes bench/out/{results.json,table.txt,chart.png}. Ratios in one run on one
machine are what counts; absolute figures swing. Kubernetes' figures are recorded ones (another run
on the same kind of machine: Kubernetes 1.20, etcd 3.5, containerd 1.6), since it is not installed
here.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import floor
from bench.cluster import (
    Cluster,
    a_deployment,
    cpu_s,
    delete_and_wait,
    pss_bytes,
    started_cluster,
    wait_ready,
)

OUT = Path("bench/out")
RUNS = int(os.environ.get("BENCH_RUNS", "3"))
IDLE_S = float(os.environ.get("BENCH_IDLE_S", "40"))
LOAD_S = float(os.environ.get("BENCH_LOAD_S", "8"))
LIST_PODS = int(os.environ.get("BENCH_LIST_PODS", "10000"))


@dataclass
class Row:
    """One line of the table; `floor` None where the bare kernel has no counterpart."""

    name: str
    unit: str
    podium: float
    floor: float | None
    kubernetes: str
    must: float
    aim: float
    more_is_better: bool = False

    @property
    def verdict(self) -> str:
        better = (lambda a, b: a >= b) if self.more_is_better else (lambda a, b: a <= b)
        return (
            "aim"
            if better(self.podium, self.aim)
            else "must"
            if better(self.podium, self.must)
            else "short"
        )


def median_of(runs: int, measure) -> float:
    return statistics.median(measure() for _ in range(runs))


def start_row() -> Row:
    times = []
    for _ in range(RUNS):
        with started_cluster() as cluster:
            times.append(cluster.start_s)
    imports = "import flask, sqlalchemy, gevent.pywsgi, pyroute2"
    bare = median_of(RUNS, lambda: seconds([sys.executable, "-c", imports]))
    return Row("start until node Ready", "s", statistics.median(times), bare, "15.7", 2.0, 1.0)


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def until_ready(cluster: Cluster, replicas: int) -> float:
    """Seconds from `podium apply` to the watch event that says all are ready."""
    name = f"bench-{time.monotonic_ns()}"
    path = cluster.data_dir.parent / f"{name}.json"
    path.write_text(json.dumps(a_deployment(name, replicas)))
    client = cluster.client()
    began = time.perf_counter()
    cluster.podium("apply", "-f", str(path))
    wait_ready(client, name, replicas)
    took = time.perf_counter() - began
    delete_and_wait(client, name)
    return took


def pod_rows(cluster: Cluster) -> list[Row]:
    until_ready(cluster, 1)  # the first one finds everything cold
    one = median_of(RUNS + 2, lambda: until_ready(cluster, 1))
    hundred = median_of(RUNS, lambda: until_ready(cluster, 100))
    return [
        Row(
            "apply one Pod's Deployment until Ready",
            "s",
            one,
            floor.seconds_for(1),
            "0.7-0.9",
            0.4,
            0.15,
        ),
        Row(
            "100 replicas until all Ready",
            "s",
            hundred,
            floor.seconds_for(100),
            "19 (79)",
            5.0,
            2.0,
        ),
    ]


def idle_rows(cluster: Cluster) -> list[Row]:
    pids = cluster.pids()
    time.sleep(3)  # what the last measurement left to do
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(IDLE_S)
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    memory = {name: pss_bytes(pid) / 2**20 for name, pid in pids.items()}
    print("  PSS MiB:", {name: round(value, 1) for name, value in memory.items()})
    print("  idle CPU %:", {name: round(value / IDLE_S * 100, 2) for name, value in used.items()})
    bare = empty_python_mib() * len(pids)
    return [
        Row(
            "memory of everything but the workload (PSS)",
            "MiB",
            sum(memory.values()),
            bare,
            "800-870",
            200,
            120,
        ),
        Row("idle CPU", "% of a core", sum(used.values()) / IDLE_S * 100, None, "4.3", 2.0, 0.5),
    ]


PSS_OF_ITSELF = (
    "print([l.split()[1] for l in open('/proc/self/smaps_rollup') if l.startswith('Pss:')][0])"
)


def empty_python_mib() -> float:
    """What an interpreter that does nothing weighs: the floor of each of our processes."""
    done = subprocess.run(
        [sys.executable, "-c", PSS_OF_ITSELF], check=True, capture_output=True, text=True
    )
    return int(done.stdout) / 1024


def shim_row(cluster: Cluster) -> Row:
    client = cluster.client()
    client.create("deployments.apps", a_deployment("shims", 20), "default")
    wait_ready(client, "shims", 20)
    sizes = [pss_bytes(pid) / 2**20 for pid in cluster.shims()]
    delete_and_wait(client, "shims")
    return Row(
        "a shim's memory, median of 20 (PSS)", "MiB", statistics.median(sizes), None, "-", 3.0, 2.0
    )


def load(cluster: Cluster, kind: str) -> float:
    kubeconfig = str(cluster.data_dir / "admin.kubeconfig")
    command = [sys.executable, "-m", "bench.load", kubeconfig, kind, "16", str(LOAD_S)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    print(f"  {kind}: {result}")
    return float(result["per_s"])


def api_rows(cluster: Cluster) -> list[Row]:
    get = median_of(RUNS, lambda: load(cluster, "get"))
    post = median_of(RUNS, lambda: load(cluster, "post"))
    return [
        Row(
            "POST Pod, 16 TLS connections",
            "per s",
            post,
            None,
            "1101",
            550,
            1101,
            more_is_better=True,
        ),
        Row(
            "GET Pod, 16 TLS connections",
            "per s",
            get,
            None,
            "3869",
            1935,
            3869,
            more_is_better=True,
        ),
        list_row(cluster),
    ]


def list_row(cluster: Cluster) -> Row:
    client = cluster.client()
    count = len(client.list("pods", "default")["items"])
    while count < LIST_PODS:
        load(cluster, "post")
        count = len(client.list("pods", "default")["items"])

    def once() -> float:
        began = time.perf_counter()
        client.raw("GET", "/api/v1/namespaces/default/pods", query={"limit": LIST_PODS})
        return time.perf_counter() - began

    return Row(f"LIST {LIST_PODS:,} Pods", "s", median_of(RUNS + 2, once), None, "~0.4", 0.4, 0.1)


def recovery_row(cluster: Cluster) -> Row:
    """kill -9 of API server, controllers, launcher and kubelet at once, until all are ready
    again."""

    def once() -> float:
        before = cluster.pids()
        for name, pid in before.items():
            if name != "supervisor":
                os.kill(pid, 9)
        began = time.perf_counter()
        while True:
            try:
                found = json.loads(cluster.podium("status", "-o", "json"))["components"]
            except subprocess.CalledProcessError:
                found = []
            if found and all(c["ready"] and c["pid"] != before[c["name"]] for c in found):
                return time.perf_counter() - began
            if time.perf_counter() - began > 60:
                raise TimeoutError("the components did not come back")

    return Row(
        "all components killed until all ready", "s", median_of(RUNS, once), None, "-", 2.0, 1.0
    )


def table(rows: list[Row]) -> str:
    head = ("", "unit", "Podium", "bare kernel", "Kubernetes*", "must", "aim", "")
    lines = [head, *((
        r.name, r.unit, f"{r.podium:.3g}" if r.podium < 1000 else f"{r.podium:,.0f}",
        "-" if r.floor is None else f"{r.floor:.3g}", r.kubernetes, f"{r.must:g}", f"{r.aim:g}",
        {"aim": "reaches the aim", "must": "reaches the must", "short": "FALLS SHORT"}[r.verdict],
    ) for r in rows)]  # fmt: skip
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    drawn = [
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(
        [*drawn, "* recorded on the same kind of machine in another run, not measured now"]
    )


def chart(rows: list[Row], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(10, 0.62 * len(rows) + 1.6))
    least = 0.01  # of a core in percent: what one tick in 40 s would be is drawn, not nothing
    ratios = [
        r.podium / r.must if r.more_is_better else r.must / max(r.podium, least) for r in rows
    ]
    aims = [r.must / r.aim if not r.more_is_better else r.aim / r.must for r in rows]
    colours = {"aim": "#0b7a43", "must": "#2457d6", "short": "#b42318"}
    places = range(len(rows))
    axes.barh(places, ratios, height=0.55, color=[colours[r.verdict] for r in rows])
    axes.plot(aims, places, "D", color="#14181f", markersize=6, label="aims at")
    axes.axvline(1, color="#14181f", linewidth=1.2, label="must reach")
    axes.set_yticks(places, [f"{r.name}\n{r.podium:.3g} {r.unit}" for r in rows], fontsize=9)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlabel("times better than the figure that must be reached (log scale)")
    axes.set_title("Podium against its own targets: longer is better")
    axes.legend(loc="lower right", frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=140)


def main() -> None:
    OUT.mkdir(exist_ok=True)
    where = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{where}, medians of {RUNS}")
    rows = [start_row()]
    with started_cluster() as cluster:
        rows += idle_rows(cluster)
        rows += pod_rows(cluster)
        rows.append(shim_row(cluster))
        rows.append(recovery_row(cluster))
        rows += api_rows(cluster)
    text = table(rows)
    print(text)
    (OUT / "table.txt").write_text(text + "\n")
    (OUT / "results.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    chart(rows, OUT / "chart.png")
    print(f"chart: {OUT / 'chart.png'}")


if __name__ == "__main__":
    main()
