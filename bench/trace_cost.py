"""What the causal trace costs: the same work with it and without, in turns, in one run.

    python -m bench.trace_cost [--rounds 12] [--seconds 1] [--starts 3] [--replicas 100]

Two clusters run at the same time, one with PODIUM_TRACE=off: it keeps no cause beside a change and
tells no span. Short rounds of POST go to one and the other in turns, then starts of so many
replicas. The table has medians, and beside each what the processes used of the CPU for it, which
other work on the machine disturbs less than the time that it took.
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections import defaultdict

from bench.cluster import Cluster, cpu_s, started_cluster
from bench.measure import CONNECTIONS, generate, until_ready

Samples = dict[str, list[float]]


def post(cluster: Cluster, seconds: float, into: Samples) -> None:
    server = cluster.components()["apiserver"]
    began = cpu_s(server)
    posted = generate(cluster, "post", CONNECTIONS, seconds)
    into["POST per s, 16 connections"].append(posted["per_s"])
    used_us = (cpu_s(server) - began) * 1e6
    into["  CPU of the API server a POST, µs"].append(used_us / (posted["per_s"] * seconds))


def start(cluster: Cluster, replicas: int, into: Samples) -> None:
    began = _cpu_s(cluster)
    into[f"{replicas} replicas until Ready, s"].append(until_ready(cluster, replicas))
    into["  CPU of all components for that and their end, s"].append(_cpu_s(cluster) - began)


def _cpu_s(cluster: Cluster) -> float:
    return sum(cpu_s(pid) for pid in cluster.everything())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.trace_cost", description=__doc__)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--starts", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=100)
    arguments = parser.parse_args()
    found: dict[str, Samples] = {"on": defaultdict(list), "off": defaultdict(list)}
    os.environ["PODIUM_TRACE"] = "on"
    with started_cluster() as with_it:
        os.environ["PODIUM_TRACE"] = "off"
        with started_cluster() as without:
            turns = (("on", with_it), ("off", without), ("off", without), ("on", with_it))
            for _, cluster in turns[:2]:
                generate(cluster, "post", CONNECTIONS, 1.0)  # everything is warm
                until_ready(cluster, 1)
            for _ in range(arguments.rounds // 2):
                for how, cluster in turns:
                    post(cluster, arguments.seconds, found[how])
            for number in range(2 * arguments.starts):
                how, cluster = turns[number % 4]
                start(cluster, arguments.replicas, found[how])
    print(f"{'':52}{'with':>10}{'without':>10}")
    for name, samples in found["on"].items():
        on, off = statistics.median(samples), statistics.median(found["off"][name])
        print(f"{name:<52}{on:>10.4g}{off:>10.4g}{on / off - 1:>+9.1%}")


if __name__ == "__main__":
    main()
