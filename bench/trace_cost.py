"""What the causal trace costs: the same work with it and without, in turns, in one run.

    python -m bench.trace_cost [--rounds 4] [--seconds 5] [--replicas 100]

Without means PODIUM_TRACE=off: no cause is kept beside a change, no span is told. A table of
medians: POST throughput at 16 connections, and until so many replicas are Ready. Beside each what
the processes used of the CPU for it, which other work on the machine disturbs less than the time.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict

from bench.cluster import Cluster, cpu_s, started_cluster
from bench.measure import CONNECTIONS, generate, until_ready

Samples = dict[str, list[float]]


def measure(cluster: Cluster, seconds: float, replicas: int, into: Samples) -> None:
    until_ready(cluster, 1)  # everything is warm
    before = _cpu_s(cluster)
    into[f"{replicas} replicas until Ready, s"].append(until_ready(cluster, replicas))
    into["  CPU of all components for that and their end, s"].append(_cpu_s(cluster) - before)
    server = cluster.components()["apiserver"]
    generate(cluster, "post", CONNECTIONS, 1.0)
    began = cpu_s(server)
    posted = generate(cluster, "post", CONNECTIONS, seconds)
    used_s = cpu_s(server) - began
    into["POST per s"].append(posted["per_s"])
    into["  CPU of the API server a POST, µs"].append(used_s / (posted["per_s"] * seconds) * 1e6)


def _cpu_s(cluster: Cluster) -> float:
    return sum(cpu_s(pid) for pid in cluster.everything())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.trace_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--replicas", type=int, default=100)
    arguments = parser.parse_args()
    found: dict[str, Samples] = {"on": defaultdict(list), "off": defaultdict(list)}
    for number in range(2 * arguments.rounds):
        how = ("on", "off")[(number + number // 2) % 2]  # on off off on on off …
        os.environ["PODIUM_TRACE"] = how
        with started_cluster() as cluster:
            measure(cluster, arguments.seconds, arguments.replicas, found[how])
        print(f"{how}: {[f'{name.strip()} {of[-1]:.4g}' for name, of in found[how].items()]}",
              flush=True)  # fmt: skip
    print(f"{'':52}{'with':>10}{'without':>10}{'':>9}")
    for name, with_it in found["on"].items():
        on, off = statistics.median(with_it), statistics.median(found["off"][name])
        print(f"{name:<52}{on:>10.4g}{off:>10.4g}{on / off - 1:>+9.1%}")


if __name__ == "__main__":
    main()
