"""Objects that are gone, found again by their names while the causes of their changes are kept.

Room apiserver/trace; called by answers.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, literal_column, select

from apiserver.models import causes

Object = dict[str, Any]

_STEPS_MAX = 500  # changes back to the creation
# A literal and no parameter: only then SQLite sees that the index cause_of_deleted is enough.
_IS_DELETION = causes.c.type == literal_column("'DELETED'")


@dataclass(frozen=True, slots=True)
class Gone:
    """What is asked of a stored object, of one that is no more. `created_rv` 0: not known."""

    namespace: str
    name: str
    uid: str
    rv: int  # of its deletion
    created_rv: int


def newest_of(connection: Connection, resource: str, namespace: str, name: str) -> Gone | None:
    """The object of that name that was deleted last."""
    c = causes.c
    query = select(c.rv, c.uid).where(
        c.resource == resource, c.namespace == namespace, c.name == name, _IS_DELETION
    )
    found = connection.execute(query.order_by(c.rv.desc()).limit(1)).first()
    if found is None:
        return None
    return Gone(namespace, name, found.uid, found.rv, _created_rv(connection, found.rv))


def _created_rv(connection: Connection, rv: int) -> int:
    for row in islice(own_changes(connection, rv), _STEPS_MAX):
        if row["prev_rv"] is None:
            return int(row["rv"])
    return 0


def own_changes(connection: Connection, rv: int | None) -> Iterator[Object]:
    """An object's changes that were not of its status, from a revision back, as far as kept."""
    while rv is not None and (row := change(connection, rv)) is not None:
        if row["spec_rv"] != row["rv"]:
            rv = row["spec_rv"]
            continue
        yield row
        rv = row["prev_rv"]


def change(connection: Connection, rv: int) -> Object | None:
    """The row of a revision."""
    row = connection.execute(select(causes).where(causes.c.rv == rv)).mappings().first()
    return dict(row) if row else None
