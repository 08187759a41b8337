"""The shim's one thread waits here: descriptors, timers and the end of child processes.

Idle costs nothing: without a timer the wait has no timeout.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import select
import signal
import time
from collections.abc import Callable
from itertools import count

from kubelet.runtime import syscalls

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT
Callback = Callable[[], None]
_SIGNALS: set[int] = {signal.SIGCHLD, signal.SIGTERM}


class Timer:
    """What `EventLoop.after` gives; `cancel` may be called at any time."""

    def __init__(self, callback: Callback) -> None:
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class EventLoop:
    """Callbacks run one after the other: `on_child(pid, exit_code)` once for each ended child,
    `on_terminate` when SIGTERM comes."""

    def __init__(self, on_child: Callable[[int, int], None], on_terminate: Callback) -> None:
        self._on_child, self._on_terminate = on_child, on_terminate
        self._epoll = select.epoll()
        self._watched: dict[int, Callback] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = count()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        self._signals = syscalls.signalfd(_SIGNALS)
        self.watch(self._signals, self._on_signal)

    def watch(self, fd: int, callback: Callback, events: int = READABLE) -> None:
        """Call back while `fd` is ready (hang-ups count); replaces an earlier watch of it."""
        if fd in self._watched:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._watched[fd] = callback

    def unwatch(self, fd: int) -> None:
        """Before the descriptor is closed; safe to repeat."""
        if self._watched.pop(fd, None):
            self._epoll.unregister(fd)

    def after(self, seconds: float, callback: Callback) -> Timer:
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def run(self) -> None:
        """Until the process exits."""
        while True:
            ready = self._epoll.poll(self._timeout_s())
            # Children last: what they wrote before they ended has then been read.
            for fd, _events in sorted(ready, key=lambda pair: pair[0] == self._signals):
                if callback := self._watched.get(fd):
                    callback()
            self._run_timers()

    def _timeout_s(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            _, _, timer = heapq.heappop(self._timers)
            if timer.callback:
                timer.callback()

    def _on_signal(self) -> None:
        """Each record of the signalfd is 128 bytes long and begins with the signal's number."""
        with contextlib.suppress(BlockingIOError):
            records = os.read(self._signals, 128 * len(_SIGNALS))
            if signal.SIGTERM in records[::128]:
                self._on_terminate()
        self._reap()

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                code = os.waitstatus_to_exitcode(status)
                self._on_child(pid, 128 - code if code < 0 else code)
