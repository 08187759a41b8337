"""Room podium/cli: the patch that `apply` sends, as client-side apply has always made it.

Three objects go in: what was applied last (the annotation), what is to be applied now, and what the
server has. Out comes a strategic merge patch that changes what the manifest says, removes what it
said last time and says no more, and leaves alone what others (controllers, defaults) have set.
Source: https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/. No I/O.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from podium.api.schema import Field, Struct, has_structure, structure

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
Object = dict[str, Any]


def with_last_applied(obj: Object) -> Object:
    """The object with itself in the annotation, where kubectl looks for it too."""
    plain = copy.deepcopy(obj)
    annotations = plain["metadata"].get("annotations") or {}
    plain["metadata"]["annotations"] = annotations
    annotations.pop(LAST_APPLIED, None)
    text = json.dumps(plain, separators=(",", ":"), sort_keys=True, ensure_ascii=False) + "\n"
    annotations[LAST_APPLIED] = text
    return plain


def last_applied(current: Object) -> Object | None:
    """What was applied last; None if the object was made in another way."""
    text = (current["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None  # somebody wrote into the annotation: as if it had never been there
    return found if isinstance(found, dict) else None


def three_way_patch(original: Object, modified: Object, current: Object) -> Object:
    """The strategic merge patch from `current` to what `modified` wants; {} if nothing is to do."""
    kind = str(modified.get("kind"))
    struct = structure(kind) if has_structure(kind) else None
    return _of_map(original, modified, current, struct)


def _of_map(original: Object, modified: Object, current: Object, struct: Struct | None) -> Object:
    patch: Object = {}
    for key, wanted in modified.items():
        field = struct.fields.get(key) if struct else None
        if wanted is None:
            if current.get(key) is not None:
                patch[key] = None
        elif current.get(key) is None:
            patch[key] = wanted
        else:
            patch.update(_of_value(key, original.get(key), wanted, current[key], field))
    for key in original:
        if key not in modified and key in current:
            patch[key] = None
    return patch


def _of_value(key: str, original: Any, wanted: Any, current: Any, field: Field | None) -> Object:
    """What a patch says of one field that both sides have."""
    if isinstance(wanted, dict) and isinstance(current, dict):
        return _of_struct(key, original, wanted, current, field)
    if isinstance(wanted, list) and isinstance(current, list):
        return _of_list(key, original, wanted, current, field)
    return {} if wanted == current else {key: wanted}


def _of_struct(
    key: str, original: Any, wanted: Object, current: Object, field: Field | None
) -> Object:
    if field and (field.is_atomic or "replace" in field.patch_strategies):
        return {} if wanted == current else {key: {"$patch": "replace", **wanted}}
    before = original if isinstance(original, dict) else {}
    patch = _of_map(before, wanted, current, _struct_of(field))
    if not patch:
        return {}
    if field and "retainKeys" in field.patch_strategies:
        patch["$retainKeys"] = sorted(wanted)
    return {key: patch}


def _struct_of(field: Field | None) -> Struct | None:
    if field is None or field.is_map or not has_structure(field.kind):
        return None
    return structure(field.kind)


def _of_list(key: str, original: Any, wanted: Any, current: Any, field: Field | None) -> Object:
    before = original if isinstance(original, list) else []
    if field is None or "merge" not in field.patch_strategies:
        return {} if wanted == current else {key: wanted}
    if not field.patch_merge_key:
        return _of_set(key, before, wanted, current)
    merge_key = field.patch_merge_key
    if not all(_is_keyed(items, merge_key) for items in (before, wanted, current)):
        # Two items with one key (a port's TCP and UDP) cannot be merged by it: replace them all.
        return {} if wanted == current else {key: [{"$patch": "replace"}, *wanted]}
    return _of_keyed(key, before, wanted, current, field)


def _is_keyed(items: Any, merge_key: str) -> bool:
    keys = [item.get(merge_key) for item in items if isinstance(item, dict)]
    return len(keys) == len(items) and None not in keys and len({str(k) for k in keys}) == len(keys)


def _of_set(key: str, original: list[Any], wanted: list[Any], current: list[Any]) -> Object:
    patch: Object = {}
    added = [item for item in wanted if item not in current]
    removed = [item for item in original if item not in wanted and item in current]
    if added:
        patch[key] = added
    if removed:
        patch[f"$deleteFromPrimitiveList/{key}"] = removed
    return patch


def _of_keyed(
    key: str, original: list[Object], wanted: list[Object], current: list[Object], field: Field
) -> Object:
    """A list of objects that are known by a key (containers by their name)."""
    merge_key, struct = field.patch_merge_key, _struct_of(field)
    before = {item[merge_key]: item for item in original}
    here = {item[merge_key]: item for item in current}
    items = []
    for item in wanted:
        name = item[merge_key]
        if name not in here:
            items.append(item)
        elif change := _of_map(before.get(name, {}), item, here[name], struct):
            if "retainKeys" in field.patch_strategies:
                change["$retainKeys"] = sorted(item)
            items.append({merge_key: name, **change})
    names = [item[merge_key] for item in wanted]
    gone = [name for name in before if name not in names and name in here]
    items += [{"$patch": "delete", merge_key: name} for name in gone]
    stays = [name for name in here if name in names]
    if not items and stays == [name for name in names if name in here]:
        return {}
    order = {f"$setElementOrder/{key}": [{merge_key: name} for name in names]}
    return {**order, **({key: items} if items else {})}
