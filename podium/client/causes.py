"""Room podium/client: why a key waits to be reconciled.

Every change carries the id of the span that wrote it; the informer hands that on as a `Cause`, and
a work queue keeps the causes of each key until it is worked on. Several are merged, for the key is
worked on once: the one that counts most is what the reconcile *reacts to*, the others are links.

What counts most, for a loop whose keys name objects:

    4  a change of the object itself that is not of its status: somebody wants something else
    3  such a change of another object
    2  a change of another object's status
    1  what an earlier look at the key reacted to (it asked to look again), or, when something wakes
       the key that is no change of an object (a process has ended), the object's last change of 4
    0  a change of the object's own status, which is nearly always an echo

and among equals the newest. Pure; guarded by the queue's lock.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

KEEP = 8  # causes of one key; the least of more are forgotten
REMEMBER = 4096  # keys whose last own change is remembered


@dataclass(frozen=True, slots=True)
class Cause:
    """A change of an object, and the span that wrote it."""

    rv: int
    trace_id: str
    span_id: str
    key: str  # of the object: "namespace/name"
    uid: str
    is_status: bool

    def is_of(self, key: str) -> bool:
        """Whether a loop's key names the object; the kubelet's are uids."""
        return key in (self.key, self.uid)


@dataclass(frozen=True, slots=True)
class Reasons:
    """Why a key is worked on: the first cause is what counts. None for what no change has woken."""

    causes: tuple[Cause, ...] = ()
    since_us: int = 0  # when it was first wanted

    @property
    def first(self) -> Cause | None:
        return self.causes[0] if self.causes else None


Ranked = dict[int, tuple[int, Cause]]  # revision → (rank, cause)


class CauseBook:
    """The causes of one queue's keys."""

    def __init__(self) -> None:
        self._waiting: dict[str, Ranked] = {}
        self._since: dict[str, int] = {}
        self._taken: dict[str, Reasons] = {}
        self._own: OrderedDict[str, Cause] = OrderedDict()

    def note(self, key: str, causes: tuple[Cause, ...], now_us: int) -> None:
        """The key is wanted, because of these."""
        self._since.setdefault(key, now_us)
        if not causes:
            if (own := self._own.get(key)) is not None:
                self._put(key, 1, own)
            return
        for cause in causes:
            rank = _rank(key, cause)
            if rank == 4:
                self._remember(key, cause)
            self._put(key, rank, cause)

    def take(self, key: str) -> None:
        """The key is worked on from now."""
        ranked = sorted(
            self._waiting.pop(key, {}).values(), key=lambda one: (one[0], one[1].rv), reverse=True
        )
        causes = tuple(cause for _, cause in ranked)
        if not causes and key in self._own:
            causes = (self._own[key],)
        self._taken[key] = Reasons(causes, self._since.pop(key, 0))

    def taken(self, key: str) -> Reasons:
        """Why a key that is worked on is."""
        return self._taken.get(key, Reasons())

    def put_back(self, key: str, *, has_failed: bool) -> None:
        """It is to be looked at again: for the same reasons, which count as before if nothing came
        of them, and less if it only wants to see what becomes of what it did."""
        for cause in self.taken(key).causes:
            self._put(key, _rank(key, cause) if has_failed else 1, cause)

    def done(self, key: str) -> None:
        self._taken.pop(key, None)

    def _remember(self, key: str, cause: Cause) -> None:
        known = self._own.pop(key, None)
        self._own[key] = cause if known is None or cause.rv > known.rv else known
        if len(self._own) > REMEMBER:
            self._own.popitem(last=False)

    def _put(self, key: str, rank: int, cause: Cause) -> None:
        waiting = self._waiting.setdefault(key, {})
        known = waiting.get(cause.rv)
        if known is None or known[0] < rank:
            waiting[cause.rv] = (rank, cause)
        if len(waiting) > KEEP:
            del waiting[min(waiting, key=lambda rv: (waiting[rv][0], rv))]


def _rank(key: str, cause: Cause) -> int:
    if cause.is_of(key):
        return 0 if cause.is_status else 4
    return 2 if cause.is_status else 3
