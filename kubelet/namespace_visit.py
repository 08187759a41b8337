"""A thread goes into a namespace and comes back. Room kubelet; standard library only.

Most namespaces belong to a thread, not to a process (`man 7 namespaces`), so a visit needs no
helper. Both ways are made through PyDLL, which keeps the interpreter's lock: getting it back from
another thread would take longer than they do.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

_libc = ctypes.PyDLL(None, use_errno=True)


@contextmanager
def visiting(kind: str, fd: int) -> Iterator[None]:
    """The calling thread is in the namespace of that kind ("net", "uts", "ipc") that the fd names.
    Raises OSError. Should the way back be closed, which takes a kernel out of memory, the process
    ends rather than go on in the wrong place."""
    home = os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _libc.setns(fd, 0) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"setns: {os.strerror(code)}")
        try:
            yield
        finally:
            if _libc.setns(home, 0) != 0:
                os.abort()
    finally:
        os.close(home)
