"""Speaking netlink inside another network namespace, without a helper process.

Room kubelet/network. A network namespace belongs to a thread: one thread goes in, opens its netlink
socket there, and comes back; the socket stays where it was opened (`man 7 network_namespaces`).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pyroute2 import IPRoute

_libc = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000
_T = TypeVar("_T")

_inside = ThreadPoolExecutor(max_workers=4, thread_name_prefix="netns")


def _setns(fd: int) -> None:
    if _libc.setns(fd, _CLONE_NEWNET) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns: {os.strerror(errno)}")


def inside(netns_path: str, work: Callable[[IPRoute], _T]) -> _T:
    """`work(ip)` with an IPRoute of that namespace, in a thread that returns home whatever happens."""

    def visit() -> _T:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _setns(there)
            finally:
                os.close(there)
            try:
                with IPRoute() as ip:
                    return work(ip)
            finally:
                _setns(home)
        finally:
            os.close(home)

    return _inside.submit(visit).result()
