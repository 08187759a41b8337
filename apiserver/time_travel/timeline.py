"""/podium/v1/timeline: what happened when. Room apiserver/time_travel.

A long range is drawn coarsely: neighbours of one kind become one item that counts them, so that a
day of a hundred thousand changes is as cheap to show as an hour.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from apiserver.storage import Store
from apiserver.time_travel import change_log
from apiserver.time_travel.change_log import Line
from apiserver.time_travel.moments import Moment
from apiserver.time_travel.scope import Scope
from podium.api import meta, scheme

Object = dict[str, Any]


def timeline(store: Store, scope: Scope, start: Moment, end: Moment, *, size: int) -> Object:
    """The answer, in the order of revisions."""

    def read(connection: Connection) -> tuple[int, list[Object]]:
        return _read(connection, scope, start.revision, end.revision, size)

    total, items = store.read(read)
    return {
        "kind": "Timeline", "apiVersion": "podium.dev/v1", "from": start.to_json(),
        "to": end.to_json(), "total": total, "items": items,
    }  # fmt: skip


def _read(
    connection: Connection, scope: Scope, after: int, upto: int, size: int
) -> tuple[int, list[Object]]:
    totals = {
        one.key: change_log.count_in(connection, one.key, after, upto, scope.namespace)
        for one in scope.resources
    }
    happened = [key for key, total in totals.items() if total]
    total = sum(totals.values())
    step = 1 if total <= size else -(-(upto - after) * len(happened) // size)
    counts = {
        rv: count
        for key in happened
        for rv, count in change_log.ticks(
            connection, key, after, upto, namespace=scope.namespace, step=step
        )
    }
    lines = sorted(change_log.lines_of(connection, sorted(counts)), key=lambda line: line.rv)
    return total, [_item(line, counts[line.rv]) for line in lines]


def _item(line: Line, count: int) -> Object:
    return {
        "revision": line.rv, "time": time_text(line.at_us), "type": line.type,
        "resource": line.resource, "kind": scheme.resource(line.resource).kind,
        "namespace": line.namespace, "name": line.name, "count": count,
    }  # fmt: skip


def time_text(at_us: int | None) -> str | None:
    return None if at_us is None else meta.now_micro(change_log.time_from(at_us))
