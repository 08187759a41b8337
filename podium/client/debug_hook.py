"""Room podium/client: where a debugger takes hold of a reconcile.

reconcile_loop.py hands each reconcile through here, http.py each write, informer.py what it gives
from its cache. Without a debugger (`podium` and all tests but its own), and with one that has no
breakpoint, this is a look at a variable. The debugger itself is in debugger.py.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from podium.api.meta import key_of
from podium.client.errors import ClientError

if TYPE_CHECKING:
    from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]
T = TypeVar("T")

ABSENT: Object = {}  # as a stale object: the cache has not heard of it yet


class Interrupted(ClientError):
    """A debugger has ended this reconcile; it has seen to it that the key comes again."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A write (or another step) that a loop is about to make, in a few words."""

    verb: str
    resource: str
    name: str = ""
    namespace: str = ""


@dataclass(slots=True)
class Picture:
    """What a loop shows of a key: the object it is about, what there is, what is wished, and what
    it will probably do about it."""

    subject: Object | None
    observed: Object = field(default_factory=dict)
    desired: Object = field(default_factory=dict)
    planned: list[Planned] = field(default_factory=list)


@dataclass(slots=True)
class Step:
    """What is about to be done. `send` does it; `rehearse` says what it would come to, without
    doing it; `error` makes what an injected "Conflict" or "Error" raises, None if such a step has
    no such error."""

    planned: Planned
    send: Callable[[], Any]
    body: Any = None
    subresource: str = ""
    rehearse: Callable[[], tuple[Object | None, Object | None]] | None = None
    error: Callable[[str, str], Exception | None] = lambda _kind, _by: None


class Session(Protocol):
    """One reconcile that a breakpoint watches."""

    stale: dict[tuple[str, str], Object]  # (resource, key) → the older version that is shown

    def step(self, step: Step) -> Any: ...


class Debugger(Protocol):
    def is_armed(self, loop_name: str) -> bool: ...

    def reconcile(
        self, loop: ReconcileLoop, key: str, call: Callable[[str], float | None]
    ) -> float | None: ...


_debugger: Debugger | None = None
_session: ContextVar[Session | None] = ContextVar("debugged", default=None)


def install(debugger: Debugger | None) -> None:
    """From now on it sees every reconcile of this process; None: nobody does."""
    global _debugger
    _debugger = debugger


def reconcile(loop: ReconcileLoop, key: str, call: Callable[[str], float | None]) -> float | None:
    """`call(key)`, under the eyes of the debugger if it has a breakpoint for this loop."""
    debugger = _debugger
    if debugger is None or not debugger.is_armed(loop.name):
        return call(key)
    return debugger.reconcile(loop, key, call)


def session() -> Session | None:
    """The one that this thread's reconcile is watched in, if any."""
    return _session.get()


def watched(session: Session | None, call: Callable[[], T]) -> T:
    """Run in a session; None: in none, whatever surrounds us."""
    token = _session.set(session)
    try:
        return call()
    finally:
        _session.reset(token)


def as_cached(resource: str, key: str, found: Object | None) -> Object | None:
    """What a cache gives: its own, or the older version that the debugger wants it to give."""
    watching = _session.get()
    if watching is None or not watching.stale:
        return found
    stale = watching.stale.get((resource, key), found)
    return None if stale is ABSENT else stale


def all_as_cached(resource: str, found: list[Object]) -> list[Object]:
    """The same, of what an index has found."""
    watching = _session.get()
    if watching is None or not watching.stale:
        return found
    older = (as_cached(resource, key_of(obj), obj) for obj in found)
    return [obj for obj in older if obj is not None]
