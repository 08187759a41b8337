"""Strict decoding: is this body what its kind's schema says? Runs in the API server on each write.

The walk finds every problem, not just the first, in the words of Kubernetes' decoder; it drops what
the schema does not know (fields, and nulls, which mean "not set") and puts quantities into their
canonical form. Each struct of the schema is compiled once, when first met, into a table of rules,
so that a walk costs little more than looking at every field.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from podium.api import quantity
from podium.api.schema import Field, Struct, structure


@dataclass(frozen=True, slots=True)
class Problem:
    """kind "unknown" or "duplicate" is a warning unless the client asked for Strict; "type" never
    is."""

    path: str
    kind: Literal["unknown", "duplicate", "type"]
    message: str


Problems = list[Problem]
# (what it is in, ".name" or an index in a list); made into text only when there is a problem.
Path = tuple["Path", str | int] | None

# A rule looks at holder[key], whose value is given, and may put a better one in its place.
Rule = Callable[[Any, Any, Any, Path, Problems], None]
Walk = Callable[[dict[str, Any], Path, Problems], None]


def find_problems(obj: dict[str, Any], struct_name: str) -> Problems:
    """Every problem of an object; unknown fields and nulls are removed from `obj` on the way."""
    problems: Problems = []
    envelope = {key: obj.pop(key) for key in list(obj) if key in ("apiVersion", "kind")}
    _walk_of(struct_name)(obj, None, problems)
    if envelope:
        body = dict(obj)
        obj.clear()
        obj.update(envelope)
        obj.update(body)
    return problems


def _text(path: Path) -> str:
    """ "spec.containers[0].image" of a chain of segments."""
    parts: list[str] = []
    while path is not None:
        path, segment = path
        parts.append(f"[{segment}]" if isinstance(segment, int) else segment)
    return "".join(reversed(parts)).lstrip(".")


# ---- structs ------------------------------------------------------------------------------------

_walks: dict[str, Walk] = {}

_IMMEDIATE: dict[str, type] = {"string": str, "bool": bool}


class _Nothing:
    """The type of no value: for fields whose rule must always look."""


def _walk_of(struct_name: str) -> Walk:
    walk = _walks.get(struct_name)
    if walk is None:
        walk = _walks[struct_name] = _compile(structure(struct_name))
    return walk


def _compile(struct: Struct) -> Walk:
    """A function that walks a dict of this struct."""
    rules: dict[str, tuple[type, Rule, str]] = {}
    for name, field in struct.fields.items():
        is_plain = not (field.is_list or field.is_map)
        fits = _IMMEDIATE.get(field.kind, _Nothing) if is_plain else _Nothing
        rules[name] = (fits, _field_rule(field, struct), f".{name}")
    find = rules.get

    def walk(obj: dict[str, Any], path: Path, problems: Problems) -> None:
        dropped: list[str] = []
        for name, value in obj.items():
            found = find(name)
            if found is None:
                at = _text((path, f".{name}"))
                problems.append(Problem(at, "unknown", f'unknown field "{at}"'))
                dropped.append(name)
                continue
            fits, rule, segment = found
            if type(value) is fits:
                continue
            if value is None:
                dropped.append(name)
            else:
                rule(value, obj, name, (path, segment), problems)
        for name in dropped:
            del obj[name]

    return walk


def _field_rule(field: Field, struct: Struct) -> Rule:
    item = _item_rule(field, struct)
    if field.is_list:
        return _list_rule(item, field, struct)
    if field.is_map:
        return _map_rule(item, field, struct)
    return item


def _list_rule(item: Rule, field: Field, struct: Struct) -> Rule:
    fits = _IMMEDIATE.get(field.kind, _Nothing)

    def rule(value: Any, _holder: Any, _key: Any, path: Path, problems: Problems) -> None:
        if type(value) is not list:
            problems.append(_mismatch(value, field, struct, path))
            return
        for index, found in enumerate(value):
            if type(found) is not fits:
                item(found, value, index, (path, index), problems)

    return rule


def _map_rule(item: Rule, field: Field, struct: Struct) -> Rule:
    fits = _IMMEDIATE.get(field.kind, _Nothing)

    def rule(value: Any, _holder: Any, _key: Any, path: Path, problems: Problems) -> None:
        if type(value) is not dict:
            problems.append(_mismatch(value, field, struct, path))
            return
        for name, found in value.items():
            if type(found) is not fits:
                item(found, value, name, (path, f".{name}"), problems)

    return rule


def _item_rule(field: Field, struct: Struct) -> Rule:
    """The rule for one value: a field that is no list or map, or an element of one that is."""
    if field.kind in ("any", "RawExtension", "FieldsV1"):
        return _anything
    if field.is_struct:
        return _struct_rule(field, struct)
    check = _SCALARS[field.kind]

    def rule(value: Any, holder: Any, key: Any, path: Path, problems: Problems) -> None:
        if value is None:  # in a list or a map null stands for the zero value
            holder[key] = _ZERO.get(field.kind, "")
            return
        found = check(value)
        if isinstance(found, _Better):
            holder[key] = found.value
        elif found is _MISMATCH:
            problems.append(_mismatch(value, field, struct, path))
        elif found:
            problems.append(Problem(_text(path), "type", found))

    return rule


def _anything(value: Any, holder: Any, key: Any, path: Path, problems: Problems) -> None:
    """No schema below here."""


def _struct_rule(field: Field, struct: Struct) -> Rule:
    name = field.kind
    walk: Walk | None = None  # found at first use: structs refer to each other

    def rule(value: Any, holder: Any, key: Any, path: Path, problems: Problems) -> None:
        nonlocal walk
        if type(value) is dict:
            walk = walk or _walk_of(name)
            walk(value, path, problems)
        elif value is None:
            holder[key] = {}
        else:
            problems.append(_mismatch(value, field, struct, path))

    return rule


# ---- scalars ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Better:
    """Put this value in place of what was sent."""

    value: Any


_MISMATCH = "?"  # of another JSON type
_FITS = ""
_Found = str | _Better  # _FITS, _MISMATCH, a better value, or a message of its own

_ZERO: dict[str, Any] = {"bool": False, "int32": 0, "int64": 0, "double": 0, "IntOrString": 0}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_TIME_WORDS = 'parsing time "{0}" as "2006-01-02T15:04:05Z07:00": cannot parse "{0}" as "2006"'
_NOT_BASE64 = re.compile(r"[^A-Za-z0-9+/]")


def _text_only(value: Any) -> _Found:
    return _FITS if isinstance(value, str) else _MISMATCH


def _bool_only(value: Any) -> _Found:
    return _FITS if isinstance(value, bool) else _MISMATCH


def _integer(bits: int) -> Callable[[Any], _Found]:
    bound = 1 << (bits - 1)

    def check(value: Any) -> _Found:
        if type(value) is int:
            return _FITS if -bound <= value < bound else _MISMATCH
        if isinstance(value, float) and value.is_integer() and -bound <= value < bound:
            return _Better(int(value))
        return _MISMATCH

    return check


def _double(value: Any) -> _Found:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return _MISMATCH
    return _FITS if math.isfinite(value) else _MISMATCH


def _int_or_string(value: Any) -> _Found:
    return _FITS if isinstance(value, str) else _integer(32)(value)


def _quantity(value: Any) -> _Found:
    try:
        canonical = quantity.canonical(value)
    except quantity.QuantityError as failure:
        return str(failure)
    return _FITS if canonical == value else _Better(canonical)


def _time(value: Any) -> _Found:
    if not isinstance(value, str):
        return _MISMATCH
    return _FITS if _TIME.fullmatch(value) else _TIME_WORDS.format(value)


def _bytes(value: Any) -> _Found:
    if not isinstance(value, str):
        return _MISMATCH
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        wrong = _NOT_BASE64.search(value.rstrip("="))
        at = wrong.start() if wrong else len(value) - len(value) % 4
        return f"illegal base64 data at input byte {at}"
    return _FITS


def _string_list(value: Any) -> _Found:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return _FITS
    return _MISMATCH


_SCALARS: dict[str, Callable[[Any], _Found]] = {
    "string": _text_only,
    "bool": _bool_only,
    "int32": _integer(32),
    "int64": _integer(64),
    "uint8": _integer(9),
    "byte": _integer(9),
    "double": _double,
    "IntOrString": _int_or_string,
    "Quantity": _quantity,
    "Time": _time,
    "MicroTime": _time,
    "bytes": _bytes,
    "StringList": _string_list,
}

_GO_TYPES = {
    "double": "float64",
    "bytes": "[]uint8",
    "Quantity": "resource.Quantity",
    "IntOrString": "intstr.IntOrString",
    "Time": "v1.Time",
    "MicroTime": "v1.MicroTime",
    "StringList": "[]string",
}
_JSON_TYPES = {
    str: "string",
    bool: "bool",
    int: "number",
    float: "number",
    list: "array",
    dict: "object",
}
_INDEX = re.compile(r"\[\d+\]")


def _mismatch(value: Any, field: Field, struct: Struct, path: Path) -> Problem:
    """A value of the wrong type, in the words of Go's json package."""
    at = _text(path)
    kind = field.kind.rpartition(".")[2]
    wanted = f"v1.{kind}" if field.is_struct else _GO_TYPES.get(kind, kind)
    if field.is_list and not at.endswith("]"):
        wanted = f"[]{wanted}"
    elif field.is_map and at.endswith(f".{field.name}"):
        wanted = f"map[string]{wanted}"
    got = _JSON_TYPES.get(type(value), "null")
    if got == "number" and wanted.startswith("int"):
        got = f"number {value}"
    where = f"{struct.name.rpartition('.')[2]}.{_INDEX.sub('', at)}"
    return Problem(
        at, "type", f"json: cannot unmarshal {got} into Go struct field {where} of type {wanted}"
    )


# ---- JSON ---------------------------------------------------------------------------------------

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def decode_json_strict(body: bytes) -> tuple[Any, Problems]:
    """The value and the keys that are twice in one object (the last one counts); raises ValueError
    with a reason when it is not JSON."""
    twice: dict[int, list[str]] = {}

    def as_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        obj = dict(pairs)
        if len(obj) != len(pairs):
            keys = [key for key, _ in pairs]
            twice[id(obj)] = sorted({key for key in keys if keys.count(key) > 1})
        return obj

    try:
        value = json.loads(
            body.decode(), object_pairs_hook=as_object, parse_constant=_no_such_constant
        )
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    if _SURROGATE.search(body):
        value = _without_lone_surrogates(value)
    problems: Problems = []
    if twice:
        _locate(value, None, twice, problems)
    return value, problems


def _no_such_constant(name: str) -> NoReturn:
    raise ValueError(f"invalid character '{name[0]}' looking for beginning of value")


def _locate(value: Any, path: Path, twice: dict[int, list[str]], problems: Problems) -> None:
    """Find where the objects with doubled keys are."""
    if isinstance(value, dict):
        for key in twice.get(id(value), ()):
            at = _text((path, f".{key}"))
            problems.append(Problem(at, "duplicate", f'duplicate field "{at}"'))
        for key, inner in value.items():
            _locate(inner, (path, f".{key}"), twice, problems)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _locate(inner, (path, index), twice, problems)


def _without_lone_surrogates(value: Any) -> Any:
    """Half a character cannot be written back: U+FFFD in its place, as in Go. In place."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        value[:] = [_without_lone_surrogates(v) for v in value]
    elif isinstance(value, dict):
        fixed = {_without_lone_surrogates(k): _without_lone_surrogates(v) for k, v in value.items()}
        value.clear()
        value.update(fixed)
    return value
