"""A container engine without containers, for the kubelet's tests. No root, no kernel objects.

It passes the same contract tests as the real one (tests/node/runtime/test_contract.py). What a
container does is decided by its command: `true`, `false` and `sh -c "exit N"` end at once, names in
`missing_commands` cannot start, everything else runs until it is stopped or a test says `end`.
`exec` runs the command on this machine. Who is attached hears what a test lets the container write;
`cat` writes what it is given.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kubelet.runtime.errors import (
    CommandNotExecutable,
    CommandNotFound,
    ContainerNotFound,
    ContainerNotRunning,
    SandboxNotFound,
    ShimGone,
)
from kubelet.runtime.event_feed import EventFeed
from kubelet.runtime.log_file import LogFile
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    EventKind,
    ExecSession,
    Operations,
    Resources,
    RuntimeEvent,
    SandboxConfig,
    SandboxStatus,
    no_step,
)

_EXIT = re.compile(r"exit (\d+)\Z")


@dataclass
class FakeCgroups:
    """The cgroups above the Pods': remembers what they were given."""

    values: dict[str, Resources] = field(default_factory=dict)
    protected_bytes: dict[str, int] = field(default_factory=dict)

    def create_parent(self, path: str, resources: Resources) -> None:
        self.values[path] = resources

    def protect_memory(self, path: str, amount_bytes: int) -> None:
        self.protected_bytes[path] = amount_bytes


@dataclass
class _Container:
    config: ContainerConfig
    status: ContainerStatus
    resources: Resources
    ignores_stop_signal: bool = False
    attached: list[_FakeAttachment] = field(default_factory=list)


@dataclass
class FakeRuntime:
    """`calls` lists (method, sandbox or container name) in order: what the kubelet has done."""

    version = "fake://1"
    has_user_namespaces = True
    has_recursive_read_only = True
    on_step = staticmethod(no_step)
    missing_commands: set[str] = field(default_factory=lambda: {"nope", "/nope"})
    stop_exit_code: int = 143  # of a container that obeys its stop signal
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.RLock()
        self._sandboxes: dict[str, SandboxStatus] = {}
        self._containers: dict[str, _Container] = {}
        self._events = EventFeed()
        self._count = 0

    # For tests: let the world happen

    def end(
        self, container_id: str, exit_code: int = 0, reason: str = "", message: str = ""
    ) -> None:
        """The container's process ends by itself."""
        reason = reason or ("Error" if exit_code else "Completed")
        self._end(self._find(container_id), exit_code, reason, message)

    def lose_shim(self, sandbox_id: str) -> None:
        """The sandbox's shim is killed, and with it every container."""
        with self._lock:
            self._become_not_ready(sandbox_id, "its shim ended, and with it the container")

    def write_log(self, container_id: str, data: bytes, stream: str = "stdout") -> None:
        """The container prints something."""
        log = LogFile(self._find(container_id).config.log_path)
        log.open()
        log.feed(stream, data)
        log.flush()
        log.close()
        for attachment in self._find(container_id).attached[:]:
            attachment.output(stream, data)

    def attached(self, container_id: str) -> int:
        """How many are attached to it."""
        return len(self._find(container_id).attached)

    def ignore_stop_signal(self, container_id: str) -> None:
        """It will have to be killed: exit code 137."""
        self._find(container_id).ignores_stop_signal = True

    def config_of(self, container_id: str) -> ContainerConfig:
        return self._find(container_id).config

    def resources_of(self, container_id: str) -> Resources:
        return self._find(container_id).resources

    # Runtime

    def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus:
        with self._lock:
            self.calls.append(("run_pod_sandbox", config.id))
            known = self._sandboxes.get(config.id)
            if known and known.state == "ready":
                return known
            pid = self._next()
            status = SandboxStatus(
                config.id, "ready", pid, f"/proc/{pid}/ns/net", time.time(), config.labels
            )
            self._sandboxes[config.id] = status
            return status

    def stop_pod_sandbox(self, sandbox_id: str) -> None:
        with self._lock:
            self.calls.append(("stop_pod_sandbox", sandbox_id))
            known = self._sandboxes.get(sandbox_id)
            if known and known.state == "ready":
                self._become_not_ready(sandbox_id, "")

    def remove_pod_sandbox(self, sandbox_id: str) -> None:
        with self._lock:
            self.stop_pod_sandbox(sandbox_id)
            self.calls.append(("remove_pod_sandbox", sandbox_id))
            self._sandboxes.pop(sandbox_id, None)
            for status in self.list_containers(sandbox_id):
                del self._containers[status.id]

    def list_pod_sandboxes(self) -> list[SandboxStatus]:
        with self._lock:
            return list(self._sandboxes.values())

    def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        with self._lock:
            self.calls.append(("create_container", config.name))
            self._ready(sandbox_id)
            for known in self.list_containers(sandbox_id):
                if (known.name, known.attempt) == (config.name, config.attempt):
                    return known.id
            status = ContainerStatus(
                id=f"{self._next():064x}", sandbox_id=sandbox_id, name=config.name,
                attempt=config.attempt, state="created", pid=self._next(), created_at=time.time(),
                started_at=0.0, finished_at=0.0, exit_code=0, reason="", message="",
                log_path=config.log_path, labels=config.labels,
            )  # fmt: skip
            self._containers[status.id] = _Container(config, status, config.resources)
            return status.id

    def start_container(self, container_id: str) -> ContainerStatus:
        with self._lock:
            container = self._find(container_id)
            self.calls.append(("start_container", container.config.name))
            if container.status.state != "created":
                return container.status
            argv = container.config.argv
            if argv[0] in self.missing_commands:
                message = f'exec: "{argv[0]}": executable file not found in $PATH'
                self._end(container, 127, "StartError", message)
                return container.status
            self._set(container, "container_started", state="running", started_at=time.time())
            running = container.status
            if (code := _ends_with(argv)) is not None:
                self._end(container, code, "Error" if code else "Completed", "")
            return running

    def stop_container(self, container_id: str, grace_s: float) -> None:
        with self._lock, contextlib.suppress(ContainerNotFound):
            container = self._find(container_id)
            self.calls.append(("stop_container", container.config.name))
            if container.status.state != "exited":
                is_killed = grace_s <= 0 or container.ignores_stop_signal
                self._end(container, 137 if is_killed else self.stop_exit_code, "Error", "")

    def remove_container(self, container_id: str) -> None:
        with self._lock, contextlib.suppress(ContainerNotFound):
            container = self._find(container_id)
            self.calls.append(("remove_container", container.config.name))
            if container.status.state != "exited":
                self._end(container, 137, "Error", "")
            del self._containers[container_id]

    def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        with self._lock:
            found = [container.status for container in self._containers.values()]
            return [status for status in found if sandbox_id in (None, status.sandbox_id)]

    def container_status(self, container_id: str) -> ContainerStatus:
        return self._find(container_id).status

    def exec(
        self,
        container_id: str,
        argv: list[str],
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
        tty: bool = False,
    ) -> ExecSession:
        container = self._running(container_id)
        self.calls.append(("exec", container.config.name))
        if shutil.which(argv[0]) is None:
            raise CommandNotFound(f'exec: "{argv[0]}": executable file not found in $PATH')
        fds = (stdin_fd, stdin_fd, stdin_fd) if tty else (stdin_fd, stdout_fd, stderr_fd)
        given = [subprocess.DEVNULL if fd is None else os.dup(fd) for fd in fds]
        try:
            return _FakeExec(argv, given)
        except PermissionError:
            raise CommandNotExecutable(f'exec: "{argv[0]}": permission denied') from None
        finally:
            for fd in given:
                if fd != subprocess.DEVNULL:
                    os.close(fd)

    def attach(
        self,
        container_id: str,
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
    ) -> ExecSession:
        container = self._running(container_id)
        given = {"stdout": stdout_fd, "stderr": stderr_fd}
        fds = {name: os.dup(fd) for name, fd in given.items() if fd is not None}
        attachment = _FakeAttachment(container, fds)
        if stdin_fd is not None and container.config.stdin:
            words = (container, os.dup(stdin_fd), attachment)
            threading.Thread(target=self._follow_stdin, args=words, daemon=True).start()
        return attachment

    def _follow_stdin(self, container: _Container, fd: int, attachment: _FakeAttachment) -> None:
        with open(fd, "rb", buffering=0) as source:
            while data := source.read(65536):
                if container.config.argv[0] == "cat":
                    self.write_log(container.status.id, data)
        if not container.config.stdin_once:
            attachment.kill()
        elif container.config.argv[0] == "cat" and container.status.state == "running":
            self._end(container, 0, "Completed", "")

    def reopen_log(self, container_id: str) -> None:
        log = LogFile(self._find(container_id).config.log_path)
        log.open()
        log.close()

    def update_resources(self, container_id: str, resources: Resources) -> None:
        self._running(container_id).resources = resources

    def container_resources(self, container_id: str) -> Resources:
        return self._running(container_id).resources

    def sandbox_resources(self, sandbox_id: str) -> Resources:
        self._ready(sandbox_id)
        return Resources()

    def update_sandbox_resources(self, sandbox_id: str, resources: Resources) -> None:
        self._ready(sandbox_id)
        self.calls.append(("update_sandbox_resources", sandbox_id))

    def container_stats(self, container_id: str) -> ContainerStats:
        self._running(container_id)
        return ContainerStats(cpu_usage_ns=1_000_000, memory_usage_bytes=1 << 20,
                              memory_working_set_bytes=1 << 19, pids=1)  # fmt: skip

    def sandbox_stats(self, sandbox_id: str) -> ContainerStats:
        self._ready(sandbox_id)
        return ContainerStats(cpu_usage_ns=2_000_000, memory_usage_bytes=2 << 20,
                              memory_working_set_bytes=1 << 20, pids=2)  # fmt: skip

    def writable_layer(self, container_id: str) -> str:
        self._find(container_id)
        return ""

    def operations(self, container_id: str) -> Operations | None:
        self._find(container_id)
        return None

    def events(self) -> Iterator[RuntimeEvent]:
        return self._events.listen()

    def close(self) -> None:
        self._events.close()

    # Inside

    def _next(self) -> int:
        self._count += 1
        return 1_000_000_000 + self._count  # no such pid can exist on this machine

    def _find(self, container_id: str) -> _Container:
        container = self._containers.get(container_id)
        if container is None:
            raise ContainerNotFound(f"container {container_id[:12]} not found")
        return container

    def _running(self, container_id: str) -> _Container:
        container = self._find(container_id)
        if container.status.state != "running":
            raise ContainerNotRunning(f"container {container.config.name} is not running")
        return container

    def _ready(self, sandbox_id: str) -> None:
        status = self._sandboxes.get(sandbox_id)
        if status is None:
            raise SandboxNotFound(f"sandbox {sandbox_id} not found")
        if status.state != "ready":
            raise ShimGone(f"sandbox {sandbox_id} is not ready")

    def _set(self, container: _Container, event: EventKind, **changes: object) -> None:
        container.status = replace(container.status, **changes)  # type: ignore[arg-type]
        status = container.status
        self._events.put(RuntimeEvent(event, status.sandbox_id, status.id))

    def _end(self, container: _Container, exit_code: int, reason: str, message: str) -> None:
        with self._lock:
            self._set(container, "container_exited", state="exited", pid=0, exit_code=exit_code,
                      finished_at=time.time(), reason=reason, message=message)  # fmt: skip
            for attachment in container.attached[:]:
                attachment.kill()

    def _become_not_ready(self, sandbox_id: str, message: str) -> None:
        for status in self.list_containers(sandbox_id):
            if status.state != "exited":
                self._end(self._containers[status.id], 137, "Error", message)
        self._sandboxes[sandbox_id] = replace(
            self._sandboxes[sandbox_id], state="not_ready", shim_pid=0, netns_path=""
        )
        self._events.put(RuntimeEvent("sandbox_exited", sandbox_id))


class _FakeAttachment:
    def __init__(self, container: _Container, fds: dict[str, int]) -> None:
        self.pid = container.status.pid
        self._container, self._fds = container, fds
        self._code = 0
        self._over = threading.Event()
        self.sizes: list[tuple[int, int]] = []
        for fd in fds.values():
            os.set_blocking(fd, False)
        container.attached.append(self)

    def output(self, stream: str, data: bytes) -> None:
        try:
            if stream in self._fds and os.write(self._fds[stream], data) < len(data):
                self._end(1)
        except OSError as error:
            self._end(1 if isinstance(error, BlockingIOError) else 0)

    def _end(self, code: int) -> None:
        if self in self._container.attached:
            self._container.attached.remove(self)
            for fd in self._fds.values():
                os.close(fd)
            self._code = code
            self._over.set()

    def wait(self, timeout_s: float | None = None) -> int:
        if not self._over.wait(timeout_s):
            raise TimeoutError("still attached")
        return self._code

    def resize(self, width: int, height: int) -> None:
        self.sizes.append((width, height))

    def kill(self) -> None:
        self._end(0)


class _FakeExec:
    def __init__(self, argv: list[str], fds: list[int]) -> None:
        self._process = subprocess.Popen(argv, stdin=fds[0], stdout=fds[1], stderr=fds[2])
        self.pid = self._process.pid

    def wait(self, timeout_s: float | None = None) -> int:
        try:
            code = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise TimeoutError(f"process {self.pid} still runs after {timeout_s} s") from None
        return 128 - code if code < 0 else code

    def resize(self, width: int, height: int) -> None:
        """It has no terminal of its own."""

    def kill(self) -> None:
        self._process.kill()


def _ends_with(argv: list[str]) -> int | None:
    """The exit code of a command that ends at once; None for one that goes on."""
    if argv[0] in ("true", "false"):
        return 0 if argv[0] == "true" else 1
    found = _EXIT.search(argv[-1]) if argv[0] == "sh" else None
    return int(found[1]) if found and argv[-1] == found[0] else None
