"""Two states of an object side by side: a unified diff of their YAML, and which fields differ.

Room apiserver/time_travel. Pure functions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from podium.api.yaml_text import to_yaml

Object = dict[str, Any]

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
MAX_FIELDS = 12  # that a change is said to have changed
_DEPTH = 6
_NAMES = ("name", "type", "key", "uid")  # what tells the elements of a list apart


def shown(obj: Object, *, managed_fields: bool) -> Object:
    """An object without what differs at every write and says nothing."""
    left_out = {"resourceVersion"} | (set() if managed_fields else {"managedFields"})
    metadata = {k: v for k, v in obj["metadata"].items() if k not in left_out}
    return {**obj, "metadata": metadata}


def masked(before: Object | None, after: Object | None) -> tuple[Object | None, Object | None]:
    """Two states of a Secret with their values hidden, as kubectl diff shows them: whether a value
    has changed can be seen, not what it is."""
    old, new = ((o or {}).get("data") or {} for o in (before, after))
    hidden_old, hidden_new = {}, {}
    for key in {*old, *new}:
        is_same = old.get(key) == new.get(key)
        hidden_old[key] = "***" if is_same else "*** (before)"
        hidden_new[key] = "***" if is_same else "*** (after)"
    return _with_data(before, old, hidden_old), _with_data(after, new, hidden_new)


def _with_data(obj: Object | None, data: Object, hidden: Object) -> Object | None:
    if not obj or not data:
        return obj
    annotations = (obj["metadata"].get("annotations") or {}).keys()
    metadata = obj["metadata"]
    if LAST_APPLIED in annotations:  # it repeats the values
        metadata = {**metadata, "annotations": {**metadata["annotations"], LAST_APPLIED: "***"}}
    return {**obj, "metadata": metadata, "data": {key: hidden[key] for key in data}}


def unified_diff(
    before: Object | None, after: Object | None, *, before_name: str, after_name: str
) -> str:
    """As `diff -u` would print it; None stands for no object at all."""
    old, new = ([] if o is None else to_yaml(o).splitlines() for o in (before, after))
    lines = list(difflib.unified_diff(old, new, before_name, after_name, lineterm=""))
    return "".join(f"{line}\n" for line in lines)


def changed_fields(before: Object, after: Object) -> list[str]:
    """ "spec.replicas", "status.conditions[Ready].status", …; "…" at the end: there are more."""
    hidden = ("metadata.generation",)
    found = [path for path in _differences(before, after, "", _DEPTH) if path not in hidden]
    found.sort(key=lambda path: (path.count(".") + path.count("["), path))  # the plainest first
    return [*found[:MAX_FIELDS], "…"] if len(found) > MAX_FIELDS else found


def _differences(before: Any, after: Any, path: str, depth: int) -> Iterator[str]:
    if before == after:
        return
    if depth and isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            here = f"{path}.{key}" if path else key
            yield from _differences(before.get(key), after.get(key), here, depth - 1)
        return
    old, new = _by_name(before), _by_name(after)
    if depth and old and new:
        for key in dict.fromkeys([*old, *new]):
            yield from _differences(old.get(key), new.get(key), f"{path}[{key}]", depth - 1)
        return
    yield path


def _by_name(value: Any) -> dict[str, Any] | None:
    """The elements of a list by what they are called; None if they have no names."""
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        return None
    for key in _NAMES:
        names = [one.get(key) for one in value]
        if all(isinstance(n, str) for n in names) and len({*names}) == len(names):
            return dict(zip(names, value, strict=True))
    return None
