"""The tables. Room apiserver; used by storage.py, writer.py and the migrations' env.py.

    meta    rv (the last revision given out), compact_rv (the oldest that can still be asked for)
    object  every object as it is now: its body is the JSON that GET answers with, byte for byte
    change  the undo log: every change in rv order, so that the state at an older revision R is what
            has not changed since R, and what was before each first change after R: the body of the
            change `prev_rv`, or `prev` when that one is no longer in the log
    moment  which revision was the last one at a time: how "an hour ago" becomes a revision
    cause   who made each change, and what it reacted to (cause_log.py)
    span    what the components did between one change and the next (span_log.py)

Columns that are searched come before the bodies, so that SQLite skips rows without reading blobs.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    event,
    text,
)

SCHEMA_HEAD = "0004"  # the newest migration

metadata = MetaData()

# In SQLite only INTEGER makes a primary key the row id itself.
Revision = BigInteger().with_variant(Integer, "sqlite")


def _text(length: int) -> String:
    """Text that sorts by bytes, as etcd's keys do, in every database."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


meta = Table(
    "meta",
    metadata,
    Column("k", _text(32), primary_key=True),
    Column("v", BigInteger, nullable=False),
)

objects = Table(
    "object",
    metadata,
    Column("resource", _text(128), primary_key=True),  # "pods", "deployments.apps"
    Column("namespace", _text(63), primary_key=True),  # "" for what has no namespace
    Column("name", _text(253), primary_key=True),
    Column("uid", String(36), nullable=False),
    Column("rv", BigInteger, nullable=False),
    Column("created_rv", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

changes = Table(
    "change",
    metadata,
    Column("rv", Revision, primary_key=True, autoincrement=False),
    Column("resource", _text(128), nullable=False),
    Column("namespace", _text(63), nullable=False),
    Column("name", _text(253), nullable=False),
    Column("type", String(8), nullable=False),  # ADDED, MODIFIED, DELETED
    Column("prev_rv", BigInteger),  # null: the object did not exist
    # Packed (packing.py), as `prev` is; for DELETED: the last state, at this rv.
    Column("body", LargeBinary, nullable=False),
    Column("prev", LargeBinary),  # null also while the change `prev_rv` is in the log
    Index("change_by_resource", "resource", "rv"),  # a watch of a quiet kind reads past no other
    # What one object, or a page of them, was: the first change after a revision.
    Index("change_by_object", "resource", "namespace", "name", "rv"),
)

moments = Table(
    "moment",
    metadata,
    Column("at", Revision, primary_key=True, autoincrement=False),  # seconds since 1970
    Column("rv", BigInteger, nullable=False),
)

_IS_DELETED = text("type = 'DELETED'")
_of_deleted = Index(  # by name, for who is gone
    "cause_of_deleted", "resource", "namespace", "name", "rv", sqlite_where=_IS_DELETED
)

causes = Table(
    "cause",
    metadata,
    Column("rv", Revision, primary_key=True, autoincrement=False),  # the change's
    Column("at", BigInteger, nullable=False),  # microseconds since 1970, as all times here
    Column("arrived", BigInteger, nullable=False),  # when the request came; 0: there was none
    Column("trace", String(32), nullable=False),  # of W3C Trace Context, in hex
    Column("span", String(16), nullable=False),  # the write's own
    Column("parent", String(16), nullable=False),  # the span that wrote; "": the trace begins here
    Column("loop", String(64), nullable=False),  # that span's name, and when it began
    Column("began", BigInteger, nullable=False),
    Column("reacted_to", String(320), nullable=False),  # revisions: "812.809"
    Column("actor", String(255), nullable=False),
    Column("manager", String(128), nullable=False),
    Column("resource", _text(128), nullable=False),
    Column("namespace", _text(63), nullable=False),
    Column("name", _text(253), nullable=False),
    Column("uid", String(36), nullable=False),
    Column("type", String(8), nullable=False),
    Column("subresource", String(32), nullable=False),
    Column("prev_rv", BigInteger),
    Column("spec_rv", BigInteger, nullable=False),  # the last change that was not of the status
    Index("cause_by_trace", "trace"),
    _of_deleted,
)


@event.listens_for(causes, "before_create")
def _narrow_index(_table: Table, connection: Connection, **_: Any) -> None:
    """What `postgresql_where` would say above: but naming it there loads that dialect, with all
    its drivers, into every API server that has SQLite."""
    if connection.dialect.name == "postgresql":
        _of_deleted.dialect_options["postgresql"]["where"] = _IS_DELETED


spans = Table(
    "span",
    metadata,
    Column("id", Revision, primary_key=True),
    Column("trace", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),  # when it was told, in microseconds since 1970
    Column("body", LargeBinary, nullable=False),  # its JSON
    Index("span_by_trace", "trace"),
)
