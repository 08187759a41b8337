"""An object or a list in the form that a client asked for: itself, its metadata, or table rows.

Room apiserver; called by verbs.py. The plain form is the stored bytes, spliced and never parsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from apiserver.listing import Selection, token
from apiserver.negotiation import Wanted
from apiserver.storage import Change, Page, Record
from podium.api.scheme import Resource

Object = dict[str, Any]
_META = {"apiVersion": "meta.k8s.io/v1"}


def one(
    wanted: Wanted, resource: Resource, record: Record, include: str, *, now: datetime | None = None
) -> bytes:
    """The answer to GET. Ages in a table count to `now`, None: the present."""
    if wanted.form == "object":
        return record.body
    if wanted.form == "partial":
        return orjson.dumps(_partial(record.object))
    rows = [_row(resource, record.object, include, now or datetime.now(UTC))]
    return orjson.dumps(_table(resource, {"resourceVersion": str(record.rv)}, rows))


def partial_status(obj: Object) -> Object:
    return _partial(obj)


def whole_list(
    wanted: Wanted,
    resource: Resource,
    found: Selection,
    include: str,
    *,
    now: datetime | None = None,
) -> bytes:
    """The answer to LIST in one piece."""
    metadata: Object = {"resourceVersion": str(found.rv)}
    if found.next_after is not None:
        metadata["continue"] = token(found.rv, found.next_after)
        if found.remaining is not None:
            metadata["remainingItemCount"] = found.remaining
    if wanted.form == "table":
        return b"".join(_table_pieces(resource, metadata, [found.records], include, now=now))
    if wanted.form == "partial":
        return b"".join(
            _list_pieces(_partial_head(metadata), [[_partial_bytes(r) for r in found.records]])
        )
    return b"".join(_list_pieces(_head(resource, metadata), [[r.body for r in found.records]]))


def streamed_list(
    wanted: Wanted,
    resource: Resource,
    first: Page,
    rest: Iterator[Page],
    include: str,
    *,
    now: datetime | None = None,
) -> Iterator[bytes]:
    """The answer to a long LIST, a piece for each page."""
    metadata = {"resourceVersion": str(first.rv)}

    def pages() -> Iterator[list[Record]]:
        yield first.records
        for page in rest:
            yield page.records

    if wanted.form == "table":
        return _table_pieces(resource, metadata, pages(), include, now=now)
    if wanted.form == "partial":
        return _list_pieces(
            _partial_head(metadata), ([_partial_bytes(r) for r in page] for page in pages())
        )
    return _list_pieces(_head(resource, metadata), ([r.body for r in page] for page in pages()))


def for_watch(
    wanted: Wanted, resource: Resource, include: str
) -> Callable[[Record | Change, bytes], bytes] | None:
    """How a watch shapes an event's object; None: not at all."""
    if wanted.form == "object":
        return None
    if wanted.form == "partial":
        return lambda seen, body: orjson.dumps(_partial(_object_of(seen, body)))
    has_headers = True
    key = f"Table {include}"

    def table(seen: Record | Change, body: bytes) -> bytes:
        nonlocal has_headers
        shared = seen.frames if isinstance(seen, Change) and body is seen.body else {}
        if not has_headers and key in shared:
            return shared[key]  # a class that looks at one list: the row is made once
        obj = _object_of(seen, body)
        rows = [_row(resource, obj, include, datetime.now(UTC))]
        metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        document = _table(resource, metadata, rows)
        if not has_headers:
            document["columnDefinitions"] = None  # only the first event brings them
        shaped = orjson.dumps(document)
        if not has_headers:
            shared[key] = shaped
        has_headers = False
        return shaped

    return table


def _object_of(seen: Record | Change, body: bytes) -> Object:
    if body is seen.body:
        return seen.object
    obj: Object = orjson.loads(body)
    return obj


def _head(resource: Resource, metadata: Object) -> Object:
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": metadata,
    }


def _partial_head(metadata: Object) -> Object:
    return {"kind": "PartialObjectMetadataList", **_META, "metadata": metadata}


def _list_pieces(head: Object, pages: Iterable[list[bytes]]) -> Iterator[bytes]:
    opening = orjson.dumps(head)[:-1] + b',"items":['
    for bodies in pages:
        if bodies:
            yield opening + b",".join(bodies)
            opening = b","
    yield (b"" if opening == b"," else opening) + b"]}"


def _partial(obj: Object) -> Object:
    return {"kind": "PartialObjectMetadata", **_META, "metadata": obj["metadata"]}


def _partial_bytes(record: Record) -> bytes:
    return orjson.dumps(_partial(record.object))


def _table(resource: Resource, metadata: Object, rows: list[Object]) -> Object:
    from apiserver import tables

    return {
        "kind": "Table",
        **_META,
        "metadata": metadata,
        "columnDefinitions": tables.columns(resource),
        "rows": rows,
    }


def _table_pieces(
    resource: Resource,
    metadata: Object,
    pages: Iterable[list[Record]],
    include: str,
    *,
    now: datetime | None,
) -> Iterator[bytes]:
    now = now or datetime.now(UTC)
    opening = orjson.dumps(_table(resource, metadata, []))[:-2]
    for records in pages:
        if records:
            rows = [orjson.dumps(_row(resource, record.object, include, now)) for record in records]
            yield opening + b",".join(rows)
            opening = b","
    yield (b"" if opening == b"," else opening) + b"]}"


def _row(resource: Resource, obj: Object, include: str, now: datetime) -> Object:
    """`include`: the includeObject query parameter: "", "Metadata", "Object" or "None"."""
    from apiserver import tables

    row: Object = {"cells": tables.row(resource, obj, now)}
    if include == "Object":
        row["object"] = obj
    elif include != "None":
        row["object"] = _partial(obj)
    return row
