"""How it was: objects as they were at an older revision, read from the undo log. Room apiserver.

Called by storage.py (a page of a list) and time_travel/. What an object was at revision R is the
body before its first change after R; with no such change it is what it is now. That body is the one
that the change before left, and is kept beside a change only when that one is no longer in the log.

A page of the near past is worked out from the present and the few changes since: what a long LIST
needs at each of its pages. Further back a span of names is read from both tables in one order, so
that a page is bounded as one of the present is, however much has been deleted since. The caller
sees to it that R is not compacted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import (
    Connection,
    Engine,
    Update,
    and_,
    bindparam,
    func,
    select,
    tuple_,
    union,
    update,
)

from apiserver import wire
from apiserver.models import changes, objects
from apiserver.packing import unpack
from apiserver.sql import Prepared

NEAR = 500  # revisions: up to here reading all changes since costs less than asking for names

_former = changes.alias("former")  # the change before a change


def before_body() -> Any:
    """What was there before a change; to be selected from `with_before`."""
    return func.coalesce(changes.c.prev, _former.c.body)


def with_before(query: Any) -> Any:
    """A query of `change` that may ask for `before_body`."""
    return query.outerjoin_from(changes, _former, _former.c.rv == changes.c.prev_rv)


def keep_before(upto: int) -> Update:
    """What must be written down before the log up to `upto` is forgotten: the body before each
    first change after it."""
    c, gone, later = changes.c, changes.alias("gone"), changes.alias("later")
    successor = (
        select(func.min(later.c.rv))
        .where(
            later.c.resource == gone.c.resource, later.c.namespace == gone.c.namespace,
            later.c.name == gone.c.name, later.c.rv > upto,
        )
        .scalar_subquery()
    )  # fmt: skip
    successors = select(successor).where(gone.c.rv <= upto)
    body = select(gone.c.body).where(gone.c.rv == c.prev_rv).scalar_subquery()
    return (
        update(changes)
        .where(c.rv.in_(successors), c.prev_rv <= upto, c.prev.is_(None))
        .values(prev=body)
    )


@dataclass(slots=True)
class Record:
    """One object as stored. `body` is its JSON; `object` parses it once and must not be changed."""

    namespace: str
    name: str
    uid: str
    rv: int
    created_rv: int
    body: bytes
    _object: wire.Object | None = None

    @property
    def object(self) -> wire.Object:
        if self._object is None:
            self._object = wire.parse(self.body)
        return self._object

    @property
    def place(self) -> tuple[str, str]:
        """Where it stands in a list."""
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Span:
    """Part of a list: about `size` objects of a resource, behind `after` ("", "" is the start).
    `namespace` None: all of them."""

    resource: str
    namespace: str | None
    after: tuple[str, str] = ("", "")
    size: int = 0

    def values(self) -> dict[str, Any]:
        """As the statements name them."""
        found = {"resource": self.resource, "after_name": self.after[1]}
        if self.namespace is None:
            return {**found, "after_namespace": self.after[0]}
        return {**found, "namespace": self.namespace}


@dataclass(slots=True)
class Page:
    """Some of a list, in order, as it was at `rv`; the next page begins behind `upto`, if any."""

    records: list[Record] = field(default_factory=list)
    rv: int = 0
    upto: tuple[str, str] | None = None


class Undo:
    """The statements, compiled once for an engine."""

    def __init__(self, engine: Engine) -> None:
        self._in_namespace = _Spans(engine, is_namespace=True)
        self._everywhere = _Spans(engine, is_namespace=False)
        o, c = objects.c, changes.c
        self._now = Prepared(
            select(o.namespace, o.name, o.uid, o.rv, o.created_rv, o.body).where(
                *_key(o), o.rv <= bindparam("at")
            ),
            engine,
        )
        self._since = Prepared(
            with_before(select(c.namespace, c.name, c.prev_rv, before_body()))
            .where(c.resource == bindparam("resource"), c.rv > bindparam("at"))
            .order_by(c.rv),
            engine,
        )
        self._before = Prepared(
            with_before(select(c.prev_rv, before_body()))
            .where(*_key(c), c.rv > bindparam("at"))
            .order_by(c.rv)
            .limit(1),
            engine,
        )

    def record(
        self, connection: Connection, resource: str, namespace: str, name: str, *, at: int
    ) -> Record | None:
        """One object as it was."""
        key = {"resource": resource, "namespace": namespace, "name": name, "at": at}
        for prev_rv, prev in self._before.rows(connection, **key):
            return _undone(namespace, name, prev_rv, prev) if prev is not None else None
        rows = self._now.rows(connection, **key)
        return Record(*rows[0]) if rows else None

    def near_page(self, connection: Connection, span: Span, now: Page, at: int) -> Page:
        """A span as it was, from what is in it now."""
        state = {record.place: record for record in now.records if record.rv <= at}
        seen: set[tuple[str, str]] = set()
        for namespace, name, prev_rv, prev in self._since.rows(
            connection, resource=span.resource, at=at
        ):
            place = (namespace, name)
            if place in seen or span.namespace not in (None, namespace):
                continue
            seen.add(place)
            if place > span.after and (now.upto is None or place <= now.upto) and prev is not None:
                state[place] = _undone(namespace, name, prev_rv, prev)
        return Page([state[place] for place in sorted(state)], at, now.upto)

    def page(self, connection: Connection, span: Span, at: int) -> Page:
        """A span as it was, however long ago."""
        spans = self._everywhere if span.namespace is None else self._in_namespace
        values = {**span.values(), "at": at}
        names = [tuple(row) for row in spans.names.rows(connection, size=span.size, **values)]
        upto = names[-1] if len(names) >= span.size else None
        if not names:
            return Page([], at, None)
        values["upto_name"] = names[-1][1]
        if span.namespace is None:
            values["upto_namespace"] = names[-1][0]
        found = {r.place: r for r in (Record(*row) for row in spans.now.rows(connection, **values))}
        for namespace, name, prev_rv, prev in spans.before.rows(connection, **values):
            if prev is not None:
                found[namespace, name] = _undone(namespace, name, prev_rv, prev)
        return Page([found[place] for place in names if place in found], at, upto)


def _undone(namespace: str, name: str, rv: int, body: bytes) -> Record:
    return Record(namespace, name, "", rv, 0, unpack(body))


def _key(columns: Any) -> tuple[Any, ...]:
    names = ("resource", "namespace", "name")
    return tuple(columns[name] == bindparam(name) for name in names)


class _Spans:
    """What is asked of a span, with or without a namespace."""

    def __init__(self, engine: Engine, *, is_namespace: bool) -> None:
        o, c = objects.c, changes.c
        is_later = c.rv > bindparam("at")

        def behind(columns: Any) -> Any:
            of_resource = columns.resource == bindparam("resource")
            if is_namespace:
                is_behind = columns.name > bindparam("after_name")
                return and_(of_resource, columns.namespace == bindparam("namespace"), is_behind)
            after = tuple_(bindparam("after_namespace"), bindparam("after_name"))
            return and_(of_resource, tuple_(columns.namespace, columns.name) > after)

        def upto(columns: Any) -> Any:
            if is_namespace:
                return columns.name <= bindparam("upto_name")
            last = tuple_(bindparam("upto_namespace"), bindparam("upto_name"))
            return tuple_(columns.namespace, columns.name) <= last

        self.names = Prepared(
            union(
                select(o.namespace, o.name).where(behind(o)),
                select(c.namespace, c.name).where(behind(c), is_later),
            )
            .order_by("namespace", "name")
            .limit(bindparam("size")),
            engine,
        )
        self.now = Prepared(
            select(o.namespace, o.name, o.uid, o.rv, o.created_rv, o.body).where(
                behind(o), upto(o), o.rv <= bindparam("at")
            ),
            engine,
        )
        first = (
            select(func.min(c.rv).label("rv"))
            .where(behind(c), upto(c), is_later)
            .group_by(c.namespace, c.name)
            .subquery()
        )
        self.before = Prepared(
            with_before(select(c.namespace, c.name, c.prev_rv, before_body())).join(
                first, c.rv == first.c.rv
            ),
            engine,
        )
