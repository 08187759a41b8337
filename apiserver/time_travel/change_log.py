"""What time travel asks the log: times of revisions, and which objects changed between two.

Room apiserver/time_travel; SQL only. The caller gives a connection on one snapshot. When a change
was made is told by the log of causes; of older ones only a minute's note is left (`moment`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, select

from apiserver.models import causes, changes, moments
from apiserver.packing import unpack, unpack_if_any
from apiserver.undo import before_body, with_before

_AT_ONCE = 500  # revisions asked for in one statement


# ---- times -------------------------------------------------------------------------------------


def time_of(connection: Connection, revision: int) -> datetime | None:
    """When a revision was reached; None: not known."""
    query = select(causes.c.at).where(causes.c.rv <= revision)
    at = connection.execute(query.order_by(causes.c.rv.desc()).limit(1)).scalar()
    if at is not None:
        return time_from(at)
    noted = select(func.min(moments.c.at)).where(moments.c.rv >= revision)
    at = connection.execute(noted).scalar()
    return None if at is None else datetime.fromtimestamp(at, UTC)


def time_from(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us / 1e6, UTC)


def revision_at(connection: Connection, time: datetime) -> int:
    """The last revision of a time in the past; 0: none that is known of."""
    at_us = int(time.timestamp() * 1e6)
    # Each by itself: SQLite would read the whole table to answer both at once.
    first = connection.execute(select(func.min(causes.c.rv))).scalar()
    last = connection.execute(select(func.max(causes.c.rv))).scalar()
    if first is None or last is None or _at(connection, first)[1] > at_us:
        noted = select(func.max(moments.c.rv)).where(moments.c.at <= time.timestamp())
        return connection.execute(noted).scalar() or 0
    low, high = first, last + 1  # it is in [low, high): revisions are in the order of their times
    while high - low > 1:
        middle = (low + high) // 2
        found, found_us = _at(connection, middle)
        if found >= high or found_us > at_us:
            high = middle
        else:
            low = found
    return int(low)


def _at(connection: Connection, revision: int) -> tuple[int, int]:
    """The first revision from here on whose time is known, and that time."""
    query = select(causes.c.rv, causes.c.at).where(causes.c.rv >= revision)
    rv, at = connection.execute(query.order_by(causes.c.rv).limit(1)).one()
    return rv, at


# ---- what changed ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Touched:
    """An object with changes in a range of revisions: the first and the last of them, and which
    revision it had before (None: it was not there)."""

    namespace: str
    name: str
    first: int
    last: int
    count: int
    before: int | None
    is_there: bool  # at the end of the range


def touched(
    connection: Connection,
    resource: str,
    after: int,
    upto: int,
    *,
    namespace: str | None = None,
    name: str | None = None,
) -> list[Touched]:
    """The objects of a resource that changed in (after, upto], in order of their names."""
    c = changes.c
    found = select(
        func.min(c.rv).label("first"), func.max(c.rv).label("last"), func.count().label("count")
    ).where(c.resource == resource, c.rv > after, c.rv <= upto)
    if namespace is not None:
        found = found.where(c.namespace == namespace)
    if name is not None:
        found = found.where(c.name == name)
    keys = found.group_by(c.namespace, c.name).subquery()
    first, last = changes.alias("first_change"), changes.alias("last_change")
    query = (
        select(last.c.namespace, last.c.name, keys.c.first, keys.c.last, keys.c["count"],
               first.c.prev_rv, last.c.type)
        .join_from(keys, first, first.c.rv == keys.c.first)
        .join(last, last.c.rv == keys.c.last)
        .order_by(last.c.namespace, last.c.name)
    )  # fmt: skip
    return [Touched(*row[:6], is_there=row[6] != "DELETED") for row in connection.execute(query)]


def bodies(connection: Connection, one: Touched) -> tuple[bytes | None, bytes | None]:
    """What a touched object was before and after; None: not there."""
    c = changes.c
    before = connection.execute(
        with_before(select(before_body())).where(c.rv == one.first)
    ).scalar()
    after = connection.execute(select(c.body).where(c.rv == one.last)).scalar()
    return unpack_if_any(before), unpack_if_any(after) if one.is_there else None


@dataclass(frozen=True, slots=True)
class Line:
    """A change and its cause; what of the cause is no longer known is None."""

    rv: int
    type: str
    resource: str
    namespace: str
    name: str
    at_us: int | None
    actor: str | None
    manager: str | None
    subresource: str | None


def _lines() -> Any:
    c = changes.c
    return select(
        c.rv, c.type, c.resource, c.namespace, c.name,
        causes.c.at, causes.c.actor, causes.c.manager, causes.c.subresource,
    ).outerjoin(causes, causes.c.rv == c.rv)  # fmt: skip


def lines_of(connection: Connection, revisions: Sequence[int]) -> Iterator[Line]:
    """The changes with these revisions, in no order."""
    for start in range(0, len(revisions), _AT_ONCE):
        query = _lines().where(changes.c.rv.in_(revisions[start : start + _AT_ONCE]))
        for row in connection.execute(query):
            yield Line(*row)


def life_of(
    connection: Connection, resource: str, namespace: str, name: str, size: int
) -> tuple[list[tuple[Line, bytes | None, bytes]], int]:
    """([(change, body before, body after)], how many older ones there are), newest first."""
    c = changes.c
    is_its = (c.resource == resource, c.namespace == namespace, c.name == name)
    total = connection.execute(select(func.count()).select_from(changes).where(*is_its)).scalar()
    query = (
        with_before(_lines().add_columns(before_body(), c.body))
        .where(*is_its)
        .order_by(c.rv.desc())
        .limit(size)
    )
    found = [
        (Line(*row), unpack_if_any(before), unpack(after))
        for *row, before, after in connection.execute(query)
    ]
    return found, (total or 0) - len(found)


def count_in(
    connection: Connection, resource: str, after: int, upto: int, namespace: str | None
) -> int:
    """How many changes of a resource there are in (after, upto]."""
    query = select(func.count()).select_from(changes)
    found = connection.execute(query.where(*_in_range(resource, after, upto, namespace))).scalar()
    return int(found or 0)


def ticks(
    connection: Connection,
    resource: str,
    after: int,
    upto: int,
    *,
    namespace: str | None,
    step: int,
) -> list[tuple[int, int]]:
    """[(the last revision, how many changes)] of each `step` revisions in (after, upto]."""
    c = changes.c
    query = (
        select(func.max(c.rv), func.count())
        .where(*_in_range(resource, after, upto, namespace))
        .group_by((c.rv - after - 1) // step)
    )
    return [(int(rv), int(count)) for rv, count in connection.execute(query)]


def _in_range(resource: str, after: int, upto: int, namespace: str | None) -> list[Any]:
    c = changes.c
    found = [c.resource == resource, c.rv > after, c.rv <= upto]
    return found if namespace is None else [*found, c.namespace == namespace]
