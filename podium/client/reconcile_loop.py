"""Room podium/client: takes keys from a queue and calls `reconcile(key)`, in a thread or a few.

`reconcile` looks at what is, not at what happened; it returns None when the world is as wished, or
the seconds after which to look again; it raises when it could not finish. This loop is the one
place that catches Exception: it counts, logs, and retries with back-off.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from podium.client import debug_hook, tracing
from podium.client.clock import Clock
from podium.client.debug_hook import Interrupted, Picture
from podium.client.errors import AlreadyExists, Conflict, NotFound, Unreachable
from podium.client.workqueue import WorkQueue

Reconcile = Callable[[str], float | None]

# While the API server is away every key fails; it must not be missed for long once it is back.
UNREACHABLE_RETRY_S = 0.25
STOP_TIMEOUT_S = 2.0


class ReconcileLoop:
    """`workers` threads; the same key is never reconciled twice at the same time. `picture` is what
    a debugger shows of a key."""

    def __init__(
        self,
        name: str,
        reconcile: Reconcile,
        workers: int = 1,
        clock: Clock | None = None,
        picture: Callable[[str], Picture] | None = None,
    ) -> None:
        self.name = name
        self.picture = picture
        self.queue = WorkQueue(clock)
        self.reconciled = 0  # how often reconcile has returned
        self.failed = 0  # how often it has raised
        self._reconcile = reconcile
        self._log = logging.getLogger(name)
        self._threads = [self._worker(number) for number in range(workers)]
        self._lock = threading.Lock()  # guards _surplus
        self._surplus = 0  # workers that are too many

    def add(self, key: str) -> None:
        """Have a key reconciled; before `start` it waits."""
        self.queue.add(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Have a key reconciled in a while."""
        self.queue.add_after(key, delay_s)

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish what is under way, and nothing more. Safe to repeat, and without a start."""
        self.queue.shut_down()
        for thread in self._threads:
            if thread.ident is not None and thread is not threading.current_thread():
                thread.join(STOP_TIMEOUT_S)

    @contextmanager
    def relieved(self) -> Iterator[None]:
        """Another worker takes this one's place while it waits for something that takes long."""
        with self._lock:
            self._surplus -= 1
            needs_another = self._surplus < 0
            self._surplus = max(self._surplus, 0)
        if needs_another:
            self._worker(-1).start()
        try:
            yield
        finally:
            with self._lock:
                self._surplus += 1

    def _worker(self, number: int) -> threading.Thread:
        return threading.Thread(target=self._work, name=f"{self.name}-{number}", daemon=True)

    def _work(self) -> None:
        while (key := self.queue.get()) is not None:
            try:
                with tracing.reconciling(self.name, key, self.queue.why(key)):
                    self._reconcile_one(key)
            finally:
                self.queue.done(key)
            if self._surplus and self._is_too_many():
                return

    def _is_too_many(self) -> bool:
        with self._lock:
            if not self._surplus:
                return False
            self._surplus -= 1
            return True

    def _reconcile_one(self, key: str) -> None:
        try:
            again_s = debug_hook.reconcile(self, key, self._reconcile)
        except Interrupted as interruption:
            self._log.debug("%s", interruption)
        except Unreachable as error:
            self._note(error)
            if self.queue.failures(key) == 0:
                self._log.warning("%s: %s", key, error)
            self.queue.add_rate_limited(key, UNREACHABLE_RETRY_S)
        except (Conflict, AlreadyExists, NotFound) as error:
            # The cache was behind; it will have caught up in a moment.
            self._note(error)
            self._log.debug("%s: %s", key, error)
            self.queue.add_rate_limited(key)
        except Exception as error:  # noqa: BLE001
            self._note(error)
            self._log.exception("%s: reconcile failed", key)
            self.queue.add_rate_limited(key)
        else:
            self.reconciled += 1
            self.queue.forget(key)
            if again_s is not None:
                self.queue.add_after(key, again_s)

    def _note(self, error: Exception) -> None:
        self.failed += 1
        tracing.note_failure(error)
