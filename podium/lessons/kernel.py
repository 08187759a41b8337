"""Room podium/lessons: a process as the kernel shows it, whichever cgroup version there is.

Reads /proc (`man 5 proc`) and /sys/fs/cgroup of this machine; only root sees all of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Mount:
    """A line of /proc/<pid>/mountinfo."""

    device: str  # "0:50"
    source_root: str  # the directory of the file system that is mounted
    point: str
    options: tuple[str, ...]
    type: str


class Process:
    """One process of this machine, by the host's pid. What has ended raises FileNotFoundError or
    ProcessLookupError."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._directory = PROC / str(pid)

    def status(self, key: str) -> str:
        """A line of /proc/<pid>/status: status("NSpid") → "4711\\t1"."""
        for line in (self._directory / "status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
        return ""

    @property
    def inner_pid(self) -> int:
        """Its pid in the innermost PID namespace it is in."""
        return int(self.status("NSpid").split()[-1])

    @property
    def parent(self) -> Process:
        return Process(int(self.status("PPid")))

    @property
    def started(self) -> int:
        """Clock ticks after boot."""
        stat = (self._directory / "stat").read_text()
        return int(stat[stat.rindex(")") + 2 :].split()[19])

    @property
    def environment(self) -> dict[str, str]:
        """As it was given to execve(2)."""
        pairs = (self._directory / "environ").read_bytes().decode(errors="replace").split("\0")
        return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name}

    @property
    def root(self) -> Path:
        """Its root directory, seen from here."""
        return self._directory / "root"

    @property
    def working_directory(self) -> str:
        """As it calls it itself."""
        return os.readlink(self._directory / "cwd")

    def namespace(self, kind: str) -> int:
        """The inode of a namespace ("pid", "net", "mnt", …): equal inodes are one namespace."""
        return (self._directory / "ns" / kind).stat().st_ino

    def hostname(self) -> str:
        """What `hostname` says to this process."""
        import subprocess

        enter = ["nsenter", f"--uts={self._directory}/ns/uts", "uname", "-n"]
        return subprocess.run(enter, capture_output=True, text=True, check=False).stdout.strip()

    def mounts(self) -> list[Mount]:
        """What is mounted where, for this process."""
        found = []
        for line in (self._directory / "mountinfo").read_text().splitlines():
            left, _, right = line.partition(" - ")
            _, _, device, source_root, point, options, *_ = left.split()
            kind = right.split()[0]
            found.append(Mount(device, source_root, point, tuple(options.split(",")), kind))
        return found

    def mount(self, point: str) -> Mount | None:
        """The mount at exactly this place; the topmost if there are several."""
        return next((mount for mount in reversed(self.mounts()) if mount.point == point), None)

    def listens(self, port: int) -> bool:
        """Whether somebody in its network namespace listens at this TCP port."""
        wanted = f":{port:04X}"
        rows = (self._directory / "net" / "tcp").read_text().splitlines()[1:]
        columns = [row.split() for row in rows]
        return any(row[1].endswith(wanted) and row[3] == "0A" for row in columns)

    def cgroup_value(self, v1_file: str, v2_file: str) -> str:
        """A file of its cgroup by its names in v1 and in v2: ("pids.max", "pids.max")."""
        controller = v1_file.partition(".")[0]
        paths = {}
        for line in (self._directory / "cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            paths.update(dict.fromkeys(names.split(","), path))
        if controller in paths:
            directory, file = CGROUPS / controller / paths[controller].lstrip("/"), v1_file
        else:
            directory, file = CGROUPS / paths[""].lstrip("/"), v2_file
        return (directory / file).read_text().strip()

    def cgroup_figures(self, v1_file: str, v2_file: str) -> dict[str, int]:
        """A file of "name value" lines, such as cpu.stat."""
        rows = (line.split() for line in self.cgroup_value(v1_file, v2_file).splitlines())
        return {row[0]: int(row[1]) for row in rows if len(row) == 2}

    def memory_limit(self) -> int:
        """Bytes; a huge number if there is none."""
        text = self.cgroup_value("memory.limit_in_bytes", "memory.max")
        return 2**63 if text == "max" else int(text)

    def cpu_limit(self) -> float | None:
        """In CPUs: 0.2; None if there is no limit."""
        text = self.cgroup_value("cpu.cfs_quota_us", "cpu.max")
        if text.startswith(("max", "-1")):
            return None
        quota, *period = text.split()
        return int(quota) / int(
            period[0] if period else self.cgroup_value("cpu.cfs_period_us", "cpu.max")
        )


def first_process(container_id: str) -> Process | None:
    """The process that is PID 1 in a container, found by the cgroup that bears the container's id;
    if it shares its PID namespace, its oldest process."""
    found = []
    for directory in PROC.glob("[0-9]*"):
        try:
            if container_id in (directory / "cgroup").read_text():
                process = Process(int(directory.name))
                if process.inner_pid == 1:
                    return process
                found.append(process)
        except OSError:
            continue  # it ended while we looked
    return min(found, key=lambda process: process.pid, default=None)


def myself() -> Process:
    """This very process; its namespaces are the host's."""
    return Process(os.getpid())
