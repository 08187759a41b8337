"""What the node as a whole uses: read from /proc. Room kubelet; used by sampler.py."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from kubelet.machine import read

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_LOOPBACK = "lo"


@dataclass(frozen=True)
class Interface:
    name: str
    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


@dataclass(frozen=True)
class Memory:
    total_bytes: int
    available_bytes: int  # the total less the working set
    usage_bytes: int
    working_set_bytes: int
    rss_bytes: int
    page_faults: int
    major_page_faults: int
    swap_usage_bytes: int
    swap_available_bytes: int


def booted_at() -> float:
    line = next(line for line in read("/proc/stat").splitlines() if line.startswith("btime "))
    return float(line.split()[1])


def cpu_used_ns() -> int:
    """By everything, on all CPUs: what is neither idle nor waiting for a disk."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = (
        int(word) for word in read("/proc/stat").split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK_NS


def memory() -> Memory:
    """The working set is what is in use without the page cache that would be dropped first."""
    pairs = (line.split(":") for line in read("/proc/meminfo").splitlines())
    table = {name: int(value.split()[0]) * 1024 for name, value in pairs}
    events = dict(line.split() for line in read("/proc/vmstat").splitlines())
    usage = table["MemTotal"] - table["MemFree"]
    working_set = max(0, usage - table.get("Inactive(file)", 0))
    return Memory(
        total_bytes=table["MemTotal"],
        available_bytes=table["MemTotal"] - working_set,
        usage_bytes=usage,
        working_set_bytes=working_set,
        rss_bytes=table.get("AnonPages", 0),
        page_faults=int(events.get("pgfault", 0)),
        major_page_faults=int(events.get("pgmajfault", 0)),
        swap_usage_bytes=table.get("SwapTotal", 0) - table.get("SwapFree", 0),
        swap_available_bytes=table.get("SwapFree", 0),
    )


def interfaces(text: str) -> tuple[Interface, ...]:
    """From a /proc/<pid>/net/dev, without the loopback (`man 5 proc_pid_net`)."""
    found = []
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        counts = [int(word) for word in rest.split()]
        if name.strip() != _LOOPBACK and len(counts) >= 12:
            found.append(Interface(name.strip(), *counts[0:4], *counts[8:12]))
    return tuple(found)


def default_interface() -> str:
    """The one that leads out; "" if none does."""
    for line in read("/proc/net/route").splitlines()[1:]:
        name, destination = line.split()[:2]
        if destination == "00000000":
            return name
    return ""


def processes() -> tuple[int, int]:
    """How many tasks there are, and how many there may be."""
    running = int(read("/proc/loadavg").split()[3].partition("/")[2])
    return running, int(read("/proc/sys/kernel/pid_max"))


@dataclass(frozen=True)
class Own:
    """This process."""

    started_at: float
    cpu_used_ns: int
    resident_bytes: int
    virtual_bytes: int
    open_fds: int
    page_faults: int
    major_page_faults: int


def own() -> Own:
    """`man 5 proc_pid_stat`: fields are numbered from 1, and the name may contain anything."""
    fields = read("/proc/self/stat").rpartition(")")[2].split()
    faults, major = int(fields[7]), int(fields[9])
    started_s = int(fields[19]) * _TICK_NS / 1e9
    pages = read("/proc/self/statm").split()
    return Own(
        started_at=booted_at() + started_s,
        cpu_used_ns=time.process_time_ns(),
        resident_bytes=int(pages[1]) * _PAGE_BYTES,
        virtual_bytes=int(pages[0]) * _PAGE_BYTES,
        open_fds=len(os.listdir("/proc/self/fd")),
        page_faults=faults,
        major_page_faults=major,
    )
