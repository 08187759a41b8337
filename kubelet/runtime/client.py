"""Podium's own engine as the kubelet sees it: `PodiumRuntime`. Runs in the kubelet's threads.

It never forks. It keeps one connection to each shim; one thread reads them all and keeps a copy of
what the shims say, so that looking at the state costs no round trip. After a restart of the kubelet
it finds every shim by its socket and every dead one by its record.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from kubelet.runtime import errors, messages, operations, syscalls, user_namespace
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.errors import (
    ContainerNotFound,
    ContainerNotRunning,
    RuntimeFailure,
    SandboxNotFound,
    ShimGone,
)
from kubelet.runtime.event_feed import EventFeed
from kubelet.runtime.layout import (
    OPERATIONS,
    Layout,
    connect,
    read_record,
    short_path,
    write_record,
)
from kubelet.runtime.messages import Message, Receiver, container_status, sandbox_status, to_dict
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    ExecSession,
    OnStep,
    Operations,
    Resources,
    RuntimeEvent,
    SandboxConfig,
    SandboxStatus,
    no_step,
)
from kubelet.runtime.tree_removal import remove_tree

LAUNCHER_TIMEOUT_S = 10.0  # for it to come up, or back
LAUNCHER_TRIES = 3
CALL_TIMEOUT_S = 60.0  # beyond the grace period, if the call has one
HELLO_TIMEOUT_S = 10.0
_RETRY_S = 0.02
_KILLED_EXIT_CODE = 137
_SHIM_DIED = "its shim ended, and with it the container"


class Answer:
    """The place where a call waits for what the reader thread brings."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._message: Message = {}

    def set(self, message: Message) -> None:
        self._message = message
        self._event.set()

    def get(self, timeout_s: float, what: str) -> Message:
        if not self._event.wait(timeout_s):
            raise ShimGone(f"{what}: no answer within {timeout_s:.0f} s")
        if name := self._message.get("error"):
            kind = getattr(errors, name, RuntimeFailure)
            raise kind(self._message["message"])
        result: Message = self._message.get("result", {})
        return result


class ShimConnection:
    """One shim: its socket, who waits for it, and the copy of its state. Guarded by `lock`."""

    def __init__(self, sandbox_id: str, channel: socket.socket) -> None:
        self.sandbox_id = sandbox_id
        self.channel = channel
        self.receiver = Receiver()
        self.lock = threading.Lock()
        self.said_hello = Answer()
        self.is_gone = False
        self._waiting: dict[int, Answer] = {}
        self._next_id = 0
        self._sessions: dict[int, ShimExecSession] = {}
        self._early_exits: dict[int, int] = {}

    def call(
        self,
        do: str,
        timeout_s: float = CALL_TIMEOUT_S,
        descriptors: list[int] | None = None,
        **fields: Any,
    ) -> Message:
        """Ask and wait for the answer. ShimGone if the shim dies meanwhile."""
        answer = Answer()
        with self.lock:
            if self.is_gone:
                raise ShimGone(f"the shim of sandbox {self.sandbox_id} is gone")
            self._next_id += 1
            number = self._next_id
            self._waiting[number] = answer
            request = messages.encode({"id": number, "do": do, **fields})
            try:
                self._send(request, descriptors or [])
            except OSError as error:
                self._waiting.pop(number)
                raise ShimGone(f"the shim of sandbox {self.sandbox_id}: {error.strerror}") from None
        try:
            return answer.get(timeout_s, f"{do} in sandbox {self.sandbox_id}")
        finally:
            with self.lock:
                self._waiting.pop(number, None)

    def _send(self, request: bytes, fds: list[int]) -> None:
        sent = socket.send_fds(self.channel, [request], fds) if fds else 0
        self.channel.sendall(request[sent:])

    def settle(self, message: Message) -> None:
        with self.lock:
            answer = self._waiting.pop(message["id"], None)
        if answer:
            answer.set(message)

    def fail_all(self) -> None:
        """Everyone who waits hears that the shim is gone."""
        with self.lock:
            self.is_gone = True
            waiting, self._waiting = list(self._waiting.values()), {}
            sessions, self._sessions = list(self._sessions.values()), {}
        text = f"the shim of sandbox {self.sandbox_id} is gone"
        for answer in [*waiting, self.said_hello]:
            answer.set({"error": "ShimGone", "message": text})
        for session in sessions:
            session.set_exit_code(_KILLED_EXIT_CODE)

    def add_session(self, session: ShimExecSession) -> None:
        with self.lock:
            code = (
                _KILLED_EXIT_CODE if self.is_gone else self._early_exits.pop(session.number, None)
            )
            if code is None:
                self._sessions[session.number] = session
                return
        session.set_exit_code(code)

    def end_session(self, number: int, exit_code: int) -> None:
        with self.lock:
            session = self._sessions.pop(number, None)
            if session is None:  # it ended before its caller had heard that it had begun
                self._early_exits[number] = exit_code
                return
        session.set_exit_code(exit_code)


class ShimExecSession:
    """A running `exec` or `attach`; the Protocol is `ExecSession`."""

    def __init__(self, shim: ShimConnection, number: int, pid: int) -> None:
        self._shim = shim
        self.number, self.pid = number, pid
        self._ended = threading.Event()
        self._exit_code = 0

    def wait(self, timeout_s: float | None = None) -> int:
        if not self._ended.wait(timeout_s):
            raise TimeoutError(f"process {self.pid} still runs after {timeout_s} s")
        return self._exit_code

    def resize(self, width: int, height: int) -> None:
        if not self._ended.is_set():
            self._shim.call("resize", exec=self.number, width=width, height=height)

    def kill(self) -> None:
        if not self._ended.is_set():
            with contextlib.suppress(ShimGone):
                self._shim.call("kill_exec", exec=self.number)

    def set_exit_code(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._ended.set()


class PodiumRuntime:
    """The engine behind `kubelet.runtime.protocol.Runtime`. Thread-safe."""

    version = "podium://0.1.0"

    def __init__(self, root: str, cgroup_root: str) -> None:
        self.layout = Layout(root)
        self.has_user_namespaces = user_namespace.is_offered()
        self.has_recursive_read_only = syscalls.has_mount_setattr()
        self.on_step: OnStep = no_step
        self.cgroups = Cgroups.detect(cgroup_root)
        self._lock = threading.Lock()
        self._shims: dict[str, ShimConnection] = {}
        self._sandboxes: dict[str, SandboxStatus] = {}
        self._cgroup_parents: dict[str, str] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._creating: dict[str, threading.Lock] = {}
        self._events = EventFeed()
        self._epoll = select.epoll()
        self._by_fd: dict[int, ShimConnection] = {}
        self._wake_reader, self._wake = os.pipe()
        self._epoll.register(self._wake_reader, select.EPOLLIN)
        self._reader = threading.Thread(
            target=self._read_forever, name="runtime-reader", daemon=True
        )
        self._reader.start()
        os.makedirs(self.layout.sandboxes, mode=0o700, exist_ok=True)
        self._adopt()

    # Sandboxes

    def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus:
        with self._one_at_a_time(config.id):
            known = self._sandboxes.get(config.id)
            if known and known.state == "ready":
                return known
            self._end_stray_shim(config.id)
            for attempt in range(LAUNCHER_TRIES):
                shim = self._ask_launcher(config.id)
                try:
                    shim.call("run_sandbox", config=to_dict(config))
                except ShimGone:  # the launcher was killed while our request lay in its socket
                    self._forget_shim(shim)
                    if attempt == LAUNCHER_TRIES - 1:
                        raise
                except RuntimeFailure:
                    self._forget_shim(shim)
                    if config.id not in self._sandboxes:
                        self._erase(config.id, config.cgroup_parent)
                    raise
                else:
                    break
            return self._sandboxes[config.id]

    def stop_pod_sandbox(self, sandbox_id: str) -> None:
        shim = self._shims.get(sandbox_id)
        if shim is None:
            return
        with contextlib.suppress(ShimGone):
            shim.call("stop_sandbox")
        self._on_shim_gone(shim)

    def remove_pod_sandbox(self, sandbox_id: str) -> None:
        self.layout.sandbox(sandbox_id)
        self.stop_pod_sandbox(sandbox_id)
        with self._one_at_a_time(sandbox_id):
            self._erase(sandbox_id, self._cgroup_parents.get(sandbox_id, ""))
            with self._lock:
                self._sandboxes.pop(sandbox_id, None)
                self._cgroup_parents.pop(sandbox_id, None)
                for container in self._containers_of(sandbox_id):
                    del self._containers[container.id]
        with self._lock:
            self._creating.pop(sandbox_id, None)

    def list_pod_sandboxes(self) -> list[SandboxStatus]:
        with self._lock:
            return list(self._sandboxes.values())

    # Containers

    def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        result = self._shim(sandbox_id).call("create", config=to_dict(config))
        self._tell_steps(result)
        return str(result["container"]["id"])

    def start_container(self, container_id: str) -> ContainerStatus:
        status = self.container_status(container_id)
        if status.state != "created":
            return status
        result = self._shim(status.sandbox_id).call("start", container=container_id)
        self._tell_steps(result)
        return container_status(result["container"])

    def _tell_steps(self, result: Message) -> None:
        for name, began, ended in result.get("steps", ()):  # a shim may be of an older version
            self.on_step(name, began, ended)

    def stop_container(self, container_id: str, grace_s: float) -> None:
        status = self._containers.get(container_id)
        if status is None or status.state == "exited":
            return
        with contextlib.suppress(ShimGone, ContainerNotFound):
            shim = self._shim(status.sandbox_id)
            shim.call("stop", CALL_TIMEOUT_S + grace_s, container=container_id, grace_s=grace_s)

    def remove_container(self, container_id: str) -> None:
        status = self._containers.get(container_id)
        if status is None:
            return
        parent = self._cgroup_parents.get(status.sandbox_id, "")
        try:
            with contextlib.suppress(ContainerNotFound):
                self._shim(status.sandbox_id).call("remove", container=container_id)
        except (ShimGone, SandboxNotFound):
            if parent:
                self.cgroups.remove(f"{parent}/{container_id}")
        _remove_tree(self.layout.container(status.sandbox_id, container_id))
        with self._lock:
            self._containers.pop(container_id, None)

    def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        with self._lock:
            if sandbox_id is None:
                return list(self._containers.values())
            return self._containers_of(sandbox_id)

    def container_status(self, container_id: str) -> ContainerStatus:
        status = self._containers.get(container_id)
        if status is None:
            raise ContainerNotFound(f"container {container_id[:12]} not found")
        return status

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
        given = {"stdin": stdin_fd, "stdout": stdout_fd, "stderr": stderr_fd}
        return self._session("exec", container_id, given, argv=argv, tty=tty)

    def attach(
        self,
        container_id: str,
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
    ) -> ExecSession:
        given = {"stdin": stdin_fd, "stdout": stdout_fd, "stderr": stderr_fd}
        return self._session("attach", container_id, given)

    def _session(
        self, do: str, container_id: str, given: dict[str, int | None], **words: Any
    ) -> ShimExecSession:
        """Hand descriptors to the shim for as long as something runs there."""
        shim = self._shim(self._running(container_id).sandbox_id)
        fds = {name: fd for name, fd in given.items() if fd is not None}
        result = shim.call(
            do, descriptors=list(fds.values()), fds=list(fds), container=container_id, **words
        )
        session = ShimExecSession(shim, result["exec"], result["pid"])
        shim.add_session(session)
        return session

    def reopen_log(self, container_id: str) -> None:
        status = self.container_status(container_id)
        self._shim(status.sandbox_id).call("reopen_log", container=container_id)

    def update_resources(self, container_id: str, resources: Resources) -> None:
        path = self._cgroup(self._running(container_id))
        try:
            self.cgroups.update(path, resources)
        except OSError as error:
            raise RuntimeFailure(f"container {container_id[:12]}: {error}") from None

    def update_sandbox_resources(self, sandbox_id: str, resources: Resources) -> None:
        self._shim(sandbox_id)
        try:
            self.cgroups.update(self._cgroup_parents[sandbox_id], resources)
        except OSError as error:
            raise RuntimeFailure(f"sandbox {sandbox_id}: {error}") from None

    def container_resources(self, container_id: str) -> Resources:
        path = self._cgroup(self._running(container_id))
        try:
            return self.cgroups.limits(path)
        except OSError as error:  # it ended while we looked
            raise ContainerNotRunning(f"container {container_id[:12]}: {error}") from None

    def sandbox_resources(self, sandbox_id: str) -> Resources:
        self._shim(sandbox_id)
        try:
            return self.cgroups.limits(self._cgroup_parents[sandbox_id])
        except OSError as error:  # it was removed while we looked
            raise SandboxNotFound(f"sandbox {sandbox_id}: {error}") from None

    def container_stats(self, container_id: str) -> ContainerStats:
        path = self._cgroup(self._running(container_id))
        try:
            return self.cgroups.stats(path)
        except OSError as error:  # it ended while we looked
            raise ContainerNotRunning(f"container {container_id[:12]}: {error}") from None

    def sandbox_stats(self, sandbox_id: str) -> ContainerStats:
        self._shim(sandbox_id)
        try:
            return self.cgroups.stats(self._cgroup_parents[sandbox_id])
        except OSError as error:  # it was removed while we looked
            raise SandboxNotFound(f"sandbox {sandbox_id}: {error}") from None

    def writable_layer(self, container_id: str) -> str:
        status = self.container_status(container_id)
        return f"{self.layout.container(status.sandbox_id, container_id)}/upper"

    def operations(self, container_id: str) -> Operations | None:
        sandbox_id = self.container_status(container_id).sandbox_id
        directory = self.layout.container(sandbox_id, container_id)
        record = read_record(self.layout.sandbox_record(sandbox_id))
        try:
            with open(f"{self.layout.sandbox(sandbox_id)}/{OPERATIONS}", encoding="utf-8") as file:
                of_sandbox = operations.unpacked(file.read())
            with open(f"{directory}/{OPERATIONS}", encoding="utf-8") as file:
                of_container = operations.unpacked(file.read())
        except FileNotFoundError:
            return None
        parent = f"{self.cgroups.root}/{record['cgroup_parent'] if record else ''}"
        shm_dir = f"{self.layout.shm}/{sandbox_id}"
        return Operations(of_sandbox, of_container, directory, shm_dir, parent)

    # Events and the end

    def events(self) -> Iterator[RuntimeEvent]:
        return self._events.listen()

    def close(self) -> None:
        """Let go of the shims, which live on."""
        if self._wake < 0:
            return
        os.close(self._wake)
        self._wake = -1
        self._reader.join()
        os.close(self._wake_reader)
        self._epoll.close()
        for shim in list(self._shims.values()):
            shim.fail_all()
            shim.channel.close()
        self._events.close()

    # Shims

    def _adopt(self) -> None:
        """Find every shim that lives, and write down what became of those that do not."""
        found = [self._connect(name) or name for name in os.listdir(self.layout.sandboxes)]
        for shim in found:
            if isinstance(shim, ShimConnection):
                try:
                    shim.said_hello.get(HELLO_TIMEOUT_S, f"hello of sandbox {shim.sandbox_id}")
                    self._remove_unfinished(shim.sandbox_id)
                except ShimGone:
                    self._forget_shim(shim)
                    self._adopt_dead(shim.sandbox_id)
            else:
                self._adopt_dead(shim)

    def _connect(self, sandbox_id: str) -> ShimConnection | None:
        try:
            channel = connect(self.layout.sandbox(sandbox_id), "shim.sock")
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
            return None
        return self._follow(ShimConnection(sandbox_id, channel))

    def _follow(self, shim: ShimConnection) -> ShimConnection:
        """From now on the reader thread listens to it."""
        with self._lock:
            self._shims[shim.sandbox_id] = shim
            self._by_fd[shim.channel.fileno()] = shim
        self._epoll.register(shim.channel.fileno(), select.EPOLLIN)
        return shim

    def _forget_shim(self, shim: ShimConnection) -> None:
        """It never came to be a sandbox's; the reader thread closes the socket."""
        with self._lock:
            if self._shims.get(shim.sandbox_id) is shim:
                del self._shims[shim.sandbox_id]
        with contextlib.suppress(OSError):
            shim.channel.shutdown(socket.SHUT_RDWR)

    def _adopt_dead(self, sandbox_id: str) -> None:
        """The shim has died while no kubelet ran, or the machine was restarted."""
        self._end_stray_shim(sandbox_id)
        record = read_record(self.layout.sandbox_record(sandbox_id))
        if record is None:
            self._erase(sandbox_id, "")
            return
        directory = f"{self.layout.sandbox(sandbox_id)}/containers"
        with self._lock:
            self._sandboxes[sandbox_id] = sandbox_status(record["status"])
            self._cgroup_parents[sandbox_id] = record["cgroup_parent"]
            for name in os.listdir(directory) if os.path.isdir(directory) else []:
                if state := read_record(f"{directory}/{name}/state.json"):
                    self._containers[name] = container_status(state["status"])
        self._write_down_the_end(sandbox_id)

    def _remove_unfinished(self, sandbox_id: str) -> None:
        """Directories of containers whose removal a dying kubelet had begun."""
        directory = f"{self.layout.sandbox(sandbox_id)}/containers"
        for name in os.listdir(directory):
            path = f"{directory}/{name}"
            age_s = time.time() - os.stat(path).st_mtime
            if name not in self._containers and age_s > HELLO_TIMEOUT_S:
                _remove_tree(path)

    def _end_stray_shim(self, sandbox_id: str) -> None:
        """A shim that lives but does not answer (killed kubelet, half-made sandbox) must go before
        another takes its place."""
        record = read_record(self.layout.sandbox_record(sandbox_id))
        pid = int(record["status"]["shim_pid"]) if record else 0
        if not pid or not _is_shim_of(pid, sandbox_id):
            return
        with contextlib.suppress(ProcessLookupError):
            pidfd = os.pidfd_open(pid)
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                select.select([pidfd], [], [], HELLO_TIMEOUT_S)
            finally:
                os.close(pidfd)

    def _ask_launcher(self, sandbox_id: str) -> ShimConnection:
        """A connection to a new shim, which the launcher is about to fork."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            deadline = time.monotonic() + LAUNCHER_TIMEOUT_S
            while True:
                try:
                    with short_path(self.layout.root, "launcher.sock") as path:
                        channel.connect(path)
                        socket.send_fds(channel, [b"shim"], [theirs.fileno()])
                    return self._follow(ShimConnection(sandbox_id, ours))
                except OSError as error:
                    is_absent = error.errno in (errno.ENOENT, errno.ECONNREFUSED)
                    if not is_absent or time.monotonic() > deadline:
                        ours.close()
                        reason = f"the launcher at {self.layout.root} does not answer"
                        raise RuntimeFailure(f"{reason}: {error.strerror}") from None
                time.sleep(_RETRY_S)  # the supervisor is about to bring it back

    # The reader thread

    def _read_forever(self) -> None:
        while True:
            for fd, _events in self._epoll.poll():
                if fd == self._wake_reader:
                    return
                if shim := self._by_fd.get(fd):
                    self._read(shim)

    def _read(self, shim: ShimConnection) -> None:
        try:
            received = shim.receiver.receive(shim.channel)
        except OSError:
            received = None
        if received is not None:
            for message in received:
                self._on_message(shim, message)
            return
        fd = shim.channel.fileno()
        self._epoll.unregister(fd)
        with self._lock:
            del self._by_fd[fd]
        shim.fail_all()
        shim.channel.close()
        # Ending what it leaves behind may take a while, and others are waiting for this thread.
        threading.Thread(target=self._on_shim_gone, args=(shim,), daemon=True).start()

    def _on_message(self, shim: ShimConnection, message: Message) -> None:
        event = message.get("event")
        if event is None:
            if changed := message.get("result", {}).get("container"):
                self._keep(changed)
            shim.settle(message)
        elif event == "hello":
            self._on_hello(shim, message)
        elif event == "exec_exited":
            shim.end_session(message["exec"], message["exit_code"])
        else:
            status = self._keep(message["container"])
            self._events.put(RuntimeEvent(event, status.sandbox_id, status.id))

    def _on_hello(self, shim: ShimConnection, message: Message) -> None:
        status = sandbox_status(message["sandbox"])
        with self._lock:
            self._sandboxes[status.id] = status
            self._cgroup_parents[status.id] = message["cgroup_parent"]
        for fields in message["containers"]:
            self._keep(fields)
        shim.said_hello.set({})

    def _keep(self, fields: Message) -> ContainerStatus:
        status = container_status(fields)
        with self._lock:
            self._containers[status.id] = status
        return status

    # What a dead shim leaves behind

    def _on_shim_gone(self, shim: ShimConnection) -> None:
        """Once for each shim that was somebody's: end its containers and tell."""
        with self._lock:
            if self._shims.get(shim.sandbox_id) is not shim:
                return
            del self._shims[shim.sandbox_id]
            if shim.sandbox_id not in self._sandboxes:
                return
        shim.fail_all()
        self._write_down_the_end(shim.sandbox_id)
        self._events.put(RuntimeEvent("sandbox_exited", shim.sandbox_id))

    def _write_down_the_end(self, sandbox_id: str) -> None:
        with self._lock:
            sandbox = replace(
                self._sandboxes[sandbox_id], state="not_ready", shim_pid=0, netns_path=""
            )
            self._sandboxes[sandbox_id] = sandbox
            parent = self._cgroup_parents[sandbox_id]
            left = [c for c in self._containers_of(sandbox_id) if c.state != "exited"]
        if left and parent:
            self.cgroups.kill(parent)
        for container in left:
            self._write_down_exit(container)
        with contextlib.suppress(FileNotFoundError):  # being removed by another thread
            record = {"status": to_dict(sandbox), "cgroup_parent": parent}
            write_record(self.layout.sandbox_record(sandbox_id), record)

    def _write_down_exit(self, container: ContainerStatus) -> None:
        ended = replace(
            container, state="exited", pid=0, finished_at=time.time(), reason="Error",
            exit_code=_KILLED_EXIT_CODE, message=_SHIM_DIED,
        )  # fmt: skip
        with self._lock:
            self._containers[ended.id] = ended
        path = self.layout.container_record(ended.sandbox_id, ended.id)
        with contextlib.suppress(FileNotFoundError):
            write_record(path, {"status": to_dict(ended)})
        self._events.put(RuntimeEvent("container_exited", ended.sandbox_id, ended.id))

    def _erase(self, sandbox_id: str, cgroup_parent: str) -> None:
        if cgroup_parent:
            self.cgroups.remove(cgroup_parent)
        _remove_tree(f"{self.layout.shm}/{sandbox_id}")
        _remove_tree(self.layout.sandbox(sandbox_id))

    # Looking things up

    @contextlib.contextmanager
    def _one_at_a_time(self, sandbox_id: str) -> Iterator[None]:
        with self._lock:
            lock = self._creating.setdefault(sandbox_id, threading.Lock())
        with lock:
            yield

    def _shim(self, sandbox_id: str) -> ShimConnection:
        shim = self._shims.get(sandbox_id)
        if shim is None and sandbox_id in self._sandboxes:
            raise ShimGone(f"sandbox {sandbox_id} is not ready")
        if shim is None:
            raise SandboxNotFound(f"sandbox {sandbox_id} not found")
        return shim

    def _running(self, container_id: str) -> ContainerStatus:
        status = self.container_status(container_id)
        if status.state != "running":
            raise ContainerNotRunning(f"container {status.name} is {status.state}, not running")
        return status

    def _cgroup(self, status: ContainerStatus) -> str:
        return f"{self._cgroup_parents[status.sandbox_id]}/{status.id}"

    def _containers_of(self, sandbox_id: str) -> list[ContainerStatus]:
        return [c for c in self._containers.values() if c.sandbox_id == sandbox_id]


def _is_shim_of(pid: int, sandbox_id: str) -> bool:
    """Not another process that was given the same number since."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            title = file.read().rstrip(b"\0").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return title.startswith("podium-shim ") and title.endswith(sandbox_id)


def _remove_tree(path: str) -> None:
    try:
        remove_tree(path)
    except OSError as error:
        raise RuntimeFailure(f"remove {error.filename or path}: {error.strerror}") from None
