"""/podium/v1/diff: what is different between two moments. Room apiserver/time_travel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import orjson
from sqlalchemy import Connection

from apiserver.storage import Store
from apiserver.time_travel import change_log, texts
from apiserver.time_travel.change_log import Touched
from apiserver.time_travel.moments import Moment
from apiserver.time_travel.scope import Scope
from podium.api.scheme import Resource

Object = dict[str, Any]

TYPES = ("added", "changed", "replaced", "deleted")


def difference(
    store: Store, scope: Scope, start: Moment, end: Moment, *, size: int, managed_fields: bool
) -> Object:
    """The answer. What was made and deleted in between, or changed and changed back, is none."""
    summary: Counter[str] = Counter(dict.fromkeys(TYPES, 0))
    items: list[Object] = []
    more = 0
    for resource, one in _candidates(store, scope, start, end):
        if len(items) >= size:
            more += 1
            continue
        item = _item(store, resource, one, managed_fields)
        if item is not None:
            summary[item["type"]] += 1
            items.append(item)
        gevent.sleep(0)
    return {
        "kind": "Difference", "apiVersion": "podium.dev/v1", "from": start.to_json(),
        "to": end.to_json(), "summary": dict(summary), "more": more, "items": items,
    }  # fmt: skip


def _candidates(
    store: Store, scope: Scope, start: Moment, end: Moment
) -> Iterator[tuple[Resource, Touched]]:
    for resource in scope.resources:

        def read(connection: Connection, key: str = resource.key) -> list[Touched]:
            return change_log.touched(
                connection, key, start.revision, end.revision,
                namespace=scope.namespace, name=scope.name,
            )  # fmt: skip

        for one in store.read(read):
            if one.before is not None or one.is_there:
                yield resource, one


def _item(store: Store, resource: Resource, one: Touched, managed_fields: bool) -> Object | None:
    before, after = (
        None if body is None else texts.shown(orjson.loads(body), managed_fields=managed_fields)
        for body in store.read(lambda connection: change_log.bodies(connection, one))
    )
    if before == after:
        return None
    if resource.key == "secrets":
        before, after = texts.masked(before, after)
    about = f"{resource.key}/{one.name}"
    text = texts.unified_diff(
        before, after,
        before_name=f"{about} {one.before or '-'}",
        after_name=f"{about} {one.last if one.is_there else '-'}",
    )  # fmt: skip
    return {
        "type": _type(before, after), "resource": resource.key, "kind": resource.kind,
        "namespace": one.namespace, "name": one.name, "fromRevision": one.before,
        "toRevision": one.last, "changes": one.count, "diff": text,
    }  # fmt: skip


def _type(before: Object | None, after: Object | None) -> str:
    if before is None:
        return "added"
    if after is None:
        return "deleted"
    return "changed" if before["metadata"]["uid"] == after["metadata"]["uid"] else "replaced"
