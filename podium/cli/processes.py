"""Room podium/cli: finding and ending processes without ever trusting a name.

A process is told by its pid, its start time (`man 5 proc_pid_stat`, field 22) and the machine's
boot id together, so that a recorded pid that has gone to somebody else is never signalled.
Used by `up`, `down`, `status` and the supervisor. Standard library only; reads /proc.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

TCP_LISTEN = "0A"  # the state column of /proc/net/tcp


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process of one boot; `start` is in clock ticks since that boot."""

    pid: int
    start: int
    boot: str

    def is_alive(self) -> bool:
        """Whether exactly this process still runs (a zombie has ended)."""
        return self.boot == boot_id() and start_time(self.pid) == self.start


def identify(pid: int) -> ProcessId | None:
    """The process that has this pid now; None if there is none."""
    start = start_time(pid)
    return None if start is None else ProcessId(pid, start, boot_id())


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which a process began; None if it has ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the name in parentheses and may itself hold spaces and parentheses.
    fields = stat[stat.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """What tells this boot of the machine from any other."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def send_signal(process: ProcessId, number: int) -> None:
    """Signal exactly this process; nothing happens if it has ended. Uses a pidfd: no race."""
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        if process.is_alive():
            signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return  # it ended in between
    finally:
        os.close(fd)


def wait_ended(processes: Iterable[ProcessId], timeout_s: float) -> list[ProcessId]:
    """Wait until all have ended; what is still alive after `timeout_s` is returned."""
    deadline = time.monotonic() + timeout_s
    alive = []
    for process in processes:
        if not _wait_one(process, deadline - time.monotonic()):
            alive.append(process)
    return alive


def _wait_one(process: ProcessId, timeout_s: float) -> bool:
    try:
        fd = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if not process.is_alive():
            return True
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(max(0, int(timeout_s * 1000))))
    finally:
        os.close(fd)


def end(processes: Iterable[ProcessId], grace_s: float) -> list[ProcessId]:
    """SIGTERM, then SIGKILL after `grace_s`; returns those that would not even then (state D)."""
    processes = list(processes)
    for process in processes:
        send_signal(process, signal.SIGTERM)
    alive = wait_ended(processes, grace_s)
    for process in alive:
        send_signal(process, signal.SIGKILL)
    return wait_ended(alive, 5.0)


# --- records ------------------------------------------------------------------------------------


@dataclass(slots=True)
class Component:
    """One entry of `D/run/components.json`; `pid` 0 means that it is not running just now."""

    name: str
    pid: int = 0
    ready: bool = False
    start: int = 0
    boot: str = ""
    restarts: int = 0

    @property
    def process(self) -> ProcessId:
        """The very process that was recorded."""
        return ProcessId(self.pid, self.start, self.boot)

    def is_alive(self) -> bool:
        """Whether the recorded process still runs."""
        return self.pid > 0 and self.process.is_alive()


def run_dir(data_dir: str | Path) -> Path:
    """Where pids, locks and sockets lie."""
    return Path(data_dir) / "run"


def write_components(data_dir: str | Path, components: Iterable[Component]) -> None:
    """Record what runs, whole or not at all."""
    path = run_dir(data_dir) / "components.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps([asdict(component) for component in components]) + "\n")
    temporary.replace(path)


def read_components(data_dir: str | Path) -> list[Component]:
    """What was last recorded; components that have ended since are shown as such."""
    try:
        records = json.loads((run_dir(data_dir) / "components.json").read_text())
    except FileNotFoundError:
        return []
    components = [Component(**record) for record in records]
    for component in components:
        if not component.is_alive():
            component.pid, component.ready = 0, False
    return components


def write_supervisor(data_dir: str | Path) -> None:
    """Record the calling process as the supervisor."""
    me = identify(os.getpid())
    assert me is not None
    path = run_dir(data_dir) / "supervisor.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(me)) + "\n")
    temporary.replace(path)


def read_supervisor(data_dir: str | Path) -> ProcessId | None:
    """The supervisor of a data directory, if it is alive."""
    try:
        record = json.loads((run_dir(data_dir) / "supervisor.json").read_text())
    except FileNotFoundError:
        return None
    process = ProcessId(**record)
    return process if process.is_alive() else None


# --- who has the port ---------------------------------------------------------------------------


def port_owner(port: int) -> str | None:
    """`"nginx (pid 812)"`: who listens on a TCP port, when /proc tells; None when it does not."""
    inodes = _listening_inodes(port)
    for directory in Path("/proc").glob("[0-9]*") if inodes else ():
        if inodes & _socket_inodes(directory):
            return f"{_command(directory)} (pid {directory.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        path = Path(table)
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            fields = line.split()
            if fields[3] == TCP_LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    return inodes


def _socket_inodes(process: Path) -> set[str]:
    found = set()
    try:
        for fd in (process / "fd").iterdir():
            found.add(os.readlink(fd))
    except OSError:
        return found  # it ended, or is not ours to look into
    return found


def _command(process: Path) -> str:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        name = (process / "comm").read_text().strip()
    except OSError:
        return "a process that has just ended"
    if b"-m" in words[:-1]:  # python -m apiserver: the module says more than "python"
        return words[words.index(b"-m") + 1].decode(errors="replace")
    return name
