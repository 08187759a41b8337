"""What time travel asks the log: times of revisions, and which objects changed between two.

Room apiserver/time_travel; SQL only. The caller gives a connection on one snapshot.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, func, select

from apiserver.models import moments


def time_of(connection: Connection, revision: int) -> datetime | None:
    """When a revision was reached; None: not known."""
    at = connection.execute(select(func.min(moments.c.at)).where(moments.c.rv >= revision)).scalar()
    return None if at is None else datetime.fromtimestamp(at, UTC)


def revision_at(connection: Connection, time: datetime) -> int:
    """The last revision of a time in the past; 0: none had been given out."""
    query = select(func.max(moments.c.rv)).where(moments.c.at <= time.timestamp())
    return connection.execute(query).scalar() or 0
