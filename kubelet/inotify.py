"""Changes in a directory, told by the kernel. Room kubelet; source: `man 7 inotify`."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
EVENTS_BYTES = 16 * 1024  # enough for one read; what is left makes the fd readable again


def watch(directory: Path, mask: int) -> int:
    """A non-blocking fd that becomes readable when something of `mask` happens in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    fd = int(libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
    if fd < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if libc.inotify_add_watch(fd, os.fsencode(directory), mask) < 0:
        errno = ctypes.get_errno()
        os.close(fd)
        raise OSError(errno, "inotify_add_watch", str(directory))
    return fd
