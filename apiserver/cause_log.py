"""The log of causes: for each change who made it, what it reacted to, and when. Room apiserver.

A row is written in the change's own transaction (storage.py, writer.py), so that a change is never
without one. It holds the write's span, the span that wrote (a reconcile, a command) with what is
needed to show that one even if its process was killed before it told of itself, and how to find the
object's last change that was not of its status: `spec_rv`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from sqlalchemy import Connection, Insert, bindparam, delete, func, insert, or_, select

from apiserver.models import causes
from apiserver.origins import Origin
from podium.api.trace_context import new_span_id, new_trace_id, now_us

IS_KEPT = os.environ.get("PODIUM_TRACE") != "off"  # off: to measure what it costs
KEEP_CHANGES = 100_000
KEEP_S = 7 * 24 * 3600
FORGET_STEP = 2000  # rows in one transaction, so that no writer waits long
_AT_ONCE = 500  # revisions asked for in one statement


@dataclass(frozen=True, slots=True)
class Cause:
    """What a watch hands on beside the object: the span that wrote the change."""

    trace_id: str
    span_id: str
    subresource: str

    def to_json(self) -> bytes:
        """{"traceparent": "00-…-…-01", "of": "status"}; all of it is checked text."""
        return b'{"traceparent":"00-%s-%s-01","of":"%s"}' % (
            self.trace_id.encode(), self.span_id.encode(), self.subresource.encode()
        )  # fmt: skip


class Write(Protocol):
    """What a row tells of the change (storage.ObjectWrite)."""

    origin: Origin
    resource: str
    namespace: str
    name: str
    uid: str
    type: str


def noted(write: Write, rv: int, prev_rv: int | None) -> tuple[Cause, dict[str, Any]]:
    """The cause of a change and its row, for `insertion`."""
    origin = write.origin
    trace_id, span_id = origin.trace_id or new_trace_id(), new_span_id()
    is_status = origin.subresource == "status" and prev_rv is not None
    row = {
        "rv": rv, "at": now_us(), "arrived": origin.arrived_us, "trace": trace_id, "span": span_id,
        "parent": origin.parent_id, "loop": origin.loop, "began": origin.began_us,
        "reacted_to": origin.reacted_to, "actor": origin.actor, "manager": origin.manager,
        "resource": write.resource, "namespace": write.namespace, "name": write.name,
        "uid": write.uid, "type": write.type, "subresource": origin.subresource,
        "prev_rv": prev_rv, "spec_of": prev_rv if is_status else -1, "own_rv": rv,
    }  # fmt: skip
    return Cause(trace_id, span_id, origin.subresource), row


def insertion() -> Insert:
    """A change of the status has its forerunner's `spec_rv`, any other its own."""
    before = causes.alias("before")
    forerunner = bindparam("spec_of", type_=causes.c.rv.type)
    inherited = select(before.c.spec_rv).where(before.c.rv == forerunner)
    own = bindparam("own_rv", type_=causes.c.rv.type)
    values: list[Any] = [bindparam(c.name, type_=c.type) for c in causes.columns[:-1]]
    values.append(func.coalesce(inherited.scalar_subquery(), own))
    return insert(causes).from_select([c.name for c in causes.columns], select(*values))


def of_revisions(connection: Connection, revisions: Iterable[int]) -> bytes:
    """For a LIST: {"<rv>": {"traceparent", "of", "spec": {"rv", "traceparent"}}} as JSON. `spec` is
    the object's last change that was not of its status, where that is another one."""
    found: dict[str, Any] = {}
    wanted = list(revisions)
    c, spec = causes.c, causes.alias("spec")
    for start in range(0, len(wanted), _AT_ONCE):
        query = (
            select(c.rv, c.trace, c.span, c.subresource, spec.c.rv, spec.c.trace, spec.c.span)
            .outerjoin(spec, spec.c.rv == c.spec_rv)
            .where(c.rv.in_(wanted[start : start + _AT_ONCE]))
        )
        for rv, trace, span, of, spec_rv, spec_trace, spec_span in connection.execute(query):
            one = found[str(rv)] = {"traceparent": f"00-{trace}-{span}-01", "of": of}
            if spec_rv not in (None, rv):
                one["spec"] = {"rv": spec_rv, "traceparent": f"00-{spec_trace}-{spec_span}-01"}
    return orjson.dumps(found)


def forget(connection: Connection, revision: int, compacted: int, now_s: float) -> int:
    """Keep the newest KEEP_CHANGES, none older than KEEP_S, and all of changes that are still in
    the log, after `compacted`; how many went, at most FORGET_STEP."""
    behind = causes.c.rv <= compacted
    oldest = select(causes.c.rv).where(behind).order_by(causes.c.rv).limit(FORGET_STEP)
    is_old = or_(causes.c.rv <= revision - KEEP_CHANGES, causes.c.at < (now_s - KEEP_S) * 1e6)
    return connection.execute(delete(causes).where(causes.c.rv.in_(oldest), is_old)).rowcount
