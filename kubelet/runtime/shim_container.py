"""One container's life, seen from the shim that is its parent.

create: cgroup, directories, clone → the child makes the root, says "ready", waits
start:  "go" → the child execs (its socket closes) or says why it could not
end:    waitpid says so → rest of the output, OOM or not, record, event
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from kubelet.runtime import (
    capabilities,
    container_child,
    errors,
    messages,
    operations,
    rootfs,
    syscalls,
)
from kubelet.runtime.cgroups import Cgroups, Leaf
from kubelet.runtime.container_child import (
    DID,
    GO,
    MESSAGE_MAX_BYTES,
    PID,
    READY,
    ProcessPlan,
    UserNamespace,
)
from kubelet.runtime.errors import ContainerNotRunning, RuntimeFailure
from kubelet.runtime.event_loop import EventLoop, Timer
from kubelet.runtime.host_image import HostImage
from kubelet.runtime.layout import OPERATIONS, Layout, write_lines, write_record
from kubelet.runtime.log_file import HOLD_S, LogFile
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    EventKind,
    IdMapping,
    Mount,
)
from kubelet.runtime.rootfs import CgroupView, RootPlan
from kubelet.runtime.terminal import Relay, set_size

if TYPE_CHECKING:
    from kubelet.runtime.attachment import Attachment

READ_BYTES = 65_536
TERMINAL_SIZE = 80, 24  # until somebody says another
_EXIT_CODES = {"CommandNotFound": 127, "CommandNotExecutable": 126}
_COULD_NOT_START, _KILLED = 128, 137
_TOLD_MAX_BYTES = operations.MAX_BYTES + MESSAGE_MAX_BYTES

Done = Callable[[Exception | None], None]


@dataclass(frozen=True)
class Host:
    """What the launcher found out once; every shim inherits it."""

    layout: Layout
    cgroups: Cgroups
    image: HostImage
    cgroup_views: tuple[CgroupView, ...]
    permitted_mask: int  # no process can have more capabilities than the launcher itself
    null_fd: int


class Owner(Protocol):
    """The shim, as its containers see it."""

    host: Host
    loop: EventLoop
    sandbox_id: str
    shm_dir: str
    ids: IdMapping | None  # of the sandbox's user namespace
    user_namespace_fd: int

    def pid_in_namespace_of(self, config: ContainerConfig) -> int:
        """A process whose PID namespace the container shall be in; 0 for one of its own."""

    def publish(self, kind: EventKind, status: ContainerStatus) -> None: ...


class Container:
    def __init__(
        self, owner: Owner, container_id: str, config: ContainerConfig, cgroup: str
    ) -> None:
        self.owner, self.config, self.cgroup = owner, config, cgroup
        self.leaf = Leaf(cgroup, config.resources, tuple(config.devices), config.privileged)
        layout = owner.host.layout
        self.directory = layout.container(owner.sandbox_id, container_id)
        self.status = ContainerStatus(
            id=container_id, sandbox_id=owner.sandbox_id, name=config.name, attempt=config.attempt,
            state="created", pid=0, created_at=time.time(), started_at=0.0, finished_at=0.0,
            exit_code=0, reason="", message="", log_path=config.log_path, labels=config.labels,
        )  # fmt: skip
        self.pid = 0  # 0 = no process (any more)
        self._maker = 0  # the process that makes the first one of a user namespace
        self._plan = self._process_plan()
        self._log = LogFile(config.log_path)
        self._flush_timer: Timer | None = None
        self._streams: dict[int, str] = {}  # our ends of stdout and stderr
        self._stdin = self._terminal = -1
        self._attached: list[Attachment] = []
        self._control: socket.socket | None = None
        self._failure: tuple[str, str] | None = None  # kind and message from the child
        self._is_ready = False
        self._told: bytes | None = None  # what its first process did, until that is written down
        self.steps: list[tuple[str, float, float]] = []  # of what it took: name, began, ended
        self._step_began = 0.0
        self._on_ready: list[Done] = []
        self._on_started: list[Done] = []
        self._on_ended: list[Done] = []

    @property
    def id(self) -> str:
        return self.status.id

    @property
    def is_made(self) -> bool:
        """Its root was made: from then on it has a record and is listed."""
        return self._is_ready

    def _process_plan(self) -> ProcessPlan:
        config, host = self.config, self.owner.host
        mask = capabilities.ALL if config.privileged else capabilities.mask_of(config.capabilities)
        if not config.privileged and not host.cgroups.controls_devices:
            mask &= ~capabilities.MKNOD  # nothing else would keep it from the host's disks
        return ProcessPlan(
            argv=tuple(config.argv), env=config.env, cwd=config.cwd or "/", uid=config.uid,
            gid=config.gid, groups=tuple(config.groups),
            capability_mask=mask & host.permitted_mask,
            no_new_privileges=config.no_new_privileges,
            seccomp="" if config.privileged else config.seccomp,
            apparmor_profile=config.apparmor_profile,
            oom_score_adj=config.oom_score_adj, tty=config.tty,
        )  # fmt: skip

    def _root_plan(self) -> RootPlan:
        config, host = self.config, self.owner.host
        binds = () if config.lower_dirs else host.image.readonly_binds
        return RootPlan(
            directory=self.directory,
            lower_dirs=tuple(config.lower_dirs) or (host.image.lower_dir,),
            mounts=(
                *(Mount(path, path, readonly=True, ids="any", is_recursive=True) for path in binds),
                *config.mounts,
            ),
            devices=self.leaf.devices, shm_dir=self.owner.shm_dir,
            cgroup_views=host.cgroup_views, cwd=self._plan.cwd,
            readonly=config.readonly_rootfs, privileged=config.privileged,
            unmasked_proc=config.unmasked_proc,
        )  # fmt: skip

    # Create

    def create(self, done: Done) -> None:
        """`done` comes when the root is made; on failure nothing is left but the directory."""
        self._check_ids()
        cgroups = self.owner.host.cgroups
        operations.begin()  # the child goes on with a copy of what is noted
        os.makedirs(self.directory)
        rootfs.make_directories(self.directory, self._outside(0, 0)[0])
        self._log.open()
        began = time.time()
        cgroups.create_leaf(self.leaf)
        self._step_began = time.time()
        self.steps.append(("cgroup", began, self._step_began))
        self._on_ready.append(done)
        self._spawn()

    def _check_ids(self) -> None:
        config, ids = self.config, self.owner.ids
        highest = max((config.uid, config.gid, *config.groups))
        if ids and highest >= ids.length:
            what = "user" if highest == config.uid else "group"
            raise RuntimeFailure(
                f"container {config.name}: {what} {highest} is not in its user namespace of "
                f"{ids.length} ids"
            )

    def _spawn(self) -> None:
        """Clone; the child's ends of everything are closed here again."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        stdin, self._stdin = self._stdin_pipe()
        streams: list[int] = []
        for name in ("stdout", "stderr") if not self.config.tty else ():
            reader, writer = os.pipe()
            os.fchown(writer, *self._outside(self.config.uid, self.config.gid))
            self._streams[reader] = name
            streams.append(writer)
        null = self.owner.host.null_fd
        stdio = (stdin, streams[0], streams[1]) if streams else (null, null, null)
        procs = self.owner.host.cgroups.procs_files(self.leaf)
        root = self._root_plan()
        self._clone(theirs.fileno(), stdio, procs, root)
        theirs.close()
        for fd in {stdin, *streams} - {null}:
            os.close(fd)
        for fd in self._streams:
            self._watch_stream(fd)
        self._control = ours
        self.owner.loop.watch(ours.fileno(), self._on_control)

    def _clone(
        self, control: int, stdio: tuple[int, int, int], procs: list[str], root: RootPlan
    ) -> None:
        pid = self.owner.pid_in_namespace_of(self.config)
        neighbour = os.pidfd_open(pid) if pid not in (0, os.getpid()) else -1
        ids = self.owner.ids
        users = UserNamespace(self.owner.user_namespace_fd, ids) if ids else None
        if users or neighbour >= 0:
            self._maker = child = syscalls.clone(syscalls.CLONE_NEWNS)
        else:
            flags = 0 if pid else syscalls.CLONE_NEWPID
            self.pid = child = syscalls.clone(syscalls.CLONE_NEWNS | flags)
        if child == 0:
            container_child.become_container(
                control, stdio, procs, root, self._plan, users=users, neighbour=neighbour
            )
        operations.end()
        if neighbour >= 0:
            os.close(neighbour)

    def _outside(self, uid: int, gid: int) -> tuple[int, int]:
        """The ids that they have in the sandbox's parent user namespace."""
        first = self.owner.ids.first_host_id if self.owner.ids else 0
        return first + uid, first + gid

    def _stdin_pipe(self) -> tuple[int, int]:
        """(the child's end, ours): ours stays open and silent, so that a reader waits, not ends."""
        if self.config.stdin and not self.config.tty:
            return os.pipe()
        return self.owner.host.null_fd, -1

    def _on_control(self) -> None:
        """The child says something, or has exec'ed, or has died."""
        assert self._control is not None
        data, fds, _flags, _address = socket.recv_fds(self._control, _TOLD_MAX_BYTES, 1)
        if data == READY:
            self._become_ready(fds)
        elif data.startswith(DID):
            self._hear(data)
        elif data.startswith(PID) and not self.pid:
            self._become_parent(int(data.removeprefix(PID)))
        elif data.startswith(b"error "):
            _, kind, text = data.decode(errors="replace").split(" ", 2)
            self._failure = (kind, text)
        else:
            self._close_control()
            if self._is_ready and not self._failure and self.status.state == "created":
                self._become_running()

    def _hear(self, data: bytes) -> None:
        """Once, and from a process that nobody else can have taken over. Who could take
        over one among the host's own (CAP_SYS_PTRACE) has the host already."""
        is_alone = self.config.pid_namespace in ("container", "node") or not self.pid
        if is_alone and self._told is None:
            self._told = data.removeprefix(DID)

    def _write_told(self) -> None:
        """For `podium inspect --as-commands`; without it that has nothing to say."""
        if self._told:
            program = json.dumps([("seccomp_program", self._plan.seccomp)]).encode()
            with contextlib.suppress(OSError):
                write_lines(f"{self.directory}/{OPERATIONS}", self._told, program)
        self._told = None

    def _become_ready(self, fds: list[int]) -> None:
        self._is_ready = True
        if fds:
            self._terminal = fds[0]
            os.set_inheritable(self._terminal, False)
            set_size(self._terminal, *TERMINAL_SIZE)
            self._streams[self._terminal] = "stdout"
            self._watch_stream(self._terminal)
        self.status = replace(self.status, pid=self.pid)  # recorded only once it has run
        self.steps.append(("rootfs", self._step_began, time.time()))
        _settle(self._on_ready)

    # Start

    def start(self, done: Done) -> None:
        """Let it exec; `done` comes when it runs, or has ended because it could not."""
        if self.status.state != "created" or not self._control:
            done(None)
            return
        self._on_started.append(done)
        if len(self._on_started) == 1:
            self._step_began = time.time()
            with contextlib.suppress(OSError):  # it has died meanwhile: waitpid will tell
                self._control.send(GO)

    def _become_running(self) -> None:
        if not self._on_started:
            return  # it died before it was told to go
        self._record(replace(self.status, state="running", started_at=time.time()))
        self.steps.append(("exec", self._step_began, self.status.started_at))
        self.owner.publish("container_started", self.status)
        _settle(self._on_started)
        self._write_told()

    # Output

    def _watch_stream(self, fd: int) -> None:
        self.owner.loop.watch(fd, lambda: self._on_output(fd))

    def _on_output(self, fd: int) -> None:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the terminal open any more
            data = b""
        if not data:
            self._close_stream(fd)
        elif self._take_output(fd, data) and not self._flush_timer:
            self._flush_timer = self.owner.loop.after(HOLD_S, self._flush)

    def _take_output(self, fd: int, data: bytes) -> bool:
        """To the log and to whoever is attached; True if the log holds back half a line."""
        for attachment in self._attached[:]:
            attachment.output(self._streams[fd], data)
        return self._log.feed(self._streams[fd], data)

    def _flush(self) -> None:
        self._flush_timer = None
        self._log.flush()

    def _close_stream(self, fd: int) -> None:
        del self._streams[fd]
        self.owner.loop.unwatch(fd)
        os.close(fd)
        if fd == self._terminal:
            self._terminal = -1

    def _drain(self) -> None:
        """The rest of the output; whoever still holds the other end is not waited for."""
        for fd in list(self._streams):
            os.set_blocking(fd, False)
            with contextlib.suppress(BlockingIOError):
                while self._read_rest(fd):
                    pass
            if fd in self._streams:
                self._close_stream(fd)

    def _read_rest(self, fd: int) -> bool:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            raise
        except OSError:
            return False
        if data:
            self._take_output(fd, data)
        return bool(data)

    def reopen_log(self) -> None:
        self._log.flush()
        if self.status.state != "exited":
            self._log.reopen()

    # Attach

    def attach(self, fds: dict[str, int], on_over: Callable[[int], None]) -> Attachment:
        """Share the streams from now on; `on_over(code)` comes once, when it is over."""
        from kubelet.runtime.attachment import Attachment

        if self.status.state != "running":
            raise ContainerNotRunning(f"container {self.config.name} is not running")
        config = self.config
        stdin_target = self._terminal if config.tty else self._stdin

        def over(attachment: Attachment, code: int) -> None:
            self._attached.remove(attachment)
            on_over(code)

        attachment = Attachment(
            self.owner.loop, fds,
            stdin_target=stdin_target if config.stdin else -1,
            on_stdin_end=self._close_stdin if config.stdin_once and not config.tty else None,
            on_over=over,
        )  # fmt: skip
        self._attached.append(attachment)
        return attachment

    def resize(self, width: int, height: int) -> None:
        if self._terminal >= 0:
            set_size(self._terminal, width, height)

    # End

    def stop(self, grace_s: float, done: Done) -> None:
        """Its stop signal now, SIGKILL after `grace_s`; `done` comes when it has ended."""
        if not self.is_alive:
            done(None)
            return
        self._on_ended.append(done)
        if grace_s <= 0 or self.status.state != "running":
            self.kill()
            return
        os.kill(self.pid, self.config.stop_signal)
        self.owner.loop.after(grace_s, self.kill)

    def kill(self) -> None:
        for pid in (self._maker, self.pid):
            if pid:
                os.kill(pid, signal.SIGKILL)

    @property
    def is_alive(self) -> bool:
        return bool(self.pid or self._maker)

    def on_child(self, pid: int, exit_code: int) -> bool:
        """waitpid has given this exit code (128+N after signal N); False for a stranger's."""
        if pid == self.pid:
            self._end(exit_code)
        elif pid == self._maker:
            self._on_made(exit_code)
        else:
            return False
        return True

    def _become_parent(self, pid: int) -> None:
        self.pid = pid
        if not _exists(pid):  # it has ended, and was nobody's when it was reaped
            self._end(_KILLED)

    def _on_made(self, exit_code: int) -> None:
        """It has told the pid of the first process, or why there is none, or was killed."""
        self._maker = 0
        if self._control and not self.pid:
            self._control.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while self._control and not self.pid:
                    self._on_control()
        if self._control:
            self._control.setblocking(True)
        if not self.pid and self.status.state == "created":
            self.owner.host.cgroups.kill(self.cgroup)
            self._end(exit_code)

    def _end(self, exit_code: int) -> None:
        self.pid = 0
        while self._control:
            self._on_control()
        if self.config.pid_namespace != "container":  # nothing has ended with its first process
            self.owner.host.cgroups.kill(self.cgroup)
        self._drain()
        if self._flush_timer:
            self._flush_timer.cancel()
            self._flush_timer = None
        self._log.flush()
        self._log.close()
        for attachment in self._attached[:]:
            attachment.end()
        self._close_stdin()
        self._become_exited(exit_code)

    def _become_exited(self, exit_code: int) -> None:
        was_ready, never_ran = self._is_ready, self.status.state == "created"
        reason, message = "Completed" if exit_code == 0 else "Error", ""
        is_oom = exit_code != 0 and self.owner.host.cgroups.oom_kills(self.cgroup) > 0
        if is_oom:
            reason = "OOMKilled"
        if never_ran and self._failure:
            kind, message = self._failure
            exit_code, reason = _EXIT_CODES.get(kind, _COULD_NOT_START), "StartError"
        elif never_ran and is_oom:
            exit_code, reason = _COULD_NOT_START, "StartError"
            message = "killed for want of memory before its command ran: the limit is too low"
        ended = replace(
            self.status, state="exited", pid=0, finished_at=time.time(), exit_code=exit_code,
            reason=reason, message=message,
        )  # fmt: skip
        if not was_ready:
            self.status = ended
            _settle(self._on_ready, self._create_failure(message))
            return
        self._record(ended)
        self.owner.publish("container_exited", self.status)
        _settle(self._on_started)
        _settle(self._on_ended)

    def _create_failure(self, message: str) -> RuntimeFailure:
        kind = getattr(errors, self._failure[0] if self._failure else "", RuntimeFailure)
        text = message or "its process ended before its root was made"
        failure = kind(f"container {self.config.name}: {text}")
        assert isinstance(failure, RuntimeFailure)
        return failure

    def _close_control(self) -> None:
        if self._control:
            self.owner.loop.unwatch(self._control.fileno())
            self._control.close()
            self._control = None

    def _close_stdin(self) -> None:
        """The container sees the end of its stdin, whoever is attached to it."""
        for attachment in self._attached:
            attachment.drop_stdin()
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def forget(self) -> None:
        """Remove cgroup and record; the directory is the caller's to remove. It has ended."""
        self.owner.host.cgroups.remove(self.cgroup)
        path = self.owner.host.layout.container_record(self.owner.sandbox_id, self.id)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def _record(self, status: ContainerStatus) -> None:
        self.status = status
        path = self.owner.host.layout.container_record(self.owner.sandbox_id, self.id)
        write_record(path, {"status": messages.to_dict(status), "cgroup": self.cgroup})

    # Exec

    def exec_plan(self, argv: list[str], *, tty: bool) -> ProcessPlan:
        return replace(self._plan, argv=tuple(argv), tty=tty)


class Exec:
    """A process started in a running container on behalf of one client."""

    def __init__(
        self,
        container: Container,
        plan: ProcessPlan,
        stdio: dict[str, int],
    ) -> None:
        if container.status.state != "running" or not container.pid:
            raise ContainerNotRunning(f"container {container.config.name} is not running")
        self.container, self.plan = container, plan
        self.pid = 0  # 0 = not known yet, or no more
        self.maker = 0  # the process that makes it
        self._is_killed = False
        self.relay: Relay | None = None
        self._channel = stdio.pop("stdin", -1) if plan.tty else -1
        self._failure: tuple[str, str] | None = None
        self._control: socket.socket | None = None
        self._on_started: list[Done] = []
        self._spawn(stdio)

    def _spawn(self, stdio: dict[str, int]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        container, host = self.container, self.container.owner.host
        procs = host.cgroups.procs_files(container.leaf)
        null = host.null_fd
        fds = (stdio.get("stdin", null), stdio.get("stdout", null), stdio.get("stderr", null))
        pidfd = os.pidfd_open(container.pid)
        try:
            self.maker = syscalls.clone(0)
            if self.maker == 0:
                control = theirs.fileno()
                container_child.join_container(
                    control, fds, procs, pidfd, self.plan,
                    has_user_namespace=container.owner.ids is not None,
                )  # fmt: skip
        finally:
            os.close(pidfd)
            theirs.close()
        self._control = ours
        container.owner.loop.watch(ours.fileno(), self._on_control)

    def when_started(self, done: Done) -> None:
        """`done` comes when the command runs, or with CommandNotFound, CommandNotExecutable, …"""
        self._on_started.append(done)

    def _on_control(self) -> None:
        assert self._control is not None
        data, fds, _flags, _address = socket.recv_fds(self._control, MESSAGE_MAX_BYTES, 1)
        if fds:
            self._attach_terminal(fds[0])
        elif data.startswith(PID) and not self.pid:
            self.pid = int(data.removeprefix(PID))
            if self._is_killed:
                self.kill()
        elif data.startswith(b"error "):
            _, kind, text = data.decode(errors="replace").split(" ", 2)
            self._failure = (kind, text)
        else:
            self._close_control()
            _settle(self._on_started, self._start_failure())

    def _attach_terminal(self, master: int) -> None:
        os.set_inheritable(master, False)
        if self._channel < 0:
            os.close(master)
            return
        set_size(master, *TERMINAL_SIZE)
        self.relay = Relay(self.container.owner.loop, master, self._channel)
        self._channel = -1

    def _start_failure(self) -> RuntimeFailure | None:
        if not self._failure:
            return None
        kind, text = self._failure
        failure = getattr(errors, kind, RuntimeFailure)(text)
        assert isinstance(failure, RuntimeFailure)
        return failure

    def end_of(self, pid: int, exit_code: int) -> int | None:
        """The exec's exit code if it has ended with this process."""
        self._learn_pid()
        if pid == self.pid:
            return exit_code
        if pid != self.maker:
            return None
        self.maker = 0
        if not self.pid:
            return exit_code
        return None if _exists(self.pid) else _KILLED  # it was nobody's when it was reaped

    def _learn_pid(self) -> None:
        """We may just have been told, and not have heard it yet."""
        if not self._control or self.pid:
            return
        self._control.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self._control and not self.pid:
                self._on_control()
        if self._control:
            self._control.setblocking(True)

    def on_ended(self) -> None:
        self.pid = self.maker = 0
        while self._control:
            self._on_control()
        if self._channel >= 0:
            os.close(self._channel)
            self._channel = -1

    def kill(self) -> None:
        """With all that it has started."""
        self._is_killed = True
        if not self.pid and self.maker:
            os.kill(self.maker, signal.SIGKILL)
        elif self.pid:
            from kubelet.runtime import process_tree  # few are ever killed

            cgroups = self.container.owner.host.cgroups
            process_tree.kill(self.pid, lambda: cgroups.processes(self.container.cgroup))

    def _close_control(self) -> None:
        if self._control:
            self.container.owner.loop.unwatch(self._control.fileno())
            self._control.close()
            self._control = None


def _exists(pid: int) -> bool:
    """Also one that has ended and was not reaped yet."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _settle(waiting: list[Done], error: Exception | None = None) -> None:
    """Tell everyone who waits, once."""
    told = waiting[:]
    waiting.clear()
    for done in told:
        done(error)
