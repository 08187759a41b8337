"""A socket inside another network namespace, without a helper process.

Room kubelet/network. A network namespace belongs to a thread, and a socket stays in the namespace
in which it was made (`man 7 network_namespaces`). So the calling thread goes in, makes one socket,
and comes back (namespace_visit.py): 10 µs, and everything else is said from home. The socket is
made through PyDLL, which keeps the interpreter's lock: getting it back would take longer.
"""

from __future__ import annotations

import ctypes
import os
import socket

from kubelet.namespace_visit import visiting
from kubelet.network.errors import NetworkError
from kubelet.network.netlink import Netlink

_libc = ctypes.PyDLL(None, use_errno=True)


def netlink_inside(netns_fd: int) -> Netlink:
    """A conversation with that namespace, for the caller to close. Raises OSError."""
    kind, family = socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.AF_NETLINK
    fd = _socket_inside(netns_fd, family, kind, socket.NETLINK_ROUTE)
    return Netlink(socket.socket(family, socket.SOCK_RAW, socket.NETLINK_ROUTE, fd))


def tcp_inside(netns_path: str, family: int, *, is_hosts: bool) -> socket.socket:
    """A TCP socket (AF_INET or AF_INET6) for connections in that namespace; `is_hosts` says whether
    it should be our own. Raises OSError, NetworkError."""
    if is_hosts:
        return socket.socket(family, socket.SOCK_STREAM)
    netns_fd = open_foreign(netns_path)
    try:
        kind = socket.SOCK_STREAM | socket.SOCK_CLOEXEC
        return socket.socket(fileno=_socket_inside(netns_fd, family, kind, 0))
    finally:
        os.close(netns_fd)


def _socket_inside(netns_fd: int, family: int, kind: int, protocol: int) -> int:
    with visiting("net", netns_fd):
        fd = int(_libc.socket(family, kind, protocol))
        code = ctypes.get_errno()
    if fd < 0:
        raise OSError(code, f"socket: {os.strerror(code)}")
    return fd


def open_foreign(netns_path: str) -> int:
    """An fd of a namespace that is not our own, for the caller to close. A path such as
    /proc/123/ns/net may have become another process's: what is done for a Pod must not happen
    here."""
    try:
        fd = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NetworkError(f"network namespace {netns_path} is gone") from None
    there, here = os.fstat(fd), os.stat("/proc/thread-self/ns/net")
    if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
        os.close(fd)
        raise NetworkError(f"{netns_path} is this node's own network namespace, not a Pod's")
    return fd
