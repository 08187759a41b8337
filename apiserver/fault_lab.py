"""Brings about what Faults ask for, and ends it. Room apiserver; made by server.py.

Only in a cluster that was started with `podium up --lab`; everywhere else Faults are refused. Most
of what can go wrong for a loop goes wrong at the server that it speaks to: it is cut off, its watch
breaks or lags, the store is slow. That is done here, to the cluster's own components and never to
people, who want to watch. For the rest this room leaves its walls, as nothing else of it does: it
kills a component by the pid that the supervisor has recorded, and has a child hold memory. A slow
disk is the kubelet's work (kubelet/slow_disk.py).

A fault is over at its `endTime`, or when it is deleted. A restart of this server goes on with it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event

from apiserver import listing
from apiserver.authorization import MASTERS, node_of
from apiserver.errors import ApiError, Conflicted
from apiserver.http_server import Connection
from apiserver.request_info import Call, User
from apiserver.storage import Record
from apiserver.verbs import Verbs
from apiserver.watch import UNDISTURBED, Disturbance
from podium.api import meta, quantity, status
from podium.api.faults import ANSWER_S, BY_KUBELET, FAULTS, KEPT, TARGETS, active, end_of, phase_of
from podium.api.scheme import Resource, resource

Object = dict[str, Any]

LEFT_FREE_BYTES = 256 << 20  # memory that a fault leaves to the machine
_HOLD = (
    "import ctypes, os, signal, sys\n"
    "ctypes.CDLL(None).prctl(1, signal.SIGKILL)\n"  # PR_SET_PDEATHSIG: it ends with us
    "if os.getppid() != int(sys.argv[1]): sys.exit()\n"  # we have ended before that
    "held = bytearray(int(sys.argv[2]))\n"
    "for at in range(0, len(held), 4096): held[at] = 1\n"
    "signal.pause()\n"
)

log = logging.getLogger("apiserver.faults")


@dataclass(frozen=True, slots=True)
class Effects:
    """What is wrong just now. A resource "" stands for all."""

    cut_off: frozenset[str] = frozenset()  # nodes
    dropped: frozenset[str] = frozenset()  # resources that cannot be watched
    delay_s: dict[str, float] = field(default_factory=dict)  # of watches, by resource
    store_delay_s: float = 0.0

    def drops(self, kind: Resource) -> bool:
        return "" in self.dropped or kind.key in self.dropped

    def watch_delay_s(self, kind: Resource) -> float:
        return max(self.delay_s.get("", 0.0), self.delay_s.get(kind.key, 0.0))


class FaultLab:
    """`data_dir` None: this is no lab."""

    def __init__(self, verbs: Verbs, data_dir: Path | None) -> None:
        self._verbs, self._data_dir = verbs, data_dir
        self._effects = Effects()
        self._silent: set[Event] = set()  # of requests that get no answer
        self._holding: dict[str, subprocess.Popen[bytes]] = {}  # by the fault's uid
        self._task: gevent.Greenlet | None = None

    def start(self) -> None:
        if self._data_dir is not None:
            self._task = gevent.spawn(self._run)

    def stop(self) -> None:
        if self._task is not None:
            self._task.kill()
        self._hold({})

    # --- what is asked on each request ----------------------------------------------------------

    def check(self, call: Call) -> None:
        """ApiError for a request that a fault spoils, and for a fault where none may be."""
        if self._data_dir is None:
            if call.resource.key == FAULTS and call.verb == "create":
                why = "faults are for a cluster that was started with podium up --lab"
                raise ApiError(status.forbidden(call.resource, "", why))
            return
        if not is_component(call.user):
            return
        if self._is_cut_off(call.user):
            self._keep_silent(call)
        if call.verb == "watch" and self._effects.drops(call.resource):
            raise ApiError(status.unavailable(f"{call.resource.plural} cannot be watched: a fault"))

    def _is_cut_off(self, user: User) -> bool:
        node = node_of(user)
        return node is not None and node in self._effects.cut_off

    def _keep_silent(self, call: Call) -> None:
        """Until the user is no longer cut off. A client that does not wait so long has asked in
        vain: its connection ends."""
        connection: Connection = call.environ["podium.connection"]
        wake = Event()
        self._silent.add(wake)
        connection.on_readable(wake.set)
        try:
            while self._is_cut_off(call.user) and not connection.has_gone():
                wake.wait()
                wake.clear()
        finally:
            connection.stop_on_readable()
            self._silent.discard(wake)
        if connection.has_gone():
            raise gevent.GreenletExit

    def check_node(self, node: str) -> None:
        """ApiError if the node cannot be reached."""
        if node in self._effects.cut_off:
            why = f"the kubelet of node {node} did not answer: it is cut off by a fault"
            raise ApiError(status.internal_error(why))

    # --- faults, as they come and go ------------------------------------------------------------

    def _run(self) -> None:
        wake = self._verbs.hub.wait_on(FAULTS)
        while True:
            wake.clear()
            try:
                wait_s = self._look()
            except Exception:
                log.exception("faults could not be looked at")
                wait_s = 1.0
            wake.wait(wait_s)

    def _look(self) -> float | None:
        """Begin, go on with and end faults; seconds until one of them ends."""
        now = datetime.now(UTC)
        open_: list[Record] = []
        over: list[Record] = []
        kind = resource(FAULTS)
        found = listing.select(self._verbs.store, kind, listing.Filter(None), 0).records
        # First what is so, then who says it: whoever reads Active meets it, and Ended, no more.
        self._put([(one.uid, one.object["spec"]) for one in found if self._is_wrong(one, now)])
        for record in found:
            phase = self._advance(record, now)
            (open_ if phase in ("", "Active") else over).append(record)
        for record in sorted(over, key=lambda one: one.rv)[:-KEPT]:
            self._write(record, record.object, is_delete=True)
        left_s = [(_due(record.object, now) - now).total_seconds() for record in open_]
        return max(min(left_s), 0.0) if left_s else None

    def _is_wrong(self, record: Record, now: datetime) -> bool:
        """Whether what the fault asks for is to be so just now."""
        spec, phase = record.object["spec"], phase_of(record.object)
        if not phase:
            return spec["type"] != "Kill" and not self._problem(record)
        end = end_of(record.object)
        return bool(phase == "Active" and end is not None and end > now)

    def _advance(self, record: Record, now: datetime) -> str:
        """Write the next phase of a fault; the phase that it is in."""
        found = json.loads(record.body)
        phase = phase_of(found)
        if not phase:
            return self._begin(record, found, now)
        end = end_of(found)
        if phase == "Active" and (end is None or end <= now):
            found["status"] |= {"phase": "Ended"}
            self._write(record, found)
            return "Ended"
        return phase

    def _begin(self, record: Record, fault: Object, now: datetime) -> str:
        spec, started = fault["spec"], active(fault, now)
        problem, pid = self._problem(record) or unanswered(fault, now), 0
        if problem:
            started |= {"phase": "Failed", "message": problem}
        elif spec["type"] in BY_KUBELET:
            return ""  # not before the kubelet says so
        elif spec["type"] == "Kill":
            pid = self._pids().get(spec["target"], 0)
            message = f"killed {spec['target']} (pid {pid})"
            started |= {"phase": "Ended", "endTime": started["startTime"], "message": message}
        if not self._write(record, {**fault, "status": started}):
            return ""
        log.warning("fault %s: %s", record.name, started.get("message") or spec)
        if pid:  # only now: it may be ourselves, and must not be done twice
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return str(started["phase"])

    def _problem(self, record: Record) -> str:
        """Why this fault cannot be; "" if it can, or is already."""
        spec = record.object["spec"]
        if spec["type"] == "Kill" and not self._pids().get(spec["target"]):
            running = ", ".join(sorted(self._pids()))
            return f'component "{spec["target"]}" does not run; there are {running}'
        is_of_node = TARGETS[spec["type"]] == "node"
        if is_of_node and self._verbs.store.get("nodes", "", spec["target"]) is None:
            return f'nodes "{spec["target"]}" not found'
        if spec["type"] == "FillMemory" and record.uid not in self._holding:
            free = _available_bytes() - LEFT_FREE_BYTES
            if quantity.memory_bytes(spec["memory"]) > free:
                return f"there is not so much memory to fill: at most {max(free, 0) >> 20}Mi"
        return ""

    def _write(self, record: Record, obj: Object, *, is_delete: bool = False) -> bool:
        """Whether it was; if not it has just been changed, and we are woken again."""
        try:
            self._verbs.store.write(FAULTS, obj, record, is_delete=is_delete)
        except Conflicted:
            return False
        return True

    def _pids(self) -> dict[str, int]:
        """Components that run, as the supervisor has recorded them."""
        assert self._data_dir is not None
        try:
            records = json.loads((self._data_dir / "run" / "components.json").read_text())
        except (OSError, ValueError):
            return {}
        return {
            one["name"]: one["pid"]
            for one in records
            if one["pid"] and one["boot"] == _boot_id() and _began(one["pid"]) == one["start"]
        }

    # --- effects --------------------------------------------------------------------------------

    def _put(self, specs: list[tuple[str, Object]]) -> None:
        before, self._effects = self._effects, effects_of([spec for _, spec in specs])
        self._verbs.store.slow_down(self._effects.store_delay_s)
        if self._effects != before:
            self._verbs.hub.disturb(self._disturbance)
            for wake in self._silent:
                wake.set()
        self._hold(
            {
                uid: quantity.memory_bytes(spec["memory"])
                for uid, spec in specs
                if spec["type"] == "FillMemory"
            }
        )

    def _disturbance(self, kind: Resource, user: User) -> Disturbance:
        if not is_component(user):
            return UNDISTURBED
        return Disturbance(
            is_dropped=self._effects.drops(kind),
            is_silent=self._is_cut_off(user),
            delay_s=self._effects.watch_delay_s(kind),
        )

    def _hold(self, wanted: dict[str, int]) -> None:
        """Have so much memory held for each of these faults, and for no others."""
        for uid in [uid for uid in self._holding if uid not in wanted]:
            holder = self._holding.pop(uid)
            holder.kill()
            holder.wait()
        for uid, size in wanted.items():
            if uid not in self._holding:
                argv = [sys.executable, "-I", "-S", "-c", _HOLD, str(os.getpid()), str(size)]
                self._holding[uid] = subprocess.Popen(argv, stdin=subprocess.DEVNULL)


def is_component(user: User) -> bool:
    """A part of the cluster, not a person or a Pod."""
    return user.name.startswith("system:") and MASTERS not in user.groups and not user.uid


def effects_of(specs: list[Object]) -> Effects:
    """All faults that are active, together."""
    cut_off, dropped = set[str](), set[str]()
    delays: dict[str, float] = {}
    store_delay_s = 0.0
    for spec in specs:
        target, delay_s = spec.get("target") or "", (spec.get("delayMilliseconds") or 0) / 1000
        key = resource(target).key if target and spec["type"].endswith("Watch") else ""
        match spec["type"]:
            case "CutOff":
                cut_off.add(target)
            case "DropWatch":
                dropped.add(key)
            case "DelayWatch":
                delays[key] = max(delays.get(key, 0.0), delay_s)
            case "SlowStore":
                store_delay_s = max(store_delay_s, delay_s)
    return Effects(frozenset(cut_off), frozenset(dropped), delays, store_delay_s)


def _due(fault: Object, now: datetime) -> datetime:
    """When to look at a fault again that is not over."""
    if (end := end_of(fault)) is not None:
        return end
    if fault["spec"]["type"] not in BY_KUBELET:
        return now  # it has just begun
    return meta.parse_time(fault["metadata"]["creationTimestamp"]) + timedelta(seconds=ANSWER_S)


def unanswered(fault: Object, now: datetime) -> str:
    """Why a fault fails that its kubelet has not begun; "" while there is time."""
    spec = fault["spec"]
    if spec["type"] not in BY_KUBELET or _due(fault, now) > now:
        return ""
    return f"the kubelet of node {spec['target']} has not begun it within {ANSWER_S} s"


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _began(pid: int) -> int | None:
    """Clock ticks from boot to a process' start, which tell it from a later one of the same pid;
    None if there is none. `man 5 proc`, field 22 of /proc/pid/stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return int(stat[stat.rindex(")") + 2 :].split()[19])


def _available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
