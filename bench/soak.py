"""Pods made and deleted in waves for minutes, with kill -9 in between; then: what was left behind?

    python -m bench.soak --minutes 10 --pods 200 --kill

Every wave is of all kinds of Pods there are here (plain, two containers that share their processes,
a user namespace, volumes, ones that end and are started again). A wave is over when all have been
Ready at the same time and all are gone. `--kill` sends SIGKILL to the kubelet, the launcher and
shims at random moments. At the end the cluster must hold what it held after the first waves: no
process, mount, cgroup, interface, address, file or directory more, and of memory at most 5 %.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bench.cluster import BenchError, Cluster, read, started_cluster
from bench.leaks import Look, look
from podium.client.http import Client

NAMESPACE = "default"
WAVE_TIMEOUT_S = 600.0
CONVERGE_TIMEOUT_S = 60.0
WARM_UP_PODS = 1200  # the longest memory is that of the events that were told: 1024 of them
GROWTH_MAX = 0.05
FDS_SLACK = 8  # connections come and go
KILL_EVERY_S = (0.3, 3.0)
VICTIMS = ("kubelet", "launcher", "shim", "shim")


@dataclass
class Report:
    waves: int = 0
    pods: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    restarted: int = 0  # Pods whose shim was killed, and that ran again
    leaks: list[str] = field(default_factory=list)  # things of the kernel and of the disk
    growth: list[str] = field(default_factory=list)  # descriptors and memory beyond what is allowed
    rows: list[str] = field(default_factory=list)

    def text(self) -> str:
        kills = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        lines = [
            f"{self.pods} Pods in {self.waves} waves; kill -9: {kills or 'none'}; "
            f"{self.restarted} Pods ran again after their shim was killed",
            *self.rows,
            *(f"LEAK {leak}" for leak in [*self.leaks, *self.growth]),
        ]
        if not self.leaks and not self.growth:
            lines.append("nothing has leaked")
        return "\n".join(lines)


def a_pod(number: int) -> dict[str, Any]:
    """The kinds take turns."""
    container = {
        "name": "main", "image": "host",
        "command": ["sh", "-c", "trap 'exit 0' TERM; sleep infinity & wait"],
    }  # fmt: skip
    spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 1}
    kind = number % 5
    if kind == 1:
        both = [container, container | {"name": "side"}]
        spec |= {"shareProcessNamespace": True, "containers": both}
    elif kind == 2:
        spec["hostUsers"] = False
    elif kind == 3:
        mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("scratch", "ram", "about")]
        item = {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}
        spec |= {
            "containers": [container | {"volumeMounts": mounts}],
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "ram", "emptyDir": {"medium": "Memory"}},
                {"name": "about", "downwardAPI": {"items": [item]}},
            ],
        }
    elif kind == 4:
        ends_once = "[ -e /state/x ] || { touch /state/x; exit 1; }; exec sleep infinity"
        mounts = [{"name": "state", "mountPath": "/state"}]
        again = container | {"command": ["sh", "-c", ends_once], "volumeMounts": mounts}
        spec |= {"containers": [again], "volumes": [{"name": "state", "emptyDir": {}}]}
    return {
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": f"soak-{number}", "labels": {"app": "soak"}},
    }  # fmt: skip


class Killer(threading.Thread):
    """SIGKILL to something at random, until it is told to stop."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        super().__init__(name="killer", daemon=True)
        self._cluster, self._random = cluster, random.Random(seed)
        self._stopping = threading.Event()
        self.kills: Counter[str] = Counter()
        self.uids: set[str] = set()  # of the Pods whose shims were killed

    def run(self) -> None:
        while not self._stopping.wait(self._random.uniform(*KILL_EVERY_S)):
            name = self._random.choice(VICTIMS)
            pid = self._shim() if name == "shim" else self._component(name)
            with contextlib.suppress(ProcessLookupError):
                if pid:
                    os.kill(pid, signal.SIGKILL)
                    self.kills[name] += 1

    def _component(self, wanted: str) -> int:
        pids = [pid for name, pid, _ in self._cluster.recorded() if name == wanted]
        return pids[0] if pids else 0

    def _shim(self) -> int:
        shims = self._cluster.shims()
        if not shims:
            return 0
        pid = self._random.choice(shims)
        self.uids.add(read(f"/proc/{pid}/cmdline").rstrip("\0").rpartition(" ")[2])
        return pid

    def stop(self) -> None:
        self._stopping.set()
        self.join()


class Soak:
    """`pods` in each wave; `warm_up_pods` until every cache has what it keeps."""

    def __init__(
        self, cluster: Cluster, client: Client, pods: int, *, warm_up_pods: int = WARM_UP_PODS,
        settle_s: float = 5.0,
    ) -> None:  # fmt: skip
        self._cluster, self._client, self._pods = cluster, client, pods
        self._warm_up_pods, self._settle_s = warm_up_pods, settle_s
        self._numbers = 0
        self.report = Report()

    def run(self, seconds: float, seed: int | None) -> Report:
        """With a seed there are kills."""
        empty = look(self._cluster)
        while self.report.pods < self._warm_up_pods:
            self._wave(None)
        before = self._settled(lambda seen: seen.things <= empty.things)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            killer = None if seed is None else Killer(self._cluster, seed + self.report.waves)
            self._wave(killer)
        after = self._settled(lambda seen: seen.things <= before.things)
        self._compare(before, after)
        return self.report

    def _wave(self, killer: Killer | None) -> None:
        numbers = range(self._numbers, self._numbers + self._pods)
        self._numbers = numbers.stop
        if killer:
            killer.start()
        for number in numbers:
            self._client.create("pods", a_pod(number), NAMESPACE)
        if killer:
            self._until(lambda: len(self._ready()) > self._pods // 2, "half a wave is ready")
            killer.stop()
        self._until(lambda: len(self._ready()) == self._pods, "a wave is ready")
        self._count_restarts(killer)
        last = Killer(self._cluster, numbers.stop) if killer else None
        if last:
            last.start()
        for number in numbers:
            self._client.delete("pods", f"soak-{number}", NAMESPACE)
        self._until(lambda: not self._items(), "a wave is gone")
        if last:
            last.stop()
        for one in (killer, last):
            self.report.kills += one.kills if one else Counter()
        self.report.waves += 1
        self.report.pods += self._pods

    def _count_restarts(self, killer: Killer | None) -> None:
        """Whose shim was killed has been seen to restart, or had not begun yet."""
        for pod in self._items() if killer else ():
            if pod["metadata"]["uid"] in killer.uids:
                statuses = pod["status"]["containerStatuses"]
                self.report.restarted += any(s["restartCount"] for s in statuses)

    def _items(self) -> list[dict[str, Any]]:
        listed = self._client.list("pods", NAMESPACE, label_selector="app=soak")
        return list(listed["items"])

    def _ready(self) -> list[dict[str, Any]]:
        return [pod for pod in self._items() if _is_ready(pod)]

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WAVE_TIMEOUT_S
        while not condition():
            if time.monotonic() > deadline:
                raise BenchError(f"not within {WAVE_TIMEOUT_S:.0f} s: {what}\n{self._stuck()}")
            time.sleep(0.2)

    def _stuck(self) -> str:
        return "\n".join(
            f"{pod['metadata']['name']}: {pod['metadata'].get('deletionTimestamp', '')} "
            f"{pod.get('status')}"
            for pod in self._items()
            if not _is_ready(pod)
        )

    def _settled(self, condition: Callable[[Look], bool]) -> Look:
        """A look once it has come true, or after long enough."""
        deadline = time.monotonic() + CONVERGE_TIMEOUT_S
        while not condition(look(self._cluster)) and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(self._settle_s)
        return look(self._cluster)

    def _compare(self, before: Look, after: Look) -> None:
        report = self.report
        report.leaks += sorted(after.things - before.things)
        for name in before.pss:
            fds, more_fds = before.fds[name], after.fds.get(name, 0)
            pss, more_pss = before.pss[name], after.pss.get(name, 0)
            growth = more_pss / pss - 1 if pss else 0.0
            report.rows.append(
                f"{name:12} fds {fds:4} → {more_fds:4}   "
                f"PSS {pss / 2**20:6.1f} → {more_pss / 2**20:6.1f} MiB ({growth:+.1%})"
            )
            if more_fds > fds + FDS_SLACK:
                report.growth.append(f"descriptors of {name}: {fds} → {more_fds}")
            if growth > GROWTH_MAX:
                report.growth.append(f"memory of {name}: {growth:+.1%}")


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--pods", type=int, default=200, help="in each wave")
    parser.add_argument("--kill", action="store_true", help="kill -9 at random moments")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with started_cluster() as cluster, cluster.client() as client:
        soak = Soak(cluster, client, args.pods)
        try:
            report = soak.run(args.minutes * 60, args.seed if args.kill else None)
        except BenchError as failure:
            print(f"soak: {failure}\n{soak.report.text()}", file=sys.stderr)
            return 1
    print(report.text())
    return 1 if report.leaks or report.growth else 0


if __name__ == "__main__":
    sys.exit(main())
