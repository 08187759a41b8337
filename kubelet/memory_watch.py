"""The kernel says that memory gets short, so that eviction need not wait for its next turn.

Room kubelet; a thread started by agent.py. Where the kernel measures pressure (PSI) it is asked to
tell of stalls; else, on cgroup v1, of the moment when all that is used passes what the threshold
leaves. Where it offers neither, the turn each ten seconds has to do.
Sources: kernel `accounting/psi.rst`, `cgroup-v1/memory.rst` (section 9), `man 2 eventfd`.
"""

from __future__ import annotations

import logging
import os
import select
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("memory-watch")

PRESSURE = Path("/proc/pressure/memory")
ROOT_V1 = Path("/sys/fs/cgroup/memory")
STALL_US, WINDOW_US = 100_000, 2_000_000
_END = b"\x01\0\0\0\0\0\0\0"


class MemoryWatch:
    """`threshold_bytes` is how little may be left, `capacity_bytes` how much there is; `tell()` is
    called each time it may have got too little."""

    def __init__(
        self, threshold_bytes: int, capacity_bytes: int, tell: Callable[[], None], *,
        pressure: Path = PRESSURE, root_v1: Path = ROOT_V1,
    ) -> None:  # fmt: skip
        self._used_bytes = max(capacity_bytes - threshold_bytes, 0)
        self._tell = tell
        self._pressure, self._root_v1 = pressure, root_v1
        self._end = os.eventfd(0, os.EFD_CLOEXEC)

    def run(self) -> None:
        """Until `stop`; at once where the kernel offers nothing."""
        for begin in (self._ask_for_stalls, self._ask_for_usage):
            try:
                fds, event = begin()
            except OSError as failure:
                log.info("%s", failure)
                continue
            try:
                self._follow(fds[0], event)
            finally:
                for fd in fds:
                    os.close(fd)
            return

    def stop(self) -> None:
        os.write(self._end, _END)

    def _follow(self, fd: int, event: int) -> None:
        poll = select.poll()
        poll.register(fd, event)
        poll.register(self._end, select.POLLIN)
        while True:
            found = dict(poll.poll())
            if self._end in found or found.get(fd, 0) & (select.POLLERR | select.POLLNVAL):
                return
            if event == select.POLLIN:
                os.read(fd, 8)
            self._tell()

    def _ask_for_stalls(self) -> tuple[list[int], int]:
        fd = os.open(self._pressure, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fd, f"some {STALL_US} {WINDOW_US}\0".encode())
        except OSError:
            os.close(fd)
            raise
        return [fd], select.POLLPRI

    def _ask_for_usage(self) -> tuple[list[int], int]:
        """The eventfd first; the usage file is kept open as long as it is to be heard of."""
        fds = [os.eventfd(0, os.EFD_CLOEXEC)]
        try:
            usage = self._root_v1 / "memory.usage_in_bytes"
            fds.append(os.open(usage, os.O_RDONLY | os.O_CLOEXEC))
            control = self._root_v1 / "cgroup.event_control"
            control.write_text(f"{fds[0]} {fds[1]} {self._used_bytes}")
        except OSError:
            for fd in fds:
                os.close(fd)
            raise
        return fds, select.POLLIN
