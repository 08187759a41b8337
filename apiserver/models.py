"""The tables: objects as they are, an undo log of how they came to be so, and one counter.

`object` holds each object's JSON bytes in wire form. `change` holds every change since the last
compaction with the bytes before it, so that the state at an older revision R is: the objects not
changed since R, and for the others `prev` of their first change after R.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, String, Table

SCHEMA_HEAD = "0001"

metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("k", String(32), primary_key=True),  # "rv" or "compact_rv"
    Column("v", BigInteger, nullable=False),
)

objects = Table(
    "object",
    metadata,
    Column("api_group", String(253), primary_key=True),
    Column("resource", String(253), primary_key=True),
    Column("ns", String(253), primary_key=True),  # "" for what has no namespace
    Column("name", String(253), primary_key=True),
    Column("uid", String(64), nullable=False),
    Column("rv", BigInteger, nullable=False),
    Column("created_rv", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

changes = Table(
    "change",
    metadata,
    Column("rv", BigInteger, primary_key=True, autoincrement=False),
    Column("api_group", String(253), nullable=False),
    Column("resource", String(253), nullable=False),
    Column("ns", String(253), nullable=False),
    Column("name", String(253), nullable=False),
    Column("type", String(8), nullable=False),  # ADDED, MODIFIED, DELETED
    Column("body", LargeBinary, nullable=False),
    Column("prev", LargeBinary, nullable=True),
    Column("prev_rv", BigInteger, nullable=False),  # 0: there was nothing before
    Index("change_by_key", "api_group", "resource", "ns", "name", "rv"),
)
