"""A PID namespace for all containers of a sandbox, and how a process is put into one that exists.

Runs in the shim. `start_init` makes the namespace and its PID 1, a fork of the shim that is nobody,
has nothing and sleeps: the kernel reaps for it what containers leave behind, and ends with it all
that is in the namespace (`man 7 pid_namespaces`). How a process gets into it is in
container_child.py.
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from kubelet.runtime import syscalls, user_namespace
from kubelet.runtime.errors import RuntimeFailure

_NOBODY = 65535  # as Kubernetes' pause container
_MAX_FD = 1 << 30
_DONE = b"done"
_MESSAGE_BYTES = 16


def start_init(title: str, user_namespace_fd: int = -1) -> tuple[int, socket.socket]:
    """(pid, a socket that the init closes only as it ends and that ends it when it is closed).
    With a user namespace it is made in there. RuntimeFailure if it could not become what it
    should."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    flags = syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS
    pid = syscalls.clone(flags if user_namespace_fd < 0 else 0)
    if pid == 0 and user_namespace_fd < 0:
        _be_init(theirs.fileno(), title, has_proc=True)
    elif pid == 0:
        _make_init_inside(theirs.fileno(), title, user_namespace_fd, flags)
    theirs.close()
    if user_namespace_fd >= 0:
        os.waitpid(pid, 0)
        pid = int(ours.recv(_MESSAGE_BYTES) or 0)
    if ours.recv(_MESSAGE_BYTES) != _DONE:
        ours.close()
        raise RuntimeFailure("the first process of its PID namespace could not be made")
    return pid, ours


def _make_init_inside(control: int, title: str, user_namespace_fd: int, flags: int) -> NoReturn:
    """The init is a sibling: the shim's child."""
    try:
        reader, writer = os.pipe()
        pid = user_namespace.clone_inside(user_namespace_fd, flags)
        if pid == 0:
            os.close(writer)
            os.read(reader, 1)  # until the shim has been told of us
            _be_init(control, title, has_proc=False)
        os.write(control, str(pid).encode())
    finally:
        os._exit(0)


def _be_init(control: int, title: str, *, has_proc: bool) -> NoReturn:
    """Nothing that containers can see of it in /proc may lead to the host: no file is open, its
    root is an empty directory, and it has no privilege that theirs could be measured by."""
    try:
        os.dup2(control, 0)
        os.closerange(1, _MAX_FD)
        syscalls.set_process_title(title)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what has no handler does not reach a PID 1
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _enter_empty_root(has_proc=has_proc)
        os.setgroups(())
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        os.write(0, _DONE)
        os.read(0, 1)  # until the shim has gone
    finally:
        os._exit(0)


def _enter_empty_root(*, has_proc: bool) -> None:
    """Outside of a user namespace it holds the namespace's /proc, read-only, for containers to
    take: their makers are not in the namespace, and could not mount one."""
    syscalls.set_propagation_private()
    syscalls.mount("tmpfs", "/proc", "tmpfs", 0, "size=4k,mode=555")
    if has_proc:
        quiet = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
        os.mkdir("/proc/proc")
        syscalls.mount("proc", "/proc/proc", "proc", quiet)
        syscalls.remount_readonly("/proc/proc")  # this mount; MS_RDONLY would be for everybody's
    syscalls.remount_readonly("/proc")
    os.chdir("/proc")  # which directory is covered does not matter, but it must be there
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")
