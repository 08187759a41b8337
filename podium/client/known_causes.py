"""Room podium/client: what the objects of an informer were last changed by."""

from __future__ import annotations

import re
from typing import Any

from podium.client.causes import Cause
from podium.client.watch import Event

Object = dict[str, Any]

_PARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


class KnownCauses:
    """Of each key its last change, and before that its last one that was not of its status if that
    is another one. The informer's thread writes."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Cause, ...]] = {}

    def of(self, key: str) -> tuple[Cause, ...]:
        return self._of.get(key, ())

    def forget(self, key: str) -> None:
        self._of.pop(key, None)

    def of_event(self, key: str, event: Event) -> tuple[Cause, ...]:
        """What a watch said made this change; nothing if it did not say."""
        found = _cause(key, event.object, event.cause)
        if event.type == "DELETED":
            self._of.pop(key, None)
            return (found,) if found else ()
        if found is None:
            self._of.pop(key, None)
            return ()
        spec = tuple(c for c in self.of(key) if not c.is_status) if found.is_status else ()
        self._of[key] = (*spec, found)
        return (found,)

    def of_listed(self, key: str, obj: Object, causes: dict[str, Any]) -> tuple[Cause, ...]:
        """What a LIST says of an object that was not looked at meanwhile."""
        said = causes.get(obj["metadata"]["resourceVersion"])
        found = _cause(key, obj, said)
        if found is None:
            self._of.pop(key, None)
            return ()
        spec = _cause(key, obj, said.get("spec")) if said else None
        self._of[key] = (spec, found) if spec else (found,)
        return self._of[key]


def _cause(key: str, obj: Object, said: Any) -> Cause | None:
    parent = _PARENT.fullmatch(str(said.get("traceparent"))) if isinstance(said, dict) else None
    if parent is None:
        return None
    about = obj["metadata"]
    rv = int(said.get("rv") or about["resourceVersion"])
    return Cause(rv, parent[1], parent[2], key, str(about.get("uid")), said.get("of") == "status")
