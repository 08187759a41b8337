"""From clone to exec: what a new process does to become a container, or to join one.

Runs in the container child, a fork of the shim that never returns. It talks to the shim over one
socket, closed by the exec itself: "ready" (the root is made), then "go" comes, then either the end
of the file (the command runs) or "error <kind> <message>". A terminal's master end travels with
"ready" (or "tty", for an exec).

Where others can see it as soon as it is there, a process must not have more than they have: one of
them may have CAP_SYS_PTRACE, and with it could take over a process, or reach the host through its
/proc/<pid>/root. So the shim's child does all that takes the host's root, and then clones the real
one as its sibling, of which it tells "pid <pid>" before it ends: a container's first process in a
user namespace or in a PID namespace that is there already, and every process that is exec'ed.
"""

from __future__ import annotations

import binascii
import contextlib
import fcntl
import os
import resource
import signal
import socket
import stat
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from kubelet.runtime import (
    capabilities,
    mapped_rootfs,
    operations,
    rootfs,
    syscalls,
    user_namespace,
)
from kubelet.runtime.errors import CommandNotExecutable, CommandNotFound, RuntimeFailure
from kubelet.runtime.protocol import IdMapping
from kubelet.runtime.rootfs import RootPlan

READY, GO, TTY, PID, DID = b"ready", b"go", b"tty", b"pid ", b"did "
MESSAGE_MAX_BYTES = 8192
_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_MAX_FD = 1 << 30
_FILTERED = -1  # in place of capabilities: the filter is set
_FILES, _FILES_MAX = 1024, 524_288  # RLIMIT_NOFILE, soft and hard


@dataclass(frozen=True)
class ProcessPlan:
    """Who the process is and what it runs."""

    argv: tuple[str, ...]
    env: dict[str, str]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    capability_mask: int
    no_new_privileges: bool
    seccomp: str  # a program in base64; empty = none
    apparmor_profile: str  # empty = none
    oom_score_adj: int
    tty: bool


@dataclass(frozen=True)
class UserNamespace:
    """Where a container's first process goes, and its root with it."""

    fd: int
    ids: IdMapping


def become_container(
    control: int,
    stdio: tuple[int, int, int],
    procs_files: list[str],
    root: RootPlan,
    plan: ProcessPlan,
    *,
    users: UserNamespace | None,
    neighbour: int,
) -> NoReturn:
    """The container's first process: make its world, wait for "go", exec. `neighbour` is a pidfd of
    who is in the PID namespace that it shall be in; -1 if it is in there already."""
    with _reporting(control):
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # no container without its shim
        _take_stdio(control, stdio, keep=(neighbour, users.fd if users else -1))
        _join_cgroups(procs_files)
        _write_oom_score(plan.oom_score_adj)
        if users:
            _enter_user_namespace(control, root, users, neighbour)
            mapped_rootfs.enter(root)
        else:
            syscalls.unshare(syscalls.CLONE_NEWCGROUP)
            rootfs.enter(root, rootfs.take_proc_of(neighbour) if neighbour >= 0 else -1)
        terminal = [_open_terminal(plan.uid, with_console=True)] if plan.tty else []
        _prepare()
        if users and neighbour >= 0:
            operations.end()  # others see this process: its word is not taken for a command
        if neighbour >= 0 and not users:
            mask = _become_user_beside(control, neighbour, plan)
            _get_ready(control, terminal, plan)
        else:
            _get_ready(control, terminal, plan)
            # With hostPID others see it, but without CAP_SYS_PTRACE nobody speaks for it.
            syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)  # until the exec
            mask = _become_user(plan)
            _tell(control, plan, mask)
        _run(plan, mask)


def _tell(control: int, plan: ProcessPlan, mask: int) -> None:
    """What was done, and what is left to do: nothing after this is recorded, for a filter may let
    nobody speak, and where others can see this process it may speak for them."""
    path = plan.argv[0]
    with contextlib.suppress(OSError, RuntimeFailure):
        path = find_executable(path, plan.env)
    done = operations.end()
    if not done:
        return
    left = [
        ("chdir", plan.cwd),
        *([("seccomp",)] if plan.seccomp and mask != _FILTERED else []),
        ("execve", path, plan.argv),
    ]
    with contextlib.suppress(OSError):
        os.write(control, DID + operations.packed([*done, *left]))


def _get_ready(control: int, terminal: list[int], plan: ProcessPlan) -> None:
    """Returns when the command may run."""
    os.setsid()
    operations.note("setsid")
    _control_terminal(plan)
    with socket.socket(fileno=os.dup(control)) as channel:
        socket.send_fds(channel, [READY], terminal)
        for fd in terminal:
            os.close(fd)
        if channel.recv(len(GO)) != GO:
            os._exit(0)  # the shim has gone


def _enter_user_namespace(
    control: int, root: RootPlan, users: UserNamespace, neighbour: int
) -> None:
    """Returns in another process than the one that called it."""
    mapped_rootfs.prepare(root, users.ids, users.fd)
    flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWCGROUP
    if neighbour >= 0:
        syscalls.setns(neighbour, syscalls.CLONE_NEWPID)
        os.close(neighbour)
    else:
        flags |= syscalls.CLONE_NEWPID
    _become_sibling(control, lambda: user_namespace.clone_inside(users.fd, flags))
    os.close(users.fd)


def _become_user_beside(control: int, neighbour: int, plan: ProcessPlan) -> int:
    """Returns in another process than the one that called it, in the neighbour's PID namespace and
    with no more privileges than the command; the capabilities of which are given, or _FILTERED if
    nothing is left to do. A filter must let `clone` pass, unless it can be set without privileges,
    and so after it."""
    syscalls.setns(neighbour, syscalls.CLONE_NEWPID)
    os.close(neighbour)
    mask = _become_user(plan)
    if not plan.no_new_privileges:
        _set_filter(plan, mask)
        mask = _FILTERED
    _tell(control, plan, mask)
    try:
        _become_sibling(control, syscalls.fork_sibling)
    except PermissionError:
        raise RuntimeFailure(
            "its seccomp profile refuses clone, without which no process gets in; with "
            "no_new_privs the profile would be set after it"
        ) from None
    return mask


def _become_sibling(control: int, clone: Callable[[], int]) -> None:
    """Returns in another process than the one that called it: what `clone` makes."""
    reader, writer = os.pipe()
    pid = clone()
    if pid:
        os.write(control, PID + str(pid).encode())
        os.write(writer, b"1")
        os._exit(0)
    os.close(writer)
    if not os.read(reader, 1):  # until the shim has been told of us
        os._exit(1)
    os.close(reader)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)


def join_container(
    control: int,
    stdio: tuple[int, int, int],
    procs_files: list[str],
    pidfd: int,
    plan: ProcessPlan,
    *,
    has_user_namespace: bool,
) -> NoReturn:
    """One more process in a running container."""
    with _reporting(control):
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        _take_stdio(control, stdio, keep=(pidfd,))
        _join_cgroups(procs_files)
        _write_oom_score(plan.oom_score_adj)
        flags = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWCGROUP
        syscalls.setns(pidfd, flags | (syscalls.CLONE_NEWUSER if has_user_namespace else 0))
        if has_user_namespace:
            user_namespace.become_root()
        if plan.tty:
            master = _open_terminal(plan.uid, with_console=False)
            with socket.socket(fileno=os.dup(control)) as channel:
                socket.send_fds(channel, [TTY], [master])
            os.close(master)
        _prepare()
        mask = _become_user_beside(control, pidfd, plan)
        os.setsid()
        _control_terminal(plan)
        _run(plan, mask)


class _reporting:  # reads as a statement: `with _reporting(control): …`
    """Whatever goes wrong is told to the shim; nothing gets out of the block alive."""

    def __init__(self, control: int) -> None:
        self.control = control

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> NoReturn:
        try:
            name = type(error).__name__ if isinstance(error, RuntimeFailure) else "RuntimeFailure"
            text = f"error {name} {_describe(error)}"
            os.write(self.control, text.encode(errors="replace")[:MESSAGE_MAX_BYTES])
        finally:
            os._exit(1)


def _describe(error: BaseException | None) -> str:
    """`mount overlay "/x": no such file or directory`."""
    if isinstance(error, OSError) and error.strerror:
        call, _, reason = error.strerror.rpartition(": ")
        words = [word for word in (call, f'"{error.filename}"' if error.filename else "") if word]
        return f"{' '.join(words)}: {reason.lower()}" if words else reason.lower()
    return str(error) if isinstance(error, RuntimeFailure) else f"{type(error).__name__}: {error}"


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _take_stdio(control: int, stdio: tuple[int, int, int], keep: tuple[int, ...] = ()) -> None:
    """0, 1, 2 become `stdio`; all else but `control` and `keep` is closed."""
    moved = [fcntl.fcntl(fd, fcntl.F_DUPFD, 3) for fd in stdio]
    for number, fd in enumerate(moved):
        os.dup2(fd, number)
    start = 3
    for kept in sorted(fd for fd in (control, *keep) if fd >= 0):
        os.closerange(start, kept)
        start = kept + 1
    os.closerange(start, _MAX_FD)


def _join_cgroups(procs_files: list[str]) -> None:
    for path in procs_files:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)
        operations.note("write", path, "0")


def _open_terminal(uid: int, *, with_console: bool) -> int:
    """A terminal of the container's own /dev/pts as 0, 1, 2; its master's fd."""
    master, slave = os.openpty()
    os.fchown(slave, uid, -1)
    if with_console:
        os.close(os.open("/dev/console", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o620))
        tree_fd = syscalls.open_tree(os.ttyname(slave))
        syscalls.move_mount(tree_fd, "/dev/console")
        os.close(tree_fd)
    for number in (0, 1, 2):
        os.dup2(slave, number)
    os.close(slave)
    return master


def _control_terminal(plan: ProcessPlan) -> None:
    """The leader of a session makes its terminal the one that sends it signals."""
    if plan.tty:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _prepare() -> None:
    """What can be done before the command is known to be wanted."""
    with contextlib.suppress(OSError):  # a kernel without keyrings has none to leave
        syscalls.join_new_session_keyring()
    _set_limits()


def _set_limits() -> None:
    """What every container begins with, whatever started the launcher; it may raise the soft ones.
    No core files, and as many open files as systemd lets a service have: with a higher soft limit
    programs that use select(2), or close all that could be open, fail or crawl."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    files = _FILES_MAX if most == resource.RLIM_INFINITY else min(most, _FILES_MAX)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(files, _FILES), files))
    operations.note("limit_files", min(files, _FILES), files)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    operations.note("limit_core", 0)


def _write_oom_score(value: int) -> None:
    """Best effort: the launcher has said whether this host lets us. It takes the host's root."""
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):
            os.write(fd, str(value).encode())
            operations.note("write", "/proc/self/oom_score_adj", str(value))
    finally:
        os.close(fd)


def _become_user(plan: ProcessPlan) -> int:
    """Be who the command will be; its capabilities."""
    syscalls.reset_signals()  # what Python, the shim or the launcher's starter had ignored
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.umask(0o022)
    return _drop_privileges(plan)


def _run(plan: ProcessPlan, mask: int) -> NoReturn:
    try:
        os.chdir(plan.cwd)
    except OSError as error:
        raise RuntimeFailure(f'chdir "{plan.cwd}": {_reason(error)}') from None
    _check_cwd(plan.cwd)
    path = find_executable(plan.argv[0], plan.env)
    if plan.apparmor_profile:
        _set_profile(plan.apparmor_profile)
    if mask != _FILTERED:
        _set_filter(plan, mask)
    try:
        os.execve(path, list(plan.argv), plan.env)
    except FileNotFoundError:
        raise CommandNotFound(f"exec {path}: its interpreter was not found") from None
    except OSError as error:
        raise CommandNotExecutable(f"exec {path}: {_reason(error)}") from None


def _check_cwd(cwd: str) -> None:
    """By a link such as /proc/self/fd/7 one could get out of the root (CVE-2024-21626). Nothing is
    open that leads there; this holds even if something were."""
    try:
        os.getcwd()
    except FileNotFoundError:
        raise RuntimeFailure(f'chdir "{cwd}": it is outside of the container\'s root') from None


def _drop_privileges(plan: ProcessPlan) -> int:
    """Bounding set, groups, user: each needs what the next one drops. From here on files are seen
    as the command will see them; gives the capabilities that it will have.

    A user other than root has none once it has exec'ed: with no ambient set the kernel takes them,
    and the bounding set is what set-user-ID programs may get back.
    """
    if plan.no_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    for number in range(len(capabilities.NAMES)):
        if not plan.capability_mask >> number & 1:
            with contextlib.suppress(OSError):  # EINVAL: an older kernel without that capability
                syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
    os.setgroups(plan.groups)
    operations.note("setgroups", plan.groups)
    os.setresgid(plan.gid, plan.gid, plan.gid)
    operations.note("setresgid", plan.gid)
    syscalls.prctl(syscalls.PR_SET_KEEPCAPS, 1)  # what a filter needs, as long as it is not there
    os.setresuid(plan.uid, plan.uid, plan.uid)
    operations.note("setresuid", plan.uid)
    mask = plan.capability_mask if plan.uid == 0 else 0
    keep = capabilities.SYS_ADMIN if plan.seccomp and not plan.no_new_privileges else 0
    syscalls.capset(mask, permitted=mask | keep)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)  # changing the user clears it
    return mask


def _set_filter(plan: ProcessPlan, mask: int) -> None:
    """The filter comes as late as can be: at best all that it must let pass is execve and, without
    no_new_privs (which makes CAP_SYS_ADMIN unnecessary), one capset."""
    if not plan.seccomp:
        return
    program = binascii.a2b_base64(plan.seccomp)
    if plan.no_new_privileges:
        syscalls.set_seccomp_filter(program)
        return
    with_admin = mask | capabilities.SYS_ADMIN
    syscalls.capset(with_admin, permitted=with_admin)
    syscalls.set_seccomp_filter(program)
    syscalls.capset(mask, permitted=mask)


def _set_profile(name: str) -> None:
    """Confine what the exec makes of this process (kernel: security/apparmor)."""
    try:
        fd = os.open("/proc/self/attr/apparmor/exec", os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(fd, f"exec {name}".encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise RuntimeFailure(f'apparmor profile "{name}": {_reason(error)}') from None


def find_executable(name: str, env: dict[str, str]) -> str:
    """Where `name` is in this root; the messages are those that runc made known."""
    if "/" in name:
        return _check_executable(name)
    for directory in env.get("PATH", _DEFAULT_PATH).split(":"):
        candidate = f"{directory or '.'}/{name}"
        if os.path.isfile(candidate) and os.access(candidate, os.X_OK):
            return candidate
    raise CommandNotFound(f'exec: "{name}": executable file not found in $PATH')


def _check_executable(path: str) -> str:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise CommandNotFound(f'exec: "{path}": stat {path}: no such file or directory') from None
    except OSError as error:
        message = f'exec: "{path}": stat {path}: {_reason(error)}'
        raise CommandNotExecutable(message) from None
    if stat.S_ISDIR(status.st_mode):
        raise CommandNotExecutable(f'exec: "{path}": is a directory')
    if not os.access(path, os.X_OK):
        raise CommandNotExecutable(f'exec: "{path}": permission denied')
    return path
