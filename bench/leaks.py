"""What a cluster holds on a machine, seen from the kernel and the disk: two looks tell a leak.

Used by soak.py. Nothing here asks Podium.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from bench.cluster import Cluster, all_pids, pss_bytes, read

_POD_LINK = re.compile(r"pod[0-9a-f]{12}\Z")
_PER_POD = {  # below a node's directory: what is made for one Pod and must go with it
    "address": "network/addresses/*",
    "Pod directory": "pods/*",
    "user namespace range": "pods/*/userns",
    "sandbox": "runtime/sandboxes/*",
    "shared memory": "runtime/shm/*",
    "logs": "logs/*",
}


@dataclass(frozen=True)
class Look:
    """`things` are named, so that a leak can be found; `fds` and `pss` are by component."""

    things: frozenset[str]
    fds: dict[str, int]
    pss: dict[str, int]


def look(cluster: Cluster) -> Look:
    components = {name: pid for name, pid, _ in cluster.recorded() if pid}
    return Look(
        frozenset(_things(cluster, set(components.values()))),
        {name: _count(f"/proc/{pid}/fd") for name, pid in components.items()},
        {name: pss_bytes(pid) for name, pid in components.items()},
    )


def _things(cluster: Cluster, components: set[int]) -> list[str]:
    name = f"podium-{cluster.cluster_id}"
    found = [f"process {pid} {title}" for pid, title in _processes(name, components)]
    found += [f"mount {point}" for point in _mounts(cluster.data_dir)]
    found += [f"cgroup {path}" for path in Path("/sys/fs/cgroup").glob(f"**/{name}/**/pod*")]
    found += [f"link {link}" for link in os.listdir("/sys/class/net") if _POD_LINK.match(link)]
    for what, pattern in _PER_POD.items():
        found += [f"{what} {path}" for path in cluster.data_dir.glob(f"nodes/*/{pattern}")]
    return found


def _processes(name: str, components: set[int]) -> list[tuple[int, str]]:
    found = []
    for pid in all_pids():
        title = read(f"/proc/{pid}/cmdline").replace("\0", " ").strip()
        is_ours = name in title or f"/{name}/" in read(f"/proc/{pid}/cgroup")
        if is_ours and pid not in components:
            found.append((pid, title))
    return found


def _mounts(data_dir: Path) -> list[str]:
    points = (line.split(" ")[4] for line in read("/proc/self/mountinfo").splitlines())
    return [point for point in points if point.startswith(f"{data_dir}/")]


def _count(directory: str) -> int:
    try:
        return len(os.listdir(directory))
    except OSError:
        return 0  # it was killed a moment ago
