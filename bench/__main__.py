"""`make bench`: the numbers that Podium is designed for, each beside the bare kernel's in the same
run.

Prints a table, writes bench/out/{results.json,table.txt,chart.png}. Ratios in one run on one
machine are what counts; absolute figures swing. It asserts no times: it exits with 0 whatever they
are.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import measure
from bench.classroom import classroom
from bench.cluster import BenchError, Cluster, started_cluster
from bench.measure import Effort
from bench.report import Row, as_json, chart, table

OUT = Path(__file__).parent / "out"
QUICK = Effort(runs=1, idle_s=5, load_s=2)


def measurements(effort: Effort) -> dict[str, Callable[[Cluster], list[Row]]]:
    """What needs a running cluster, in an order in which one does not spoil the next."""
    return {
        "idle": lambda cluster: measure.idle(cluster, effort),
        "pods": lambda cluster: measure.pods(cluster, effort),
        "images": lambda cluster: measure.images(cluster, effort),
        "shims": lambda cluster: [measure.shims(cluster)],
        "exec": lambda cluster: measure.execs(cluster, effort),
        "classroom": lambda cluster: classroom(cluster, effort.runs),
        "recovery": lambda cluster: [measure.recovery(cluster, effort)],
        "requests": lambda cluster: measure.requests(cluster, effort),
        "list": lambda cluster: [measure.big_list(cluster, effort)],
    }


def rows(effort: Effort, wanted: set[str]) -> Iterator[list[Row]]:
    if "start" in wanted:
        yield measure.start(effort)
    chosen = {name: run for name, run in measurements(effort).items() if name in wanted}
    if chosen:
        with started_cluster() as cluster:
            for run in chosen.values():
                yield run(cluster)


def main() -> int:
    names = ["start", *measurements(Effort())]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short run of each, to try it")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="|".join(names))
    args = parser.parse_args()
    if os.geteuid() != 0:
        print("needs root: it makes containers", file=sys.stderr)
        return 1
    effort = QUICK if args.quick else Effort()
    about = f"{measure.machine()}\nmedians of {effort.runs} runs or more"
    print(about, flush=True)
    found: list[Row] = []
    try:
        for some in rows(effort, set(args.only)):
            found += some
            for row in some:
                print(
                    f"  {time.strftime('%H:%M:%S')}  {row.name}: {row.podium:.3g} {row.unit}",
                    flush=True,
                )
    except BenchError as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    finally:
        if found:
            write(found, about)
    return 0


def write(found: list[Row], about: str) -> None:
    OUT.mkdir(exist_ok=True)
    text = table(found)
    print(f"\n{text}\n\nchart: {OUT / 'chart.png'}")
    (OUT / "table.txt").write_text(f"{about}\n\n{text}\n")
    content = {
        "machine": about,
        "at": time.strftime("%FT%TZ", time.gmtime()),
        "rows": as_json(found),
    }
    (OUT / "results.json").write_text(json.dumps(content, indent=1) + "\n")
    chart(found, "Podium against its own targets", OUT / "chart.png")


if __name__ == "__main__":
    sys.exit(main())
