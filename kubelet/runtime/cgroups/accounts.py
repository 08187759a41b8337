"""What the kernel has counted for a cgroup, as the fields of `ContainerStats`.

Room kubelet/runtime; called by `Cgroups.stats` in the kubelet, which imports it when it is first
asked: launcher and shims never need it. Each tree gives the fields of its own controllers.
Sources: kernel `cgroup-v1/{cpuacct,memory,blkio-controller,pids}.rst`, `cgroup-v2.rst`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from kubelet.runtime.cgroups.hierarchy import Hierarchy, read, read_table
from kubelet.runtime.cgroups.v1 import HierarchyV1
from kubelet.runtime.protocol import ContainerStats, DeviceIo, Pressure, Resources

Fields = dict[str, Any]

NO_LIMIT_V1 = 1 << 62  # v1 shows "no limit" as the highest multiple of the page size
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def stats(trees: Iterable[Hierarchy], path: str) -> ContainerStats:
    """Of the cgroup at `path` in all `trees` together; FileNotFoundError if it is gone."""
    found: Fields = {}
    for tree in trees:
        reader = _v1 if isinstance(tree, HierarchyV1) else _v2
        found |= reader(tree.controllers, tree.directory(path))
    return ContainerStats(**found)


def limits(trees: Iterable[Hierarchy], path: str) -> Resources:
    """What can be resized, as the kernel has it: cpu_shares and the limits of cpu and memory."""
    found: Fields = {}
    for tree in trees:
        reader = _limits_v1 if isinstance(tree, HierarchyV1) else _limits_v2
        found |= reader(tree.controllers, tree.directory(path))
    return Resources(**found)


# ---- v1 -----------------------------------------------------------------------------------------


def _v1(controllers: frozenset[str], directory: str) -> Fields:
    found: Fields = {}
    if "cpuacct" in controllers:
        ticks = read_table(f"{directory}/cpuacct.stat")
        found["cpu_usage_ns"] = int(read(f"{directory}/cpuacct.usage"))
        found["cpu_user_ns"] = ticks.get("user", 0) * TICK_NS
        found["cpu_system_ns"] = ticks.get("system", 0) * TICK_NS
    if "cpu" in controllers:
        table = read_table(f"{directory}/cpu.stat")
        found["cpu_periods"] = table.get("nr_periods", 0)
        found["cpu_throttled_periods"] = table.get("nr_throttled", 0)
        found["cpu_throttled_ns"] = table.get("throttled_time", 0)
    if "memory" in controllers:
        found |= _memory_v1(directory)
    if "pids" in controllers:
        found |= _pids(directory)
    if "blkio" in controllers:
        found["io"] = _io_v1(directory)
    return found


def _memory_v1(directory: str) -> Fields:
    usage = int(read(f"{directory}/memory.usage_in_bytes"))
    table = read_table(f"{directory}/memory.stat")
    limit = _below_none(int(read(f"{directory}/memory.limit_in_bytes")))
    found: Fields = {
        "memory_usage_bytes": usage,
        "memory_working_set_bytes": max(0, usage - table.get("total_inactive_file", 0)),
        "memory_limit_bytes": limit,
        "memory_peak_bytes": int(read(f"{directory}/memory.max_usage_in_bytes")),
        "memory_rss_bytes": table.get("total_rss", 0),
        "memory_cache_bytes": table.get("total_cache", 0),
        "memory_mapped_file_bytes": table.get("total_mapped_file", 0),
        "memory_limit_hits": int(read(f"{directory}/memory.failcnt")),
        "page_faults": table.get("total_pgfault", 0),
        "major_page_faults": table.get("total_pgmajfault", 0),
        "swap_usage_bytes": table.get("total_swap", 0),
    }
    with_swap = f"{directory}/memory.memsw.limit_in_bytes"
    if limit is not None and os.path.exists(with_swap):
        both = _below_none(int(read(with_swap)))
        found["swap_limit_bytes"] = None if both is None else both - limit
    return found


def _limits_v1(controllers: frozenset[str], directory: str) -> Fields:
    found: Fields = {}
    if "cpu" in controllers:
        found["cpu_shares"] = int(read(f"{directory}/cpu.shares"))
        found["cpu_quota_us"] = int(read(f"{directory}/cpu.cfs_quota_us"))
        found["cpu_period_us"] = int(read(f"{directory}/cpu.cfs_period_us"))
    if "memory" in controllers:
        found["memory_bytes"] = _below_none(int(read(f"{directory}/memory.limit_in_bytes")))
    return found


def _below_none(value: int) -> int | None:
    return value if value < NO_LIMIT_V1 else None


def _io_v1(directory: str) -> tuple[DeviceIo, ...]:
    """Lines "8:0 Read 4096", and one "Total". Requests are counted where they pass the throttle,
    so also those of devices without a scheduler."""
    found: dict[tuple[int, int], dict[str, int]] = {}
    for file, names in (
        ("io_service_bytes", {"Read": "read_bytes", "Write": "write_bytes"}),
        ("io_serviced", {"Read": "reads", "Write": "writes"}),
    ):
        for line in read(f"{directory}/blkio.throttle.{file}_recursive").splitlines():
            device, *rest = line.split()
            if rest and rest[0] in names:
                found.setdefault(_numbers(device), {})[names[rest[0]]] = int(rest[1])
    return tuple(DeviceIo(*numbers, **counts) for numbers, counts in sorted(found.items()))


# ---- v2 -----------------------------------------------------------------------------------------


def _v2(controllers: frozenset[str], directory: str) -> Fields:
    found: Fields = {}
    if "cpu" in controllers:
        found |= _cpu_v2(directory)
    if "memory" in controllers:
        found |= _memory_v2(directory)
    if "pids" in controllers:
        found |= _pids(directory)
    if "io" in controllers:
        found["io"] = _io_v2(directory)
    for name in controllers & {"cpu", "memory", "io"}:
        found[f"{name}_pressure"] = _pressure(f"{directory}/{name}.pressure")
    return found


def _cpu_v2(directory: str) -> Fields:
    table = read_table(f"{directory}/cpu.stat")
    return {
        "cpu_usage_ns": table["usage_usec"] * 1000,
        "cpu_user_ns": table.get("user_usec", 0) * 1000,
        "cpu_system_ns": table.get("system_usec", 0) * 1000,
        "cpu_periods": table.get("nr_periods", 0),
        "cpu_throttled_periods": table.get("nr_throttled", 0),
        "cpu_throttled_ns": table.get("throttled_usec", 0) * 1000,
    }


def _memory_v2(directory: str) -> Fields:
    usage = int(read(f"{directory}/memory.current"))
    table = read_table(f"{directory}/memory.stat")
    peak, swap = f"{directory}/memory.peak", f"{directory}/memory.swap.current"
    has_swap = os.path.exists(swap)
    return {
        "memory_usage_bytes": usage,
        "memory_working_set_bytes": max(0, usage - table.get("inactive_file", 0)),
        "memory_limit_bytes": _limit(f"{directory}/memory.max"),
        "memory_peak_bytes": int(read(peak)) if os.path.exists(peak) else 0,  # since Linux 5.19
        "memory_rss_bytes": table.get("anon", 0),
        "memory_cache_bytes": table.get("file", 0),
        "memory_mapped_file_bytes": table.get("file_mapped", 0),
        "memory_limit_hits": read_table(f"{directory}/memory.events").get("max", 0),
        "page_faults": table.get("pgfault", 0),
        "major_page_faults": table.get("pgmajfault", 0),
        "swap_usage_bytes": int(read(swap)) if has_swap else 0,
        "swap_limit_bytes": _limit(f"{directory}/memory.swap.max") if has_swap else None,
    }


def _limits_v2(controllers: frozenset[str], directory: str) -> Fields:
    found: Fields = {}
    if "cpu" in controllers:
        quota, period = read(f"{directory}/cpu.max").split()
        found["cpu_shares"] = cpu_shares(int(read(f"{directory}/cpu.weight")))
        found["cpu_quota_us"] = -1 if quota == "max" else int(quota)
        found["cpu_period_us"] = int(period)
    if "memory" in controllers:
        found["memory_bytes"] = _limit(f"{directory}/memory.max")
    return found


def _io_v2(directory: str) -> tuple[DeviceIo, ...]:
    """Lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0"."""
    found = []
    for line in read(f"{directory}/io.stat").splitlines():
        device, *pairs = line.split()
        counts = {name: int(value) for name, _, value in (p.partition("=") for p in pairs)}
        if counts:
            found.append(
                DeviceIo(
                    *_numbers(device),
                    read_bytes=counts.get("rbytes", 0),
                    write_bytes=counts.get("wbytes", 0),
                    reads=counts.get("rios", 0),
                    writes=counts.get("wios", 0),
                )
            )
    return tuple(sorted(found, key=lambda io: (io.major, io.minor)))


def _pressure(path: str) -> Pressure | None:
    """Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and "full …"; a kernel that does not
    measure has no such file, or refuses to read it."""
    try:
        lines = [line.split() for line in read(path).splitlines()]
    except OSError:
        return None
    found: dict[str, tuple[float, float, float, int]] = {}
    for kind, *pairs in lines:
        values = dict(pair.split("=") for pair in pairs)
        averages = (float(values["avg10"]), float(values["avg60"]), float(values["avg300"]))
        found[kind] = (*averages, int(values["total"]))
    nothing = (0.0, 0.0, 0.0, 0)
    return Pressure(found.get("some", nothing), found.get("full", nothing))


# ---- both ---------------------------------------------------------------------------------------


def _pids(directory: str) -> Fields:
    return {
        "pids": int(read(f"{directory}/pids.current")),
        "pids_limit": _limit(f"{directory}/pids.max"),
    }


def _limit(path: str) -> int | None:
    value = read(path).strip()
    return None if value == "max" else int(value)


def cpu_shares(weight: int) -> int:
    """The middle of those that `cpu_weight` makes this of: v2's scale is 26 times coarser."""
    return 2 + ((weight - 1) * 262_142 + 13 * 9999) // 9999


def _numbers(device: str) -> tuple[int, int]:
    major, _, minor = device.partition(":")
    return int(major), int(minor)
