"""Hands each event to everyone who listens. Used by the client, in the kubelet's threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

from kubelet.runtime.protocol import RuntimeEvent


class EventFeed:
    """Listeners hear what is put after they began to listen, each at its own pace."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: list[queue.SimpleQueue[RuntimeEvent | None]] = []
        self._is_closed = False

    def put(self, event: RuntimeEvent) -> None:
        with self._lock:
            for waiting in self._queues:
                waiting.put(event)

    def listen(self) -> Iterator[RuntimeEvent]:
        """Begins with this call, not with the first `next`; ends when the feed is closed."""
        waiting: queue.SimpleQueue[RuntimeEvent | None] = queue.SimpleQueue()
        with self._lock:
            if self._is_closed:
                waiting.put(None)
            self._queues.append(waiting)
        return self._follow(waiting)

    def _follow(self, waiting: queue.SimpleQueue[RuntimeEvent | None]) -> Iterator[RuntimeEvent]:
        try:
            while (event := waiting.get()) is not None:
                yield event
        finally:
            with self._lock:
                self._queues.remove(waiting)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
            for waiting in self._queues:
                waiting.put(None)
