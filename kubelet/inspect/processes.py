"""Processes as /proc tells of them. Room kubelet/inspect; reads only.

A `Process` holds its /proc/<pid> open: when the process has ended, every reading fails, and never
shows another one to which the kernel has given the same pid. (`man 5 proc`, `man 7 namespaces`)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any

from kubelet.runtime.capabilities import NAMES
from kubelet.runtime.cgroups.hierarchy import read_all

Object = dict[str, Any]

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")
MAX_PROCESSES = 200  # of a container that are shown; how many there are is always said
_CAPABILITY_SETS = {
    "effective": "CapEff", "permitted": "CapPrm", "inheritable": "CapInh",
    "bounding": "CapBnd", "ambient": "CapAmb",
}  # fmt: skip
_SECCOMP = {"0": "disabled", "1": "strict", "2": "filter"}
_GONE = (FileNotFoundError, ProcessLookupError)


class Process:
    """One process of the host, by its pid. Raises ProcessLookupError when it is gone."""

    def __init__(self, pid: int, proc: str = "/proc") -> None:
        self.pid = pid
        try:
            self._fd = os.open(f"{proc}/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except _GONE:
            raise ProcessLookupError(f"process {pid} is gone") from None

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def open(self, name: str, flags: int = os.O_RDONLY) -> int:
        """A descriptor, for the caller to close."""
        try:
            return os.open(name, flags | os.O_CLOEXEC, dir_fd=self._fd)
        except FileNotFoundError:
            raise ProcessLookupError(f"process {self.pid} is gone") from None

    def read(self, name: str) -> str:
        return read_all(self.open(name)).decode(errors="replace")

    def read_if_any(self, name: str) -> str:
        """The same, "" where the kernel has no such file or no answer."""
        try:
            return self.read(name).strip("\0\n ")
        except OSError:
            return ""

    def link(self, name: str) -> str:
        try:
            return os.readlink(name, dir_fd=self._fd)
        except FileNotFoundError:
            raise ProcessLookupError(f"process {self.pid} is gone") from None

    def status(self) -> dict[str, str]:
        lines = (line.partition(":") for line in self.read("status").splitlines())
        return {name: value.strip() for name, _, value in lines}

    def namespaces(self, kinds: Iterable[str] = NAMESPACES) -> dict[str, int]:
        """Kind → inode; those that the kernel has."""
        found = {}
        for kind in kinds:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[kind] = int(self.link(f"ns/{kind}").partition("[")[2].rstrip("]"))
        if not found:
            raise ProcessLookupError(f"process {self.pid} is gone")
        return found


def capability_names(mask: str) -> list[str]:
    """ "00000000a80425fb" → ["CAP_CHOWN", …]; a bit that has no name here by its number."""
    number = int(mask, 16)
    bits = (bit for bit in range(number.bit_length()) if number >> bit & 1)
    return [NAMES[bit] if bit < len(NAMES) else f"CAP_{bit}" for bit in bits]


def identity(process: Process) -> Object:
    """Who a process is and what it may do."""
    status = process.status()
    return {
        "uid": _ids(status["Uid"]),
        "gid": _ids(status["Gid"]),
        "groups": [int(group) for group in status.get("Groups", "").split()],
        "uidMap": _map(process.read_if_any("uid_map")),
        "gidMap": _map(process.read_if_any("gid_map")),
        "capabilities": {
            name: capability_names(status.get(field, "0"))
            for name, field in _CAPABILITY_SETS.items()
        },
        "noNewPrivs": status.get("NoNewPrivs") == "1",
        "seccomp": _SECCOMP.get(status.get("Seccomp", "0"), status.get("Seccomp", "")),
        "seccompFilters": int(status.get("Seccomp_filters", "0")),
        "oomScoreAdj": int(process.read_if_any("oom_score_adj") or 0),
        "oomScore": int(process.read_if_any("oom_score") or 0),
        "appArmor": process.read_if_any("attr/apparmor/current"),
    }


def _ids(words: str) -> Object:
    """As the host's root sees them: real, effective, saved, of the file system."""
    real, effective, *_ = (int(word) for word in words.split())
    return {"real": real, "effective": effective}


def _map(text: str) -> list[Object]:
    """ "0 100000 65536" → inside, outside, length; one line of all ids where nothing is mapped."""
    names = ("inside", "outside", "length")
    rows = (line.split() for line in text.splitlines())
    return [dict(zip(names, map(int, row), strict=True)) for row in rows if len(row) == 3]


def inside(host_id: int, mapping: Iterable[Object]) -> int:
    """The id that it has in the user namespace; −1 for one that has none there."""
    for part in mapping:
        if part["outside"] <= host_id < part["outside"] + part["length"]:
            return int(part["inside"] + host_id - part["outside"])
    return -1


def tree(pids: Iterable[int], proc: str = "/proc") -> Iterator[Object]:
    """Of each pid that is still there: its parent, its name, its pid in every namespace from the
    host's inwards. Ordered by pid; the parents tell the tree."""
    for pid in sorted(pids):
        try:
            with Process(pid, proc) as process:
                yield _shown(process)
        except ProcessLookupError:
            continue  # it ended just now


def _shown(process: Process) -> Object:
    status = process.status()
    command = process.read_if_any("cmdline").split("\0")
    return {
        "pid": process.pid,
        "pids": [int(pid) for pid in status.get("NSpid", str(process.pid)).split()],
        "parent": int(status["PPid"]),
        "name": status["Name"],
        "command": command if command != [""] else [],
        "state": status["State"],
        "uid": int(status["Uid"].split()[1]),
        "threads": int(status["Threads"]),
        "residentBytes": int(status.get("VmRSS", "0 kB").split()[0]) * 1024,
    }
