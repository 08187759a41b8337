"""Strict decoding: is this body what its kind's schema says? Runs in the API server on each write.

The walk finds every problem, not just the first, in the words of Kubernetes' decoder; it drops what
the schema does not know (fields, and nulls, which mean "not set").
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from podium.api import quantity
from podium.api.schema import Field, Struct, structure

_INT_RANGE = {"int32": 1 << 31, "int64": 1 << 63, "uint8": 1 << 8, "byte": 1 << 8}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")

Path = tuple["Path", str] | None


@dataclass(frozen=True, slots=True)
class Problem:
    """kind "unknown" or "duplicate" is a warning unless the client asked for Strict; "type" never
    is."""

    path: str
    kind: Literal["unknown", "duplicate", "type"]
    message: str


def find_problems(obj: dict[str, Any], struct_name: str) -> list[Problem]:
    """Every problem of an object; unknown fields and nulls are removed from `obj` on the way."""
    problems: list[Problem] = []
    envelope = {key: obj.pop(key) for key in ("apiVersion", "kind") if key in obj}
    _walk_struct(obj, structure(struct_name), None, problems)
    body = dict(obj)
    obj.clear()
    obj.update(envelope | body)
    return problems


def _text(path: Path) -> str:
    """ "spec.containers[0].image" of a chain of segments."""
    parts: list[str] = []
    while path is not None:
        path, segment = path
        parts.append(segment)
    return "".join(reversed(parts)).lstrip(".")


def _walk_struct(obj: dict[str, Any], struct: Struct, path: Path, problems: list[Problem]) -> None:
    fields = struct.fields
    for name in list(obj):
        value = obj[name]
        found = fields.get(name)
        if found is None:
            at = _text((path, f".{name}"))
            problems.append(Problem(at, "unknown", f'unknown field "{at}"'))
            del obj[name]
        elif value is None:
            del obj[name]
        else:
            _walk_field(obj, name, value, found, struct, (path, f".{name}"), problems)


def _walk_field(
    holder: dict[str, Any], name: str, value: Any, f: Field, struct: Struct, path: Path, problems: list[Problem]
) -> None:
    if f.is_list:
        if not isinstance(value, list):
            _wrong(value, f, struct, path, problems)
            return
        for index, item in enumerate(value):
            _walk_item(value, index, item, f, struct, (path, f"[{index}]"), problems)
    elif f.is_map:
        if not isinstance(value, dict):
            _wrong(value, f, struct, path, problems)
            return
        for key, item in value.items():
            _walk_item(value, key, item, f, struct, (path, f".{key}"), problems)
    else:
        _walk_item(holder, name, value, f, struct, path, problems)


def _walk_item(
    holder: Any, key: Any, value: Any, f: Field, struct: Struct, path: Path, problems: list[Problem]
) -> None:
    if f.is_struct:
        if isinstance(value, dict):
            _walk_struct(value, structure(f.kind), path, problems)
        elif value is None and not isinstance(holder, list):
            holder[key] = {}
        else:
            _wrong(value, f, struct, path, problems)
        return
    message = _scalar_problem(value, f.kind, holder, key)
    if message is True:
        _wrong(value, f, struct, path, problems)
    elif message:
        problems.append(Problem(_text(path), "type", str(message)))


def _scalar_problem(value: Any, kind: str, holder: Any, key: Any) -> bool | str:
    """False when it fits, True for a plain mismatch, or a message."""
    match kind:
        case "string":
            if value is None and isinstance(holder, dict):
                holder[key] = ""
                return False
            return not isinstance(value, str)
        case "bool":
            return not isinstance(value, bool)
        case "int32" | "int64" | "uint8" | "byte":
            if isinstance(value, float) and value.is_integer():
                holder[key] = value = int(value)
            if isinstance(value, bool) or not isinstance(value, int):
                return True
            return not -_INT_RANGE[kind] <= value < _INT_RANGE[kind]
        case "double":
            return isinstance(value, bool) or not isinstance(value, (int, float))
        case "IntOrString":
            return isinstance(value, bool) or not isinstance(value, (int, str))
        case "Quantity":
            return _quantity_problem(value, holder, key)
        case "Time" | "MicroTime":
            if not isinstance(value, str):
                return True
            return "" if _TIME.fullmatch(value) else f'parsing time "{value}" as "2006-01-02T15:04:05Z07:00": cannot parse'
        case "bytes":
            return _bytes_problem(value)
    return False  # any, RawExtension, FieldsV1


def _quantity_problem(value: Any, holder: Any, key: Any) -> bool | str:
    try:
        holder[key] = quantity.canonical(value)
    except quantity.QuantityError as failure:
        return str(failure)
    return False


def _bytes_problem(value: Any) -> bool | str:
    if not isinstance(value, str):
        return True
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        return "illegal base64 data at input byte 0"
    return False


_GO_NAMES = {"double": "float64", "bytes": "[]byte", "Quantity": "resource.Quantity"}


def _wrong(value: Any, f: Field, struct: Struct, path: Path, problems: list[Problem]) -> None:
    """A mismatch in the words of Go's json package."""
    found = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}
    go = _GO_NAMES.get(f.kind, f"v1.{f.kind}" if f.is_struct else f.kind)
    at = _text(path)
    element = at.endswith("]")
    wanted = f"[]{go}" if f.is_list and not element else f"map[string]{go}" if f.is_map else go
    got = found.get(type(value), "null")
    if got == "number" and wanted.startswith("int"):
        got = f"number {value}"
    problems.append(
        Problem(at, "type", f"json: cannot unmarshal {got} into Go struct field {struct.name}.{at} of type {wanted}")
    )


# ---- JSON with positions ------------------------------------------------------------------------


def decode_json_strict(body: bytes) -> tuple[Any, list[Problem]]:
    """The value and the duplicate keys in it; raises ValueError with the decoder's message."""
    duplicates: list[Problem] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        obj: dict[str, Any] = {}
        for key, value in items:
            if key in obj:
                duplicates.append(Problem(key, "duplicate", f'duplicate field "{key}"'))
            obj[key] = value
        return obj

    return json.loads(body, object_pairs_hook=pairs), duplicates

