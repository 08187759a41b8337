"""What is due by the clock: events expire after an hour, the log is compacted. Room apiserver.

Started by server.py. APScheduler's thread only says when; each job runs as a greenlet of the main
thread and writes through the writer like everyone else.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

import gevent

from apiserver import cause_log, span_log
from apiserver.cause_log import FORGET_STEP
from apiserver.errors import ApiError, Conflicted
from apiserver.storage import Store
from apiserver.time_travel import change_log
from podium.api.history_limit import DEFAULT, KEPT_FOR_WATCHES_S, HistoryLimit

log = logging.getLogger("apiserver.clock")

EVENT_LIFETIME_S = 3600  # since an event was last written, as in Kubernetes
NOTE_EVERY_S = 60
COMPACT_EVERY_S = 300
COMPACT_STEP = 2000  # revisions forgotten in one transaction, so that no writer waits long
EXPIRE_STEP = 500  # events removed in one round
START_AFTER_S = 10.0  # APScheduler's import must not slow down the start


class ClockJobs:
    """`start()` in the main thread; the jobs begin a little later."""

    def __init__(self, store: Store, history: HistoryLimit = DEFAULT) -> None:
        self._store, self._history = store, history
        self._scheduler: object = None
        self._last_noted = 0
        self._starting: gevent.Greenlet | None = None

    def start(self) -> None:
        self._starting = gevent.spawn_later(START_AFTER_S, self._start)

    def stop(self) -> None:
        if self._starting is not None:
            self._starting.kill()
        stop = getattr(self._scheduler, "shutdown", None)
        if stop is not None:
            stop(wait=False)

    def _start(self) -> None:
        from apscheduler.schedulers.background import BackgroundScheduler

        scheduler = BackgroundScheduler(timezone="UTC")
        loop = gevent.get_hub().loop

        def in_main_thread(job: Callable[[], None]) -> Callable[[], None]:
            return lambda: loop.run_callback_threadsafe(gevent.spawn, _guarded, job)

        scheduler.add_job(in_main_thread(self.note_moment), "interval", seconds=NOTE_EVERY_S)
        scheduler.add_job(in_main_thread(self.expire_events), "interval", seconds=NOTE_EVERY_S)
        scheduler.add_job(in_main_thread(self.compact), "interval", seconds=COMPACT_EVERY_S)
        scheduler.add_job(in_main_thread(self.forget_traces), "interval", seconds=COMPACT_EVERY_S)
        scheduler.add_job(in_main_thread(give_back_memory), "interval", seconds=NOTE_EVERY_S)
        give_back_memory()
        scheduler.start()
        self._scheduler = scheduler

    def note_moment(self) -> None:
        """Remember the revision of now, if it has moved."""
        rv, _ = self._store.revisions()
        if rv != self._last_noted:
            self._store.note_moment(int(time.time()))
            self._last_noted = rv

    def compact(self) -> None:
        """Forget changes that are too old or too many, but none that a watch may still need."""
        now = int(time.time())
        current, oldest = self._store.revisions()
        oldest_time = datetime.fromtimestamp(now - self._history.age_s, UTC)
        too_old = self._store.read(lambda c: change_log.revision_at(c, oldest_time))
        too_many = current - self._history.changes
        behind_watches = self._store.revision_at(int(now - KEPT_FOR_WATCHES_S))
        wanted = min(max(too_old, too_many), behind_watches)
        while oldest < wanted:
            oldest = min(oldest + COMPACT_STEP, wanted)
            self._store.compact(oldest)
        self._store.forget_moments(int(now - EVENT_LIFETIME_S - KEPT_FOR_WATCHES_S))

    def forget_traces(self) -> None:
        """Of causes and spans only the newest are kept."""
        now, (revision, compacted) = time.time(), self._store.revisions()
        for forget in (lambda c: cause_log.forget(c, revision, compacted, now),
                       lambda c: span_log.forget(c, now)):  # fmt: skip
            while self._store.run_task(forget) == FORGET_STEP:
                pass

    def expire_events(self) -> None:
        """Remove events that nobody has written for an hour."""
        upto = self._store.revision_at(int(time.time()) - EVENT_LIFETIME_S)
        for record in self._store.not_written_since("events", upto, EXPIRE_STEP):
            try:
                self._store.write("events", record.object, record, is_delete=True)
            except Conflicted:
                continue  # it was written again just now


def give_back_memory() -> None:
    """Return what a burst has left to the kernel: glibc keeps it otherwise. `man 3 malloc_trim`."""
    import ctypes

    with contextlib.suppress(AttributeError):  # another C library: nothing to give back
        ctypes.CDLL(None).malloc_trim(0)


def _guarded(job: Callable[[], None]) -> None:
    """A failed round is told; the next one tries again."""
    try:
        job()
    except ApiError as error:
        log.warning("%s: %s", job.__name__, error)
