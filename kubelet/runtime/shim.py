"""The shim: one process per sandbox, its containers' parent. It outlives launcher and kubelet.

A fork of the launcher that lives in the sandbox's network, IPC and UTS namespaces, holds the logs'
pipes, reaps, and serves requests (messages.py) on `shim.sock`. It ends when the sandbox is stopped,
or after its containers when it is sent SIGTERM. Knows no Pods and no HTTP; has one thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

from kubelet.runtime import operations, pid_namespace, syscalls, user_namespace
from kubelet.runtime.errors import ContainerNotFound, ContainerNotRunning, RuntimeFailure
from kubelet.runtime.event_loop import READABLE, WRITABLE, EventLoop
from kubelet.runtime.layout import (
    OPERATIONS,
    read_record,
    short_path,
    write_lines,
    write_record,
)
from kubelet.runtime.messages import (
    Message,
    Receiver,
    container_config,
    container_status,
    encode,
    sandbox_config,
    to_dict,
)
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    EventKind,
    IdMapping,
    SandboxConfig,
    SandboxStatus,
)
from kubelet.runtime.shim_container import Container, Exec, Host

if TYPE_CHECKING:
    from kubelet.runtime.attachment import Attachment

TERMINATE_GRACE_S = 10.0  # from SIGTERM to the containers' SIGKILL
UNSENT_MAX_BYTES = 4 << 20  # a client that reads nothing is cut off, not waited for
_LISTEN_BACKLOG = 16
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def main(host: Host, channel: socket.socket) -> NoReturn:
    """Be a shim for the sandbox that the first message on `channel` asks for. Never returns."""
    code = 1
    try:
        os.setsid()
        os.umask(0o022)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the event loop takes it
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        for number in (0, 1, 2):
            os.dup2(host.null_fd, number)
        Shim(host).serve(channel)
        code = 0
    except Exception:  # noqa: BLE001  # the last resort of a process: nobody above would hear
        _complain()  # into shim.log if that was reached
    finally:
        os._exit(code)


class Connection:
    """One client: the kubelet, and for a moment perhaps its predecessor."""

    def __init__(self, shim: Shim, channel: socket.socket) -> None:
        self.shim, self.channel = shim, channel
        self.receiver = Receiver()
        self._unsent = b""
        channel.setblocking(False)
        shim.loop.watch(channel.fileno(), self._on_ready)

    def send(self, message: Message) -> None:
        if self.channel.fileno() < 0:
            return
        self._unsent += encode(message)
        if len(self._unsent) > UNSENT_MAX_BYTES:
            self.close()
            return
        self._send_more()

    def _send_more(self) -> None:
        try:
            self._unsent = self._unsent[self.channel.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.close()
            return
        events = READABLE | (WRITABLE if self._unsent else 0)
        self.shim.loop.watch(self.channel.fileno(), self._on_ready, events)

    def _on_ready(self) -> None:
        if self._unsent:
            self._send_more()
        try:
            requests = self.receiver.receive(self.channel)
        except BlockingIOError:
            return
        except OSError:
            requests = None
        if requests is None:
            self.close()
            return
        for request in requests:
            self.shim.handle(self, request)

    def close(self) -> None:
        if self.channel.fileno() >= 0:
            self.shim.loop.unwatch(self.channel.fileno())
            self.channel.close()
            self.receiver.close()
            self.shim.connections.discard(self)
            self.shim.on_closed()
            self.shim.detach_all(self)


class Request:
    """One request that may be answered later; the second answer is dropped."""

    def __init__(self, connection: Connection, message: Message) -> None:
        self.connection, self.message = connection, message
        self.fds = connection.receiver.take_fds(len(message.get("fds", ())))
        self._is_answered = False

    def answer(self, result: Message | None = None) -> None:
        self._send({"result": result or {}})

    def refuse(self, error: Exception) -> None:
        name = type(error).__name__ if isinstance(error, RuntimeFailure) else "RuntimeFailure"
        self._send({"error": name, "message": str(error)})

    def done(self, error: Exception | None) -> None:
        if error:
            self.refuse(error)
        else:
            self.answer()

    def _send(self, message: Message) -> None:
        if not self._is_answered:
            self._is_answered = True
            self.connection.send({"id": self.message.get("id"), **message})

    def close_fds(self) -> None:
        for fd in self.fds:
            os.close(fd)
        self.fds = []


class Shim:
    def __init__(self, host: Host) -> None:
        self.host = host
        self.loop = EventLoop(self._on_child, self._on_terminate)
        self.connections: set[Connection] = set()
        self.containers: dict[str, Container] = {}
        self.past: dict[str, ContainerStatus] = {}  # ended under an earlier shim of this sandbox
        self.execs: dict[int, tuple[Exec, Connection]] = {}  # by number
        # Numbered together with them.
        self.attachments: dict[int, tuple[Attachment, Container, Connection]] = {}
        self.sandbox_id = self.shm_dir = ""
        self.config: SandboxConfig
        self.status: SandboxStatus
        self._exec_count = 0
        self.init_pid = 0  # PID 1 of the namespace that containers share; 0 = there is none
        self._init: socket.socket | None = None
        self.ids: IdMapping | None = None
        self.user_namespace_fd = -1  # of the sandbox's, if it has one
        self._handlers: dict[str, Callable[[Request], None]] = {
            "run_sandbox": self._run_sandbox,
            "stop_sandbox": self._stop_sandbox,
            "create": self._create,
            "start": self._start,
            "stop": self._stop,
            "remove": self._remove,
            "exec": self._exec,
            "attach": self._attach,
            "resize": self._resize,
            "kill_exec": self._kill_exec,
            "reopen_log": self._reopen_log,
        }

    def serve(self, channel: socket.socket) -> None:
        self.connections.add(Connection(self, channel))
        self.loop.run()

    def on_closed(self) -> None:
        """A shim that its kubelet has asked for, and then not lived to say what for, has no use."""
        if not self.sandbox_id:
            os._exit(0)

    def handle(self, connection: Connection, message: Message) -> None:
        """Every failure is an answer; a shim does not end because of a request."""
        request = Request(connection, message)
        try:
            self._handlers[message["do"]](request)
        except RuntimeFailure as error:
            request.refuse(error)
        except OSError as error:
            call = error.strerror or str(error)
            where = f" {error.filename}" if error.filename else ""
            request.refuse(RuntimeFailure(f"{call}{where}"))
        except Exception as error:  # noqa: BLE001  # a bug: tell the client and the log, and live on
            _complain()
            request.refuse(RuntimeFailure(f"{type(error).__name__}: {error}"))
        finally:
            request.close_fds()

    # The sandbox

    def _run_sandbox(self, request: Request) -> None:
        """Only ever the first request. If it fails, this process has no reason to be."""
        operations.begin()
        try:
            self._become_sandbox(sandbox_config(request.message["config"]))
        except Exception as error:  # noqa: BLE001  # whatever it is: say so, then end
            reason = (
                f"{error.strerror} {error.filename or ''}" if isinstance(error, OSError) else error
            )
            request.refuse(RuntimeFailure(f"sandbox {request.message['config']['id']}: {reason}"))
            os._exit(1)
        request.connection.send(self._hello())
        request.answer()
        directory = self.host.layout.sandbox(self.sandbox_id)
        with contextlib.suppress(OSError):
            write_lines(f"{directory}/{OPERATIONS}", operations.packed(operations.end()))

    def _become_sandbox(self, config: SandboxConfig) -> None:
        layout = self.host.layout
        directory = layout.sandbox(config.id)
        self.config, self.sandbox_id = config, config.id
        self.shm_dir = f"{layout.shm}/{config.id}"
        syscalls.set_process_title(f"podium-shim {self.host.cgroups.root} {config.id}")
        os.makedirs(f"{directory}/containers", exist_ok=True)
        self._use_log(f"{directory}/shim.log")
        self._make_shm(config)
        self._enter_namespaces(config)
        if config.shares_pid:
            self._start_init()
        pid = os.getpid()
        self.status = SandboxStatus(
            config.id, "ready", pid, f"/proc/{pid}/ns/net", time.time(), config.labels
        )
        record = {"status": to_dict(self.status), "cgroup_parent": config.cgroup_parent}
        write_record(layout.sandbox_record(config.id), record)
        self.host.cgroups.create_parent(config.cgroup_parent, config.resources)
        self._read_past(f"{directory}/containers")
        self._listen(directory)

    def _use_log(self, path: str) -> None:
        """Complaints go to a file that exists only if there are any."""
        sys.stderr = LazyFile(path)

    def _make_shm(self, config: SandboxConfig) -> None:
        if config.host_ipc:
            self.shm_dir = "/dev/shm"
            return
        with contextlib.suppress(FileExistsError):
            operations.mkdir(self.shm_dir, 0o1777)
        os.chmod(self.shm_dir, 0o1777)
        if config.user_namespace:
            operations.give(self.shm_dir, config.user_namespace.first_host_id)

    def _enter_namespaces(self, config: SandboxConfig) -> None:
        flags = 0 if config.host_ipc else syscalls.CLONE_NEWIPC
        flags |= 0 if config.host_network else syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS
        if config.user_namespace:
            self.ids = config.user_namespace
            self.user_namespace_fd = user_namespace.make(self.ids, flags)
        elif flags:
            syscalls.unshare(flags)
        if not config.host_network:
            socket.sethostname(config.hostname)
            operations.note("sethostname", config.hostname)
            _bring_up_loopback()
            operations.note("loopback_up")
        self._sysctls = dict(config.sysctls)
        self._set_sysctls(is_last_try=False)

    def _set_sysctls(self, *, is_last_try: bool) -> None:
        """/proc/sys shows each process its own namespaces' values. Those of an interface have to
        wait for it: it comes after the sandbox and before the first container."""
        for name in list(self._sysctls):
            try:
                syscalls.set_sysctl(name, self._sysctls[name])
            except FileNotFoundError:
                if not is_last_try:
                    continue
                raise
            del self._sysctls[name]

    def _start_init(self) -> None:
        title = f"podium-init {self.host.cgroups.root} {self.sandbox_id}"
        self.init_pid, self._init = pid_namespace.start_init(title, self.user_namespace_fd)

    def pid_in_namespace_of(self, config: ContainerConfig) -> int:
        if config.pid_namespace == "node":
            return os.getpid()
        if config.pid_namespace == "pod":
            if not self.init_pid:
                raise RuntimeFailure("its sandbox has no PID namespace to share")
            return self.init_pid
        if config.pid_namespace == "target":
            target = self.containers.get(config.pid_target_id)
            if not target or target.status.state != "running" or not target.pid:
                raise ContainerNotRunning(
                    f"container {config.pid_target_id[:12]}, whose processes it should see, "
                    "is not running"
                )
            return target.pid
        return 0

    def _read_past(self, directory: str) -> None:
        for name in os.listdir(directory):
            record = read_record(f"{directory}/{name}/state.json")
            if record:
                self.past[name] = container_status(record["status"])

    def _listen(self, directory: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{directory}/shim.sock")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        with short_path(directory, "shim.sock") as path:
            self._listener.bind(path)
        self._listener.listen(_LISTEN_BACKLOG)
        self.loop.watch(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            connection = Connection(self, self._listener.accept()[0])
            self.connections.add(connection)
            connection.send(self._hello())

    def _hello(self) -> Message:
        """Everything a client must know, the first thing it hears."""
        made = (container.status for container in self.containers.values() if container.is_made)
        statuses = [*self.past.values(), *made]
        return {
            "event": "hello",
            "sandbox": to_dict(self.status),
            "cgroup_parent": self.config.cgroup_parent,
            "containers": [to_dict(status) for status in statuses],
        }

    def _stop_sandbox(self, request: Request) -> None:
        """Kill what runs; answer and end when all of it has ended."""
        self._stop_all(0, lambda: self._end(request))

    def _on_terminate(self) -> None:
        """The machine goes down, or somebody wants this sandbox ended: politely, and soon."""
        self._stop_all(TERMINATE_GRACE_S, self._end)

    def _stop_all(self, grace_s: float, then: Callable[[], None]) -> None:
        def check(_error: Exception | None = None) -> None:
            if not any(container.is_alive for container in self.containers.values()):
                then()

        for container in list(self.containers.values()):
            container.stop(grace_s, check)
        check()

    def _end(self, request: Request | None = None) -> None:
        self.status = replace(self.status, state="not_ready", shim_pid=0, netns_path="")
        record = {"status": to_dict(self.status), "cgroup_parent": self.config.cgroup_parent}
        write_record(self.host.layout.sandbox_record(self.sandbox_id), record)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{self.host.layout.sandbox(self.sandbox_id)}/shim.sock")
        if request:
            request.answer()
        os._exit(0)

    # Containers

    def publish(self, kind: EventKind, status: ContainerStatus) -> None:
        message = {"event": kind, "container": to_dict(status)}
        for connection in list(self.connections):
            connection.send(message)

    def _container(self, request: Request) -> Container:
        container = self.containers.get(request.message["container"])
        if not container:
            raise ContainerNotFound(f"container {request.message['container'][:12]} not found")
        return container

    def _create(self, request: Request) -> None:
        config = container_config(request.message["config"])
        self._set_sysctls(is_last_try=True)
        for known in self.containers.values():
            if (known.config.name, known.config.attempt) == (config.name, config.attempt):
                request.answer({"container": to_dict(known.status)})
                return
        container_id = os.urandom(32).hex()
        cgroup = f"{self.config.cgroup_parent}/{container_id}"
        try:
            container = Container(self, container_id, config, cgroup)
        except ValueError as error:
            raise RuntimeFailure(f"container {config.name}: {error}") from None

        def done(error: Exception | None) -> None:
            if error:
                self._forget(container)
                request.refuse(error)
            else:
                request.answer({"container": to_dict(container.status), "steps": container.steps})

        self.containers[container_id] = container
        try:
            container.create(done)
        except BaseException:
            self._forget(container)
            raise

    def _forget(self, container: Container) -> None:
        self.containers.pop(container.id, None)
        container.forget()

    def _start(self, request: Request) -> None:
        container = self._container(request)

        def done(_error: Exception | None) -> None:
            last = container.steps[-1:] if container.status.started_at else []
            request.answer({"container": to_dict(container.status), "steps": last})

        container.start(done)

    def _stop(self, request: Request) -> None:
        if request.message["container"] in self.past:
            request.answer()
            return
        self._container(request).stop(float(request.message["grace_s"]), request.done)

    def _remove(self, request: Request) -> None:
        if self.past.pop(request.message["container"], None):
            request.answer()
            return
        container = self._container(request)

        def done(_error: Exception | None) -> None:
            try:
                self._forget(container)
            except (OSError, RuntimeFailure) as error:
                request.refuse(error)
            else:
                request.answer()

        container.stop(0, done)

    def _reopen_log(self, request: Request) -> None:
        self._container(request).reopen_log()
        request.answer()

    # Exec

    def _exec(self, request: Request) -> None:
        container, message = self._container(request), request.message
        tty = bool(message["tty"])
        stdio = dict(zip(message["fds"], request.fds, strict=True))
        plan = container.exec_plan(message["argv"], tty=tty)
        process = Exec(container, plan, stdio)
        if tty and "stdin" in message["fds"]:
            request.fds.remove(request.fds[message["fds"].index("stdin")])  # the relay's now
        number = self._next_number()
        self.execs[number] = (process, request.connection)

        def done(error: Exception | None) -> None:
            if error:
                request.refuse(error)
            else:
                request.answer({"exec": number, "pid": process.pid})

        process.when_started(done)

    def _next_number(self) -> int:
        self._exec_count += 1
        return self._exec_count

    def _attach(self, request: Request) -> None:
        container, number = self._container(request), self._next_number()
        connection = request.connection

        def over(code: int) -> None:
            self.attachments.pop(number, None)
            connection.send({"event": "exec_exited", "exec": number, "exit_code": code})

        fds = dict(zip(request.message["fds"], request.fds, strict=True))
        attachment = container.attach(fds, over)
        request.fds = []  # the attachment's now
        self.attachments[number] = (attachment, container, connection)
        request.answer({"exec": number, "pid": container.pid})

    def detach_all(self, connection: Connection) -> None:
        """The kubelet whose they were has gone."""
        for attachment, _container, owner in list(self.attachments.values()):
            if owner is connection:
                attachment.end()

    def _resize(self, request: Request) -> None:
        number, size = (
            request.message["exec"],
            (request.message["width"], request.message["height"]),
        )
        if number in self.execs and (relay := self.execs[number][0].relay):
            relay.resize(*size)
        elif number in self.attachments:
            self.attachments[number][1].resize(*size)
        request.answer()

    def _kill_exec(self, request: Request) -> None:
        number = request.message["exec"]
        if number in self.execs:
            self.execs[number][0].kill()
        elif number in self.attachments:
            self.attachments[number][0].end()
        request.answer()

    # Ends

    def _on_child(self, pid: int, exit_code: int) -> None:
        if pid == self.init_pid:  # all that was in its namespace ends as well, the sandbox is lost
            self.init_pid = 0
            self._stop_all(0, self._end)
            return
        for container in list(self.containers.values()):
            if container.on_child(pid, exit_code):
                return
        for number, (process, connection) in self.execs.items():
            code = process.end_of(pid, exit_code)
            if code is not None:
                process.on_ended()
                del self.execs[number]
                connection.send({"event": "exec_exited", "exec": number, "exit_code": code})
                return


def _complain() -> None:
    """Log the exception being handled. Imported only now: no healthy shim pays for it."""
    import traceback

    traceback.print_exc()


class LazyFile:
    """A stderr that opens its file when something is written."""

    def __init__(self, path: str) -> None:
        self.path = path

    def write(self, text: str) -> int:
        with open(self.path, "a", encoding="utf-8") as file:
            return file.write(text)

    def flush(self) -> None: ...


def _bring_up_loopback() -> None:
    """`ip link set lo up` (`man 7 netdevice`)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        fcntl.ioctl(channel, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
