"""/podium/v1/history: the life of one object, also after its end. Room apiserver/time_travel."""

from __future__ import annotations

from typing import Any

import orjson

from apiserver.errors import ApiError
from apiserver.request_info import Call
from apiserver.storage import Store
from apiserver.time_travel import change_log, texts
from apiserver.time_travel.change_log import Line
from apiserver.time_travel.moments import reach
from apiserver.time_travel.timeline import time_text
from podium.api import status

Object = dict[str, Any]


def history(store: Store, call: Call, *, size: int, with_diffs: bool) -> Object:
    """The answer, newest change first; ApiError 404 for what is not there and never was, as far as
    anybody remembers."""
    resource, name = call.resource, call.required_name()
    found, more = store.read(
        lambda c: change_log.life_of(c, resource.key, call.key_namespace, name, size)
    )
    if not found and store.get(resource.key, call.key_namespace, name) is None:
        raise ApiError(status.not_found(resource, name))
    about = f"{resource.key}/{name}"
    return {
        "kind": "History", "apiVersion": "podium.dev/v1", "resource": resource.key,
        "namespace": call.key_namespace, "name": name, "oldest": reach(store).oldest.to_json(),
        "more": more, "items": [_item(*one, about if with_diffs else "") for one in found],
    }  # fmt: skip


def _item(line: Line, before: bytes | None, after: bytes, diff_of: str) -> Object:
    """`diff_of`: what the text of the difference is about; "": none is wanted."""
    new = texts.shown(orjson.loads(after), managed_fields=False)
    old = None if before is None else texts.shown(orjson.loads(before), managed_fields=False)
    is_change = line.type == "MODIFIED" and old is not None
    item: Object = {
        "revision": line.rv, "time": time_text(line.at_us), "type": line.type,
        "uid": new["metadata"].get("uid"), "by": line.actor, "manager": line.manager,
        "subresource": line.subresource,
        "changed": texts.changed_fields(old or {}, new) if is_change else [],
    }  # fmt: skip
    if diff_of:
        if diff_of.startswith("secrets/"):
            old, hidden = texts.masked(old, new)
            new = hidden or new
        item["diff"] = texts.unified_diff(
            old, None if line.type == "DELETED" else new,
            before_name=f"{diff_of} before", after_name=f"{diff_of} {line.rv}",
        )  # fmt: skip
    return item
