"""Room podium/client: what this process does, as spans of a trace (W3C Trace Context).

    with tracing.reconciling("replicaset", "default/web-1", reasons):
        …                       # every request of this thread carries the span's traceparent
        with tracing.phase("sandbox", pod="default/web-1"):
            …

A span is told (`send_to`) only if something came of it: a write, a phase, a failure. A reconcile
that found all well leaves nothing. The server notes with each write which span wrote it, what that
reacted to and when it began, so a span that is never told (its process was killed) can still be
shown: nothing is ever without its parent.

Threads: a span belongs to the thread that opened it; `carried` takes it into a pool, and
`handed_on` gives what a later write (an Event) needs to count as a part of it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from podium.api.trace_context import COMMAND, new_span_id, new_trace_id, now_us
from podium.client.causes import Cause, Reasons

A = TypeVar("A")
R = TypeVar("R")
SpanRecord = dict[str, Any]  # as apiserver/span_log.py takes it

LINKS_MAX = 8
ERROR_MAX = 200  # characters of a failure


def is_on() -> bool:
    """PODIUM_TRACE=off: to measure what it costs."""
    return os.environ.get("PODIUM_TRACE") != "off"


class Span:
    """One reconcile, or command, under way."""

    def __init__(self, name: str, key: str, reasons: Reasons, kind: str = "reconcile") -> None:
        first = reasons.first
        self.name, self.key, self.reasons, self.kind = name, key, reasons, kind
        self.trace_id = first.trace_id if first else new_trace_id()
        self.span_id, self.parent_id = new_span_id(), first.span_id if first else ""
        self.began_us = now_us()
        self.outcome = ""
        self.must_be_told = False
        self.attributes: dict[str, Any] = {}
        revisions = ".".join(str(cause.rv) for cause in reasons.causes[:LINKS_MAX])
        self.headers = (
            f"traceparent: 00-{self.trace_id}-{self.span_id}-01\r\n"
            f"tracestate: podium={name}/{self.began_us}/{revisions}\r\n"
        )
        self._lock = threading.Lock()
        self._under_way = {"read": 0, "write": 0}
        self._since = {"read": 0, "write": 0}
        self.spent_us = {"read": 0, "write": 0}

    def request_begins(self, what: str) -> None:
        """`what`: "read" or "write". Requests of several threads at once count once."""
        with self._lock:
            if self._under_way[what] == 0:
                self._since[what] = now_us()
            self._under_way[what] += 1
            self.must_be_told |= what == "write"

    def request_ends(self, what: str) -> None:
        with self._lock:
            self._under_way[what] -= 1
            if self._under_way[what] == 0:
                self.spent_us[what] += now_us() - self._since[what]

    @property
    def within(self) -> SpanRecord:
        """What a phase says of the span that it is a part of."""
        return {"spanId": self.span_id, "name": self.name, "beganUs": self.began_us,
                "reactedTo": self._revisions()}  # fmt: skip

    def record(self, ended_us: int) -> SpanRecord:
        spent = self.spent_us
        since_us = self.reasons.since_us
        decide_us = max(0, ended_us - self.began_us - spent["read"] - spent["write"])
        return {
            "traceId": self.trace_id, "spanId": self.span_id, "parentId": self.parent_id,
            "kind": self.kind, "name": self.name, "key": self.key,
            "beganUs": self.began_us, "endedUs": ended_us, "reactedTo": self._revisions(),
            "attributes": {
                "queueUs": max(0, self.began_us - since_us) if since_us else 0,
                "readUs": spent["read"], "decideUs": decide_us, "writeUs": spent["write"],
                **({"outcome": self.outcome} if self.outcome else {}), **self.attributes,
            },
        }  # fmt: skip

    def _revisions(self) -> list[int]:
        return [cause.rv for cause in self.reasons.causes[:LINKS_MAX]]


_active: ContextVar[Span | None] = ContextVar("active span", default=None)
_phase: ContextVar[str] = ContextVar("phase under way", default="")
_headers: ContextVar[str] = ContextVar("trace headers", default="")
_reacting_to: ContextVar[tuple[Cause, ...]] = ContextVar("reacting to", default=())
_tell: Callable[[SpanRecord], None] | None = None


def send_to(tell: Callable[[SpanRecord], None] | None) -> None:
    """Where this process' spans go; None: nowhere. Requests carry their ids all the same."""
    global _tell
    _tell = tell


def tell(record: SpanRecord) -> None:
    """A span that is finished. Never blocks, never raises."""
    if _tell is not None:
        _tell(record)


# --- what is under way ----------------------------------------------------------------------------


@contextmanager
def reconciling(name: str, key: str, reasons: Reasons, *, always: bool = False) -> Iterator[Span]:
    """A span for one look at a key; told if something came of it, or `always`."""
    span = Span(name, key, reasons)
    span.must_be_told = always
    try:
        with _under_way(span):
            yield span
    finally:
        if span.must_be_told:
            tell(span.record(now_us()))


@contextmanager
def commanding(name: str) -> Iterator[Span]:
    """A span for what a command writes, the root of a trace. Whoever commands tells it."""
    with _under_way(Span(f"{COMMAND}{name}", "", Reasons(), "command")) as span:
        yield span


@contextmanager
def _under_way(span: Span) -> Iterator[Span]:
    """This thread's requests carry the span."""
    was_active, had_headers = _active.set(span), _headers.set(span.headers)
    try:
        yield span
    except BaseException as error:
        note_failure(error)
        raise
    finally:
        _active.reset(was_active)
        _headers.reset(had_headers)


def note_failure(error: BaseException) -> None:
    """The reconcile of this thread could not finish."""
    span = _active.get()
    if span is not None:
        span.outcome = f"{type(error).__name__}: {error}"[:ERROR_MAX]
        span.must_be_told = True


@contextmanager
def phase(name: str, **attributes: Any) -> Iterator[dict[str, Any]]:
    """A part of this thread's reconcile. More attributes may be put into what it gives."""
    began_us = now_us()
    with within_phase() as span_id:
        try:
            yield attributes
        except Exception as error:
            attributes["outcome"] = f"{type(error).__name__}: {error}"[:ERROR_MAX]
            raise
        finally:
            tell_phase(name, began_us, now_us(), attributes, span_id=span_id)


@contextmanager
def within_phase() -> Iterator[str]:
    """What this thread tells meanwhile is a part of a phase with the id that this gives."""
    span_id = new_span_id()
    before = _phase.set(span_id)
    try:
        yield span_id
    finally:
        _phase.reset(before)


def describe(**attributes: Any) -> None:
    """More about this thread's reconcile: the name of the Pod whose uid its key is."""
    span = _active.get()
    if span is not None:
        span.attributes |= attributes


def tell_phase(
    name: str,
    began_us: int,
    ended_us: int,
    attributes: dict[str, Any],
    *,
    kind: str = "phase",
    span_id: str = "",
) -> None:
    """A part of this thread's reconcile that is over, or of the phase of it that is under way."""
    span = _active.get()
    if span is None:
        return
    span.must_be_told = True
    span_id, phase_id = span_id or new_span_id(), _phase.get()
    parent_id = span.span_id if phase_id in ("", span_id) else phase_id
    record = {
        "traceId": span.trace_id, "spanId": span_id, "parentId": parent_id,
        "kind": kind, "name": name, "key": span.key, "beganUs": began_us, "endedUs": ended_us,
        "attributes": attributes, "within": span.within,
    }  # fmt: skip
    tell(record)


@contextmanager
def reacting_to(causes: tuple[Cause, ...]) -> Iterator[None]:
    """What is wanted of queues meanwhile, by this thread, is because of these."""
    before = _reacting_to.set(causes)
    try:
        yield
    finally:
        _reacting_to.reset(before)


def causes() -> tuple[Cause, ...]:
    """Why this thread does what it does."""
    found = _reacting_to.get()
    if found:
        return found
    span = _active.get()
    return span.reasons.causes if span is not None else ()


# --- requests -------------------------------------------------------------------------------------


def headers() -> str:
    """The header lines of a request of this thread; "" outside of all spans."""
    return _headers.get()


def active() -> Span | None:
    return _active.get()


@contextmanager
def requesting(span: Span, method: str) -> Iterator[None]:
    """Count the time of a request of this span."""
    what = "read" if method in ("GET", "HEAD") else "write"
    span.request_begins(what)
    try:
        yield
    finally:
        span.request_ends(what)


def handed_on() -> str:
    """The headers for a write that somebody else does later on behalf of this thread's span."""
    span = _active.get()
    if span is not None:
        span.must_be_told = True
    return _headers.get()


@contextmanager
def on_behalf(headers: str) -> Iterator[None]:
    """Requests of this thread carry what `handed_on` gave."""
    before = _headers.set(headers)
    try:
        yield
    finally:
        _headers.reset(before)


def carried(function: Callable[[A], R]) -> Callable[[A], R]:
    """The function, for another thread, as a part of this thread's span."""
    span = _active.get()

    def run(argument: A) -> R:
        was_active, had_headers = _active.set(span), _headers.set(span.headers if span else "")
        try:
            return function(argument)
        finally:
            _active.reset(was_active)
            _headers.reset(had_headers)

    return run
