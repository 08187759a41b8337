"""How a patch changes an object: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes'
strategic merge, driven by the schema table. Room: the API server; pure functions, new objects out.

Source: Kubernetes' docs "Update API Objects in Place Using kubectl patch" and the directives that
kubectl sends ($patch, $setElementOrder, $retainKeys, $deleteFromPrimitiveList).
"""

from __future__ import annotations

from typing import Any

import orjson

from podium.api.schema import Field, Struct, structure

Value = Any

_ORDER = "$setElementOrder/"
_DELETE_PRIMITIVE = "$deleteFromPrimitiveList/"
_RETAIN = "$retainKeys"
_DIRECTIVE = "$patch"


class MergeError(ValueError):
    """A patch that cannot be applied; `code` is the HTTP status (400 or 422)."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _copied(value: Value) -> Value:
    """A deep copy; for JSON this is far faster than `copy.deepcopy`."""
    return orjson.loads(orjson.dumps(value)) if isinstance(value, (dict, list)) else value


# ---- RFC 7386 -----------------------------------------------------------------------------------


def merge_patch(target: Value, patch: Value) -> Value:
    """null removes, objects merge, everything else replaces. A new object."""
    return _merged(_copied(target), patch)


def _merged(target: Value, patch: Value) -> Value:
    if not isinstance(patch, dict):
        return patch
    result = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


# ---- RFC 6902 -----------------------------------------------------------------------------------


def json_patch(target: Value, operations: Value) -> Value:
    """All of it or nothing; a failed `test` raises MergeError 422."""
    if not isinstance(operations, list):
        raise MergeError(400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > 10_000:
        raise MergeError(
            413, f"The allowed maximum operations in a JSON patch is 10000, got {len(operations)}"
        )
    result = _copied(target)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise MergeError(400, "a JSON patch operation needs an op and a path")
        result = _apply_operation(result, operation)
    return result


def _apply_operation(doc: Value, operation: dict[str, Value]) -> Value:
    name, path = operation.get("op"), operation["path"]
    match name:
        case "add":
            return _add(doc, path, _copied(operation.get("value")))
        case "replace":
            _get(doc, path, "replace")
            if not path:
                return _copied(operation.get("value"))
            parent, key = _parent(doc, path, "replace")
            parent[_index(parent, key)] = _copied(operation.get("value"))
        case "remove":
            _get(doc, path, "remove")
            parent, key = _parent(doc, path, "remove")
            del parent[_index(parent, key)]
        case "test":
            if _get(doc, path, "test") != operation.get("value"):
                raise MergeError(422, f"testing value {path} failed")
        case "copy" | "move":
            source = operation.get("from", "")
            value = _copied(_get(doc, source, str(name)))
            if name == "move":
                doc = _apply_operation(doc, {"op": "remove", "path": source})
            return _add(doc, path, value)
        case _:
            raise MergeError(400, f"Unexpected kind: {name}")
    return doc


def _segments(path: str) -> list[str]:
    if path and not path.startswith("/"):
        raise MergeError(400, f'a JSON pointer must begin with "/": {path!r}')
    return [s.replace("~1", "/").replace("~0", "~") for s in path.split("/")[1:]]


def _missing(path: str, operation: str) -> MergeError:
    return MergeError(
        422, f"{operation} operation does not apply: doc is missing path: {path}: missing value"
    )


def _get(doc: Value, path: str, operation: str) -> Value:
    for segment in _segments(path):
        try:
            doc = doc[_index(doc, segment)]
        except (KeyError, IndexError, TypeError, ValueError):
            raise _missing(path, operation) from None
    return doc


def _parent(doc: Value, path: str, operation: str) -> tuple[Value, str]:
    segments = _segments(path)
    if not segments:
        raise MergeError(422, f"{operation} operation does not apply to the whole document")
    for segment in segments[:-1]:
        try:
            doc = doc[_index(doc, segment)]
        except (KeyError, IndexError, TypeError, ValueError):
            raise _missing(path, operation) from None
    if not isinstance(doc, (dict, list)):
        raise _missing(path, operation)
    return doc, segments[-1]


def _index(holder: Value, key: str) -> Value:
    if not isinstance(holder, list):
        return key
    if not key.isdigit():
        raise MergeError(422, f"Unable to access invalid index: {key}: invalid index referenced")
    return int(key)


def _add(doc: Value, path: str, value: Value) -> Value:
    if not path:
        return value
    parent, key = _parent(doc, path, "add")
    if isinstance(parent, dict):
        parent[key] = value
        return doc
    at = len(parent) if key == "-" else _index(parent, key)
    if at > len(parent):
        raise MergeError(422, f"Unable to access invalid index: {key}: invalid index referenced")
    parent.insert(at, value)
    return doc


# ---- strategic merge ----------------------------------------------------------------------------


def strategic_merge(
    target: dict[str, Value], patch: dict[str, Value], struct_name: str
) -> dict[str, Value]:
    """The object after the patch; raises MergeError 400 for a directive that cannot be read."""
    result = _merge_struct(_copied(target), patch, structure(struct_name))
    return result if isinstance(result, dict) else {}


def _merge_struct(target: Value, patch: dict[str, Value], table: Struct | None) -> Value:
    directive = patch.get(_DIRECTIVE)
    if directive == "delete":
        return None
    if directive == "replace":
        return _clean({k: v for k, v in patch.items() if k != _DIRECTIVE})
    if directive not in (None, "merge"):
        raise MergeError(400, f"Unknown patch type found: {directive}")
    result = target if isinstance(target, dict) else {}
    retain = patch.get(_RETAIN)
    for key, value in patch.items():
        if key in (_DIRECTIVE, _RETAIN) or key.startswith(_ORDER):
            continue
        if key.startswith(_DELETE_PRIMITIVE):
            name = key[len(_DELETE_PRIMITIVE) :]
            if name in result:
                result[name] = [i for i in result[name] or [] if i not in (value or [])]
        elif value is None:
            result.pop(key, None)
        else:
            merged = _merge_field(result.get(key), value, table, key, patch.get(_ORDER + key))
            if merged is None:
                result.pop(key, None)
            else:
                result[key] = merged
    _order_only(result, patch, table)
    if retain is not None:
        for key in [k for k in result if k not in retain]:
            del result[key]
    return result


def _order_only(result: dict[str, Value], patch: dict[str, Value], table: Struct | None) -> None:
    """A patch may change nothing in a list but its order."""
    for key, order in patch.items():
        name = key[len(_ORDER) :]
        if key.startswith(_ORDER) and name not in patch and isinstance(result.get(name), list):
            f = table.fields.get(name) if table else None
            merge_key = f.patch_merge_key if f and f.is_struct else ""
            result[name] = _ordered(result[name], result[name], order, merge_key)


def _merge_field(
    current: Value, value: Value, table: Struct | None, name: str, order: Value
) -> Value:
    f = table.fields.get(name) if table else None
    if isinstance(value, list):
        if f is None or "merge" not in f.patch_strategies:
            return _clean(value)
        return _merge_list(current if isinstance(current, list) else [], value, f, order)
    if isinstance(value, dict):
        if f is not None and "replace" in f.patch_strategies:
            return _clean(value)
        if f is not None and f.is_map:
            return _merge_map(current, value, f)
        inner = structure(f.kind) if f is not None and f.is_struct else None
        return _merge_struct(current, value, inner)
    return value


def _merge_map(current: Value, patch: dict[str, Value], f: Field) -> Value:
    """labels, data, limits: a map of scalars, or of structs."""
    if not f.is_struct:
        return _merge_struct(current, patch, None)
    result = dict(current or {})
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merge_struct(result.get(key), value, structure(f.kind))
    return result


def _merge_list(current: list[Value], patch: list[Value], f: Field, order: Value) -> list[Value]:
    if not f.is_struct:
        result = current + [item for item in patch if item not in current]
        return _ordered(result, current, order, "")
    directives = [i.get(_DIRECTIVE) if isinstance(i, dict) else None for i in patch]
    if "replace" in directives:
        return [_clean(i) for i, directive in zip(patch, directives, strict=True) if not directive]
    merge_key = f.patch_merge_key
    result = list(current)
    for item in patch:
        if not isinstance(item, dict) or merge_key not in item:
            raise MergeError(400, f"map: {item} does not contain declared merge key: {merge_key}")
        _merge_item(result, item, f)
    return _ordered(result, current, order, merge_key)


def _merge_item(result: list[Value], item: dict[str, Value], f: Field) -> None:
    at = next((i for i, have in enumerate(result) if _same(have, item, f)), None)
    have = dict(result[at]) if at is not None else {}
    merged = _merge_struct(have, item, structure(f.kind))
    if merged is None:
        result[:] = [i for i in result if not _same(i, item, f)]
    elif at is None:
        result.append(merged)
    else:
        result[at] = merged


def _same(have: Value, item: dict[str, Value], f: Field) -> bool:
    return isinstance(have, dict) and have.get(f.patch_merge_key) == item[f.patch_merge_key]


def _ordered(items: list[Value], live: list[Value], order: Value, merge_key: str) -> list[Value]:
    """In the order that the client wants. What it does not name goes before the first named one
    that it preceded in the `live` list, and keeps its own order."""
    if not isinstance(order, list):
        return items

    def identity(item: Value) -> Value:
        found = item.get(merge_key) if merge_key and isinstance(item, dict) else item
        return orjson.dumps(found) if isinstance(found, (dict, list)) else found

    wanted = {identity(item): place for place, item in enumerate(order)}
    was = {identity(item): place for place, item in reversed(list(enumerate(live)))}
    named = [item for item in items if identity(item) in wanted]
    named.sort(key=lambda item: wanted[identity(item)])
    others = [item for item in items if identity(item) not in wanted]
    result: list[Value] = []
    while named and others:
        mine, theirs = was.get(identity(others[0])), was.get(identity(named[0]))
        is_before = mine is not None and theirs is not None and mine < theirs
        result.append(others.pop(0) if is_before else named.pop(0))
    return result + named + others


def _clean(value: Value) -> Value:
    """A patch's value as an object has it: without directives and nulls."""
    if isinstance(value, dict):
        return {k: _clean(v) for k, v in value.items() if v is not None and not k.startswith("$")}
    if isinstance(value, list):
        return [_clean(v) for v in value]
    return value
