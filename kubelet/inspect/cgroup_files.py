"""A process's cgroups and what their files say. Room kubelet/inspect; reads only.

Where they are is found from /proc/<pid>/cgroup and this process's own mounts, so for whatever
engine made them. (kernel: `cgroup-v1/`, `cgroup-v2.rst`, `accounting/psi.rst`)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubelet.inspect.enforced import CGROUP_FIELDS, PRESSURE, Enforced
from kubelet.runtime.cgroups.accounts import NO_LIMIT_V1
from kubelet.runtime.cgroups.hierarchy import read, read_table

Object = dict[str, Any]
Row = dict[str, Any]
Asked = Callable[[Enforced], tuple[str, str]]


@dataclass(frozen=True)
class CgroupMount:
    """One mounted tree. `root` is the cgroup that its mount point shows, "/" on most hosts."""

    point: str
    root: str
    controllers: frozenset[str]  # empty: v2, which has all that v1 has not


@dataclass(frozen=True)
class Place:
    """Where a process is in one tree."""

    hierarchy: str  # "v1", "v2"
    directory: str

    @property
    def parent(self) -> Place:
        return Place(self.hierarchy, os.path.dirname(self.directory))


def read_mounts(lines: Iterable[str]) -> list[CgroupMount]:
    """Of /proc/self/mountinfo; each tree where it is mounted first."""
    found: dict[frozenset[str], CgroupMount] = {}
    for line in lines:
        before, _, after = line.rstrip("\n").partition(" - ")
        kind, _source, options = after.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            root, point = before.split(" ")[3:5]
            names = (
                frozenset(options.split(",")) - {"rw", "ro"} if kind == "cgroup" else frozenset()
            )
            found.setdefault(names, CgroupMount(point, root, names))
    return list(found.values())


def places_of(cgroup_text: str, mounts: Iterable[CgroupMount]) -> dict[str, Place]:
    """Controller → where the process is, by the text of its /proc/<pid>/cgroup; "" is v2."""
    paths = {}
    for line in cgroup_text.splitlines():
        _number, names, path = line.split(":", 2)
        paths[frozenset(names.split(",")) - {""}] = path
    found = {}
    for mount in mounts:
        path = paths.get(mount.controllers)
        if path is None:
            continue
        below = path.removeprefix(mount.root.rstrip("/")).strip("/")
        place = Place("v1" if mount.controllers else "v2", f"{mount.point}/{below}")
        found |= {name: place for name in mount.controllers or ("",)}
    return found


def place_of(file: str, places: Mapping[str, Place], hierarchy: str) -> Place | None:
    """The cgroup in which `file` is to be looked for; None if this host has it elsewhere."""
    controller = file.partition(".")[0]
    found = places.get(controller if hierarchy == "v1" else "")
    if hierarchy == "v2" and controller in places:
        return None
    return found


def rows(places: Mapping[str, Place], asked: Asked) -> Iterator[Row]:
    """A row for each file that holds a field of the spec, and for each that tells of pressure."""
    for field in CGROUP_FIELDS:
        path, value = asked(field)
        if not path or (field.only_if_asked and not value):
            continue
        for hierarchy, files in (("v1", field.v1), ("v2", field.v2)):
            for file in files:
                row = _row(file, places, hierarchy)
                if row is None:
                    continue
                is_first = file == files[0]
                used = _used(field, file, places, hierarchy) if is_first else None
                yield {"field": path, "asked": value, **row, "usage": used}
    for file in PRESSURE:
        if (row := _row(file, places, "v2")) is not None:
            usage = _pressure(row["live"])
            yield {"field": "", "asked": "", **row, "usage": {"pressure": usage}}


def _row(file: str, places: Mapping[str, Place], hierarchy: str) -> Row | None:
    place = place_of(file, places, hierarchy)
    if place is None:
        return None
    path = f"{place.directory}/{file}"
    live = _read(path)
    return None if live is None else {"file": path, "hierarchy": hierarchy, "live": live}


def _read(path: str) -> str | None:
    try:
        return read(path).strip()
    except OSError:  # gone, not offered by this kernel, or (pressure) switched off
        return None


def _number(path: str) -> int | None:
    text = _read(path)
    return int(text) if text and text.isdigit() else None


def _table(path: str) -> dict[str, int]:
    try:
        return read_table(path)
    except (OSError, ValueError):
        return {}


# ---- what is used of a limit --------------------------------------------------------------------


def _at(file: str, places: Mapping[str, Place], hierarchy: str) -> str:
    place = place_of(file, places, hierarchy)
    return f"{place.directory}/{file}" if place else "/dev/null/none"


def _cpu(places: Mapping[str, Place], hierarchy: str) -> Object:
    stat = _table(_at("cpu.stat", places, hierarchy))
    if hierarchy == "v1":
        used = _number(_at("cpuacct.usage", places, "v1"))
        throttled = stat.get("throttled_time", 0)
    else:
        used = stat.get("usage_usec", 0) * 1000
        throttled = stat.get("throttled_usec", 0) * 1000
    return {
        "usedNs": used,
        "periods": stat.get("nr_periods", 0),
        "throttledPeriods": stat.get("nr_throttled", 0),
        "throttledNs": throttled,
    }


def _memory(places: Mapping[str, Place], hierarchy: str) -> Object:
    if hierarchy == "v1":
        return {
            "usedBytes": _number(_at("memory.usage_in_bytes", places, "v1")),
            "peakBytes": _number(_at("memory.max_usage_in_bytes", places, "v1")),
            "limitHits": _number(_at("memory.failcnt", places, "v1")),
            "oomKills": _table(_at("memory.oom_control", places, "v1")).get("oom_kill", 0),
        }
    events = _table(_at("memory.events", places, "v2"))
    return {
        "usedBytes": _number(_at("memory.current", places, "v2")),
        "peakBytes": _number(_at("memory.peak", places, "v2")),
        "limitHits": events.get("max", 0),
        "oomKills": events.get("oom_kill", 0),
    }


def _swap(places: Mapping[str, Place], hierarchy: str) -> Object:
    name = "memory.memsw.usage_in_bytes" if hierarchy == "v1" else "memory.swap.current"
    return {"usedBytes": _number(_at(name, places, hierarchy))}


def _huge(file: str, places: Mapping[str, Place], hierarchy: str) -> Object:
    size = file.split(".")[1]
    name = f"hugetlb.{size}.{'usage_in_bytes' if hierarchy == 'v1' else 'current'}"
    return {"usedBytes": _number(_at(name, places, hierarchy))}


def _pids(places: Mapping[str, Place], hierarchy: str) -> Object:
    return {"used": _number(_at("pids.current", places, hierarchy))}


def _io(places: Mapping[str, Place], hierarchy: str) -> Object:
    name = "blkio.throttle.io_service_bytes" if hierarchy == "v1" else "io.stat"
    return {"devices": (_read(_at(name, places, hierarchy)) or "").splitlines()}


_USAGE: dict[str, Callable[[Mapping[str, Place], str], Object]] = {
    "cpu": _cpu, "memory": _memory, "swap": _swap, "pids": _pids, "io": _io,
}  # fmt: skip


def _used(field: Enforced, file: str, places: Mapping[str, Place], hierarchy: str) -> Object | None:
    if field.usage == "huge":
        return _huge(file, places, hierarchy)
    return _USAGE[field.usage](places, hierarchy) if field.usage else None


def _pressure(text: str) -> Object:
    """Lines "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" → {"some": {"avg10": 0.0, …}}."""
    found: Object = {}
    for line in text.splitlines():
        kind, *pairs = line.split()
        values = dict(pair.split("=", 1) for pair in pairs)
        found[kind] = {name: float(value) for name, value in values.items()}
    return found


def is_no_limit(row: Row) -> bool:
    """Whether the live value says "as much as there is"."""
    live = row["live"]
    if live in ("max", "-1") or live.startswith("max "):
        return True
    return row["hierarchy"] == "v1" and live.isdigit() and int(live) >= NO_LIMIT_V1
