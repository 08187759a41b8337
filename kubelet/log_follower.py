"""Waits for a log to grow, for its container to end, or for its reader to go: nothing is polled.

Room kubelet; made by server.py for `logs --follow`, waits in a connection's own thread.
Source: `man 2 eventfd`.
"""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable
from pathlib import Path

from kubelet import inotify

LOST_EVENT_S = 30.0  # every change wakes us; this bounds what a lost one costs


class Exits:
    """Tells those who follow a container that it has ended. Thread-safe; fed by agent.py."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, set[int]] = {}

    def tell(self, container_id: str) -> None:
        with self._lock:
            for fd in self._waiting.get(container_id, ()):
                os.eventfd_write(fd, 1)

    def add(self, container_id: str) -> int:
        """An fd that becomes readable when the container ends; give it back to `remove`."""
        fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        with self._lock:
            self._waiting.setdefault(container_id, set()).add(fd)
        return fd

    def remove(self, container_id: str, fd: int) -> None:
        with self._lock:
            self._waiting[container_id].discard(fd)
            if not self._waiting[container_id]:
                del self._waiting[container_id]
        os.close(fd)


class LogFollower:
    """One reader's wait; a context manager. `reader_fd` is its connection, on which nothing is
    expected but its end."""

    def __init__(
        self, directory: Path, container_id: str, is_over: Callable[[], bool], exits: Exits,
        reader_fd: int | None = None,
    ) -> None:  # fmt: skip
        self.is_over = is_over
        self._container_id, self._exits, self._reader_fd = container_id, exits, reader_fd
        self._inotify = inotify.watch(directory, inotify.MODIFY | inotify.MOVED_TO | inotify.CREATE)
        self._exit_fd = exits.add(container_id)
        self._poll = select.poll()
        for fd in (self._inotify, self._exit_fd, reader_fd):
            if fd is not None:
                self._poll.register(fd, select.POLLIN)

    def wait(self) -> bool:
        for fd, _ in self._poll.poll(LOST_EVENT_S * 1000):
            if fd == self._reader_fd:
                return False
            os.read(fd, inotify.EVENTS_BYTES)
        return True

    def __enter__(self) -> LogFollower:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._inotify)
        self._exits.remove(self._container_id, self._exit_fd)
