"""A user namespace for a sandbox: its root is nobody outside (`man 7 user_namespaces`).

`make` runs in the shim, which itself stays outside: it must make mounts and cgroups as the host's
root. `enter` runs in a process that is to become one inside, and cannot be taken back; what that
process clones from then on belongs to the namespace.
"""

from __future__ import annotations

import os

from kubelet.runtime import operations, syscalls
from kubelet.runtime.protocol import IdMapping


def is_offered() -> bool:
    """A kernel may have none, or may have been told to have none."""
    try:
        with open("/proc/sys/user/max_user_namespaces", encoding="ascii") as file:
            return int(file.read()) > 0
    except FileNotFoundError:
        return False


def make(ids: IdMapping, flags: int) -> int:
    """A descriptor of a new user namespace. This process joins new namespaces `flags` that belong
    to it (CLONE_NEWNET, …), with the privileges over them that root has over all."""
    reader, writer = os.pipe()
    pid = syscalls.clone(syscalls.CLONE_NEWUSER | flags)
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)  # until the other end is closed
        os._exit(0)
    try:
        _write_map(pid, "uid_map", ids)
        _write_map(pid, "gid_map", ids)
        pidfd = os.pidfd_open(pid)
        try:
            syscalls.setns(pidfd, flags)
        finally:
            os.close(pidfd)
        operations.note("user_namespace", ids.first_host_id, ids.length, flags)
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(writer)
        os.close(reader)
        os.waitpid(pid, 0)


def _write_map(pid: int, name: str, ids: IdMapping) -> None:
    fd = os.open(f"/proc/{pid}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, f"0 {ids.first_host_id} {ids.length}".encode())
    finally:
        os.close(fd)


def enter(user_namespace_fd: int) -> None:
    """Be root in there, and nobody outside."""
    syscalls.setns(user_namespace_fd, syscalls.CLONE_NEWUSER)
    become_root()


def become_root() -> None:
    """After a namespace was joined: until now this process had an id that does not exist in it."""
    os.setgroups(())
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def clone_inside(user_namespace_fd: int, flags: int) -> int:
    """In a child: enter, and clone once more with `flags`, so that the new namespaces belong to the
    user namespace. The clone is a sibling, a child of the same parent: its pid, or 0 in it."""
    enter(user_namespace_fd)
    return syscalls.clone(flags | syscalls.CLONE_PARENT)
