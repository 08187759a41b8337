"""Room podium/client: keys that wait to be reconciled.

Deduplicating: a key that is added ten times while it waits is handed out once. Exclusive: a key is
never handed out twice at the same time; added while it is being worked on, it comes again when that
is done. Fair: first in, first out. Late: `add_after` and `add_rate_limited` bring a key back when
it is due, without a thread of their own and without polling (whoever waits for a key, waits so
long).
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import deque

from podium.api.trace_context import now_us
from podium.client import tracing
from podium.client.causes import CauseBook, Reasons
from podium.client.clock import Clock, SystemClock

FIRST_RETRY_S, LAST_RETRY_S = 0.005, 60.0


class WorkQueue:
    """Every `get()` must be followed by a `done()`. Thread-safe."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        first_retry_s: float = FIRST_RETRY_S,
        last_retry_s: float = LAST_RETRY_S,
    ) -> None:
        self._clock = clock or SystemClock()
        self._first_retry_s, self._last_retry_s = first_retry_s, last_retry_s
        self._changed = threading.Condition()
        self._ready: deque[str] = deque()
        self._dirty: set[str] = set()  # wanted: in _ready, or to be when it is done
        self._busy: set[str] = set()
        self._due: dict[str, float] = {}  # key → monotonic time it is wanted at
        self._heap: list[tuple[float, int, str]] = []  # an entry counts if _due agrees with it
        self._numbers = itertools.count()
        self._failures: dict[str, int] = {}
        self._causes = CauseBook()
        self._is_shut = False

    def __len__(self) -> int:
        """Keys that wait and are due."""
        with self._changed:
            self._collect_due()
            return len(self._ready)

    def add(self, key: str) -> None:
        """Want a key now, because of what this thread reacts to."""
        with self._changed:
            self._causes.note(key, tracing.causes(), now_us())
            self._want(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Want a key later; of several such wishes the earliest counts."""
        if delay_s <= 0:
            self.add(key)
            return
        with self._changed:
            self._causes.put_back(key, has_failed=False)
            due = self._clock.monotonic() + delay_s
            if self._is_shut or self._due.get(key, due + 1) <= due:
                return
            self._due[key] = due
            heapq.heappush(self._heap, (due, next(self._numbers), key))
            self._compact()
            if self._heap[0][2] == key:
                self._changed.notify()

    def add_rate_limited(self, key: str, last_retry_s: float | None = None) -> None:
        """Want a key again after a failure: 5 ms, 10, 20, … up to a bound, until `forget`."""
        with self._changed:
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            self._causes.put_back(key, has_failed=True)
        delay_s = self._first_retry_s * 2 ** min(failures, 30)
        self.add_after(key, min(delay_s, last_retry_s or self._last_retry_s))

    def forget(self, key: str) -> None:
        """After a success: the next failure starts at 5 ms again."""
        with self._changed:
            self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often it has failed in a row."""
        with self._changed:
            return self._failures.get(key, 0)

    def get(self) -> str | None:
        """The next key; waits for one. None once the queue is shut."""
        with self._changed:
            while not self._is_shut:
                wait_s = self._collect_due()
                if self._ready:
                    key = self._ready.popleft()
                    self._dirty.discard(key)
                    self._busy.add(key)
                    self._causes.take(key)
                    if self._ready:
                        self._changed.notify()  # several may have become due at once
                    return key
                self._clock.wait(self._changed, wait_s)
            return None

    def why(self, key: str) -> Reasons:
        """What made the key that `get` gave wanted."""
        with self._changed:
            return self._causes.taken(key)

    def done(self, key: str) -> None:
        """The key that `get` gave has been worked on."""
        with self._changed:
            self._busy.discard(key)
            self._causes.done(key)
            if key in self._dirty:
                self._ready.append(key)
                self._changed.notify()

    def shut_down(self) -> None:
        """Hand out nothing more and wake whoever waits. Safe to repeat."""
        with self._changed:
            self._is_shut = True
            self._changed.notify_all()

    def _want(self, key: str) -> None:
        if self._is_shut or key in self._dirty:
            return
        self._due.pop(key, None)
        self._dirty.add(key)
        if key not in self._busy:
            self._ready.append(key)
            self._changed.notify()

    def _compact(self) -> None:
        """Drop the entries that no longer count, once they are most."""
        if len(self._heap) > 64 + 2 * len(self._due):
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0]]
            heapq.heapify(self._heap)

    def _collect_due(self) -> float | None:
        """Move what is due to the ready ones; seconds until the next is, None if there is none."""
        now = self._clock.monotonic()
        while self._heap:
            due, _, key = self._heap[0]
            if self._due.get(key) != due:
                heapq.heappop(self._heap)  # wanted earlier, or at another time
            elif due <= now:
                heapq.heappop(self._heap)
                del self._due[key]  # also if it is wanted already: a later wish counts again
                self._want(key)
            else:
                return due - now
        return None
