"""A PID namespace for all containers of a sandbox, and how a process is put into one that exists.

Runs in the shim. `start_init` makes the namespace and its PID 1, a fork of the shim that is nobody,
has nothing and sleeps: the kernel reaps for it what containers leave behind, and ends with it all
that is in the namespace. `clone_into` begins a process beside another one (`man 7 pid_namespaces`).
"""

from __future__ import annotations

import os
import signal
import socket
from typing import NoReturn

from kubelet.runtime import syscalls

_NOBODY = 65535  # as Kubernetes' pause container
_MAX_FD = 1 << 30


def start_init(empty_dir: str, title: str) -> tuple[int, socket.socket]:
    """(pid, a socket that the init closes only as it ends and that ends it when it is closed).
    `empty_dir` is what it has as its root. RuntimeError if it could not become what it should."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = syscalls.clone(syscalls.CLONE_NEWPID | syscalls.CLONE_NEWNS)
    if pid == 0:
        _be_init(theirs.fileno(), empty_dir, title)
    theirs.close()
    if ours.recv(1) != b"1":
        ours.close()
        raise RuntimeError("the first process of its PID namespace could not be made")
    return pid, ours


def _be_init(control: int, empty_dir: str, title: str) -> NoReturn:
    """Nothing that containers can see of it in /proc may lead to the host: no file is open, its
    root is an empty directory, and it has no privilege that theirs could be measured by."""
    try:
        os.dup2(control, 0)
        os.closerange(1, _MAX_FD)
        syscalls.set_process_title(title)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what has no handler does not reach a PID 1
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _enter_empty_root(empty_dir)
        os.setgroups(())
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        os.write(0, b"1")
        os.read(0, 1)  # until the shim has gone
    finally:
        os._exit(0)


def _enter_empty_root(empty_dir: str) -> None:
    syscalls.set_propagation_private()
    syscalls.mount("tmpfs", empty_dir, "tmpfs", syscalls.MS_RDONLY, "size=4k,mode=555")
    os.chdir(empty_dir)
    syscalls.pivot_root(".", ".")
    syscalls.umount(".", syscalls.MNT_DETACH)
    os.chdir("/")


def clone_into(pid_namespace_of: int, own_pid_namespace_fd: int, flags: int) -> int:
    """Clone a process that begins in the PID namespace of another: its pid, or 0 in the child. This
    process itself stays where it is."""
    pidfd = os.pidfd_open(pid_namespace_of)
    try:
        syscalls.setns(pidfd, syscalls.CLONE_NEWPID)
    finally:
        os.close(pidfd)
    child = -1
    try:
        child = syscalls.clone(flags)
    finally:
        if child:  # the child itself could not go back, and need not
            syscalls.setns(own_pid_namespace_fd, syscalls.CLONE_NEWPID)
    return child
