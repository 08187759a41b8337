"""Room podium/cli: the supervisor, a process of its own that keeps a cluster's components alive.

Started by `podium up` as `python -m podium.cli.supervisor --data-dir D`. It starts every component
at once, restarts what dies (at once; with a back-off only for what dies again within five seconds),
records pids in `D/run/components.json` and stops everything on SIGTERM. It touches no container:
containers belong to their shims. Standard library only, one thread, no polling: it sleeps in
select() until a pidfd, a readiness pipe or a signal wakes it.

To whoever started it, it tells through the pipe `PODIUM_PROGRESS_FD` how the start goes, one JSON
object a line: {"event": "started"|"ready"|"died"|"up"|"failed", "name", "ms", "code"}.

The API server takes longest to import what it needs. So it may start before the cluster's keys are
made: `PODIUM_KEYS_FD` is a pipe from which it and the supervisor each read a byte when they are.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from podium.cli import cluster_config, processes

READY_FD_VARIABLE = "PODIUM_READY_FD"
PROGRESS_FD_VARIABLE = "PODIUM_PROGRESS_FD"
KEYS_FD_VARIABLE = "PODIUM_KEYS_FD"
KEYS_ARE_MADE = b"kk"  # a byte for each who waits
QUICK_DEATH_S = 5.0  # who lives longer than this is restarted at once
FIRST_BACKOFF_S, LAST_BACKOFF_S = 0.2, 5.0
STOP_GRACE_S = 5.0  # from SIGTERM to SIGKILL, for each of the two steps of stopping
LOG_CHECK_S = 60.0
LOG_BYTES = 10 * 1024 * 1024  # a component's log is turned over at this size; one old one is kept


@dataclass(slots=True)
class Task:
    """A component that is to be kept alive."""

    name: str
    argv: list[str]
    record: processes.Component
    process: subprocess.Popen[bytes] | None = None
    pid_fd: int = -1  # -1: not running
    ready_fd: int = -1  # -1: has said so, or is not running
    started_at: float = 0.0  # monotonic
    backoff_s: float = 0.0
    start_at: float | None = 0.0  # monotonic time of the next start; None while it runs
    log: IO[bytes] | None = field(default=None)


def component_commands(
    config: cluster_config.ClusterConfig, data_dir: Path
) -> dict[str, list[str]]:
    """What to run: component name → argv. A second node's components carry its name."""
    # -P: what lies in the current directory must not pass for a module of ours.
    python = [sys.executable, "-P", "-m"]
    at = ["--data-dir", str(data_dir)]
    commands = {
        "apiserver": [*python, "apiserver", *at],
        "controllers": [*python, "controllers", *at],
    }
    if config.otlp_endpoint:
        commands["otlp"] = [*python, "podium.otlp", *at]
    if config.is_simulated:
        return commands | {"kubelet": [*python, "kubelet.simulated", *at]}
    for index, node in enumerate(config.nodes):
        suffix = f"-{node.name}" if index else ""
        commands |= _engine_command(node, data_dir / "nodes" / node.name, python, suffix)
        commands[f"kubelet{suffix}"] = [*python, "kubelet", *at, "--node", node.name]
    return commands


def _engine_command(
    node: cluster_config.NodeConfig, node_dir: Path, python: list[str], suffix: str
) -> dict[str, list[str]]:
    """What makes the containers of a node."""
    options = ["--root", f"{node_dir}/runtime", "--cgroup-root", node.cgroup_root]
    if node.runtime == "containerd":
        daemon = [*python, "kubelet.containerd.daemon", "--images", f"{node_dir}/containerd"]
        return {f"containerd{suffix}": [*daemon, *options]}
    return {f"launcher{suffix}": [*python, "kubelet.runtime", *options]}


def component_environment() -> dict[str, str]:
    """The environment of every process of ours: it finds the house wherever it was started."""
    house = str(Path(__file__).resolve().parents[2])
    paths = [house, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}


class Supervisor:
    """Keeps components alive until told to stop. `run()` returns the exit code of the process."""

    def __init__(
        self,
        data_dir: Path,
        commands: dict[str, list[str]],
        progress_fd: int,
        keys_fd: int = -1,
    ) -> None:
        self._data_dir = data_dir
        self._progress_fd = progress_fd
        self._keys_fd = keys_fd
        self._tasks = [
            Task(name, argv, processes.Component(name)) for name, argv in commands.items()
        ]
        self._selector = selectors.DefaultSelector()
        self._began = time.monotonic()
        self._is_up = False
        self._failed = False
        self._stopping = False
        self._log_check_at = self._began + LOG_CHECK_S

    def run(self) -> int:
        """Start everything, keep it alive, stop everything."""
        with self._signals():
            if self._keys_fd >= 0:
                self._begin_without_keys()
            while not self._stopping:
                self._start_what_is_due()
                self._wait_and_handle(self._seconds_to_next_start())
            self._stop()
        return 1 if self._failed else 0

    # --- starting -------------------------------------------------------------------------------

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for task in self._tasks:
            if task.start_at is not None and task.start_at <= now:
                self._start(task)
        if now >= self._log_check_at:
            self._log_check_at = now + LOG_CHECK_S
            self._turn_over_logs()

    def _seconds_to_next_start(self) -> float:
        times = [task.start_at for task in self._tasks if task.start_at is not None]
        return max(0.0, min([*times, self._log_check_at]) - time.monotonic())

    def _begin_without_keys(self) -> None:
        (server,) = (task for task in self._tasks if task.name == "apiserver")
        self._start(server, self._keys_fd)
        if not os.read(self._keys_fd, 1):
            self._stopping = True  # whoever was to make them has gone
        os.close(self._keys_fd)

    def _start(self, task: Task, keys_fd: int | None = None) -> None:
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(read_fd, False)
        log = self._log_of(task)
        fds = {READY_FD_VARIABLE: write_fd}
        if keys_fd is not None:
            fds[KEYS_FD_VARIABLE] = keys_fd
        try:
            task.process = subprocess.Popen(
                task.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=tuple(fds.values()),
                env=component_environment() | {name: str(fd) for name, fd in fds.items()},
            )
        finally:
            os.close(write_fd)
        task.started_at, task.start_at = time.monotonic(), None
        self._record_start(task)
        task.pid_fd, task.ready_fd = os.pidfd_open(task.process.pid), read_fd
        self._selector.register(task.pid_fd, selectors.EVENT_READ, (self._on_exit, task))
        self._selector.register(task.ready_fd, selectors.EVENT_READ, (self._on_ready, task))
        self._tell("started", task)

    def _record_start(self, task: Task) -> None:
        assert task.process is not None
        task.record.pid, task.record.ready = task.process.pid, False
        task.record.start = processes.start_time(task.process.pid) or 0
        task.record.boot = processes.boot_id()
        self._record()

    def _record(self) -> None:
        processes.write_components(self._data_dir, [task.record for task in self._tasks])

    # --- what happens ---------------------------------------------------------------------------

    def _wait_and_handle(self, timeout_s: float | None) -> None:
        for key, _ in self._selector.select(timeout_s):
            if key.fileobj in self._selector.get_map():  # an earlier one may have closed this
                handle, argument = key.data
                handle(argument)

    def _on_ready(self, task: Task) -> None:
        text = os.read(task.ready_fd, 64)
        self._close(task, "ready_fd")
        if not text.startswith(b"ready"):
            return  # closed without a word: its exit will tell
        task.record.ready = True
        self._record()
        self._tell("ready", task)
        if not self._is_up and all(task.record.ready for task in self._tasks):
            self._is_up = True
            self._tell("up")
            self._end_progress()

    def _on_exit(self, task: Task) -> None:
        if task.ready_fd >= 0:
            self._on_ready(task)  # the word may be there still
        code = self._reap(task)
        if self._stopping:
            return
        self._write_log(task, f"{task.name} (pid {task.record.pid}) ended with {_reason(code)}")
        task.record.pid, task.record.ready = 0, False
        self._record()
        if not self._is_up:
            self._failed = self._stopping = True
            self._tell("failed", task, code)
            return
        self._plan_restart(task)

    def _reap(self, task: Task) -> int:
        assert task.process is not None
        code = task.process.wait()
        self._close(task, "pid_fd")
        task.process = None
        return code

    def _plan_restart(self, task: Task) -> None:
        now = time.monotonic()
        if now - task.started_at >= QUICK_DEATH_S:
            task.backoff_s = 0.0
            task.start_at = now
        else:
            task.start_at = now + task.backoff_s
            task.backoff_s = min(max(task.backoff_s * 2, FIRST_BACKOFF_S), LAST_BACKOFF_S)
        task.record.restarts += 1

    def _close(self, task: Task, which: str) -> None:
        fd = getattr(task, which)
        if fd >= 0:
            self._selector.unregister(fd)
            os.close(fd)
            setattr(task, which, -1)

    # --- stopping -------------------------------------------------------------------------------

    def _stop(self) -> None:
        """The API server last, so that the others can still say good-bye to it."""
        others = [task for task in self._tasks if task.name != "apiserver"]
        self._end(others)
        self._end(self._tasks)
        for task in self._tasks:
            task.record.pid, task.record.ready = 0, False
            if task.log:
                task.log.close()
        self._record()
        self._selector.close()

    def _end(self, tasks: list[Task]) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            running = [task for task in tasks if task.process]
            for task in running:
                assert task.process is not None
                task.process.send_signal(number)
                if number == signal.SIGKILL:
                    self._write_log(task, f"{task.name} did not end by itself; killed")
            deadline = time.monotonic() + STOP_GRACE_S
            while any(task.process for task in running) and time.monotonic() < deadline:
                self._wait_and_handle(deadline - time.monotonic())

    @contextlib.contextmanager
    def _signals(self) -> Any:
        """SIGTERM and SIGINT wake the selector instead of interrupting whatever runs."""
        read_fd, write_fd = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(read_fd, selectors.EVENT_READ, (self._on_signal, read_fd))
        before = signal.set_wakeup_fd(write_fd)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        yield
        signal.set_wakeup_fd(before)
        os.close(read_fd)
        os.close(write_fd)

    def _on_signal(self, fd: int) -> None:
        numbers = os.read(fd, 64)
        if signal.SIGTERM in numbers or signal.SIGINT in numbers:
            self._stopping = True

    # --- logs and progress ----------------------------------------------------------------------

    def _log_of(self, task: Task) -> IO[bytes]:
        if task.log is None:
            path = self._data_dir / "log" / f"{task.name}.log"
            task.log = open(path, "ab", buffering=0)  # noqa: SIM115 - lives as long as the task
        return task.log

    def _write_log(self, task: Task, message: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._log_of(task).write(f"{stamp} WARNING supervisor {message}\n".encode())

    def _turn_over_logs(self) -> None:
        """Copy, then truncate: components write with O_APPEND and need not be told."""
        import shutil

        for task in self._tasks:
            path = self._data_dir / "log" / f"{task.name}.log"
            if path.exists() and path.stat().st_size > LOG_BYTES:
                shutil.copyfile(path, path.with_suffix(".log.1"))
                os.truncate(path, 0)

    def _tell(self, event: str, task: Task | None = None, code: int | None = None) -> None:
        if self._progress_fd < 0:
            return
        since = task.started_at if task else self._began
        line = {
            "event": event,
            "name": task.name if task else "",
            "ms": round((time.monotonic() - since) * 1000),
            "code": code,
        }
        try:
            os.write(self._progress_fd, json.dumps(line).encode() + b"\n")
        except BrokenPipeError:
            self._end_progress()  # whoever asked has gone; the cluster goes on

    def _end_progress(self) -> None:
        if self._progress_fd >= 0:
            os.close(self._progress_fd)
            self._progress_fd = -1


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


def take_lock(data_dir: Path) -> int | None:
    """Lock a data directory for a supervisor; None if one has it. Free again when the fd closes."""
    fd = os.open(processes.run_dir(data_dir) / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def main(argv: list[str]) -> int:
    """`--data-dir D`: run until SIGTERM. Exit code 1: a component could not be started."""
    if len(argv) != 2 or argv[0] != "--data-dir":
        print("usage: python -m podium.cli.supervisor --data-dir D", file=sys.stderr)
        return 2
    data_dir = Path(argv[1])
    config = cluster_config.read(data_dir)
    if config is None:
        print(f"there is no cluster in {data_dir}", file=sys.stderr)
        return 1
    if take_lock(data_dir) is None:
        print(f"another podium is running in {data_dir}", file=sys.stderr)
        return 1
    progress_fd, keys_fd = _inherited(PROGRESS_FD_VARIABLE), _inherited(KEYS_FD_VARIABLE)
    processes.write_supervisor(data_dir)
    commands = component_commands(config, data_dir)
    return Supervisor(data_dir, commands, progress_fd, keys_fd).run()


def _inherited(variable: str) -> int:
    """A file descriptor that is for us and for none of our children; -1: there is none."""
    fd = int(os.environ.pop(variable, "-1"))
    if fd >= 0:
        os.set_inheritable(fd, False)
    return fd


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
