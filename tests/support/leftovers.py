"""What Podium leaves on a machine, found by looking at the kernel and not at Podium's own
records."""

from __future__ import annotations

import glob
import itertools
import os
from pathlib import Path

from pyroute2.nftables.main import NFTables

MODULES = ("apiserver", "controllers", "kubelet", "podium")


def processes() -> set[str]:
    """`"pid command line"` of every process of Podium's, containers' processes included."""
    found = set()
    for path in glob.glob("/proc/[0-9]*"):
        try:
            words = Path(path, "cmdline").read_bytes().decode(errors="replace").split("\0")
            cgroups = Path(path, "cgroup").read_text()
        except OSError:
            continue  # it ended while we looked
        runs_module = any(
            a == "-m" and b.split(".")[0] in MODULES for a, b in itertools.pairwise(words)
        )
        if runs_module or words[0].startswith("podium") or "/podium-" in cgroups:
            found.add(f"{Path(path).name} {' '.join(words).strip()}")
    return found


def cgroups() -> set[str]:
    return set(glob.glob("/sys/fs/cgroup/podium-*") + glob.glob("/sys/fs/cgroup/*/podium-*"))


def mounts() -> set[str]:
    """Mount points of this mount namespace that lie in a data directory or hold a Pod's volume."""
    points = {line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    return {p for p in points if any(part in p for part in ("/nodes/", "podium", "/volumes/"))}


def links() -> set[str]:
    return {name for name in os.listdir("/sys/class/net") if name.startswith(("podium-", "pod"))}


def nft_tables() -> set[str]:
    try:
        with NFTables(nfgen_family=0) as nft:
            names = {table.get_attr("NFTA_TABLE_NAME") for table in nft.get_tables()}
    except OSError:
        return set()  # a kernel without nf_tables has no tables
    return {name for name in names if name and name.startswith("podium-")}


def everything() -> set[str]:
    """All of it, each line naming what it is."""
    named = {
        "process": processes(),
        "cgroup": cgroups(),
        "mount": mounts(),
        "link": links(),
        "nft table": nft_tables(),
    }
    return {f"{kind} {thing}" for kind, things in named.items() for thing in things}


def find_leftovers(cluster_id: str, data_dir: Path) -> list[str]:
    """What is left of one cluster."""
    return sorted(
        line for line in everything() if f"podium-{cluster_id}" in line or str(data_dir) in line
    )
