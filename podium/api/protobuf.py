"""Protobuf request bodies, decoded by the schema table. Runs in the API server.

kubectl's typed commands (`create deployment`, `create configmap`, …) send these and accept JSON
back. A body is `k8s\\0` and a message Unknown {1: TypeMeta {1: apiVersion, 2: kind}, 2: raw}.
Source: apimachinery `runtime/serializer/protobuf`; wire format: protobuf.dev "Encoding".
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from podium.api.schema import Field, struct_name, structure

MAGIC = b"k8s\x00"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_MAX_DEPTH = 64

_INTEGERS = frozenset({"int32", "int64", "uint8", "byte"})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ProtobufError(ValueError):
    """A body that is not what the table says."""


def decode(body: bytes, type_name: str | None = None) -> dict[str, Any]:
    """The object in wire JSON form; raises ProtobufError. `type_name` overrides the type that the
    body says it is of."""
    try:
        return _decode(body, type_name)
    except ProtobufError:
        raise
    except (ValueError, OverflowError, OSError, struct.error, TypeError) as failure:
        raise ProtobufError(str(failure)) from None


def _decode(body: bytes, type_name: str | None) -> dict[str, Any]:
    if not body.startswith(MAGIC):
        raise ProtobufError(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    api_version, kind, raw = "", "", b""
    for number, value in _fields(memoryview(body)[4:]):
        if number == 1 and not isinstance(value, int):
            names = {n: bytes(v).decode() for n, v in _fields(value) if not isinstance(v, int)}
            api_version, kind = names.get(1, ""), names.get(2, "")
        elif number == 2 and not isinstance(value, int):
            raw = bytes(value)
    try:
        name = type_name or struct_name(api_version, kind)
    except KeyError:
        raise ProtobufError(f'no kind "{kind}" is registered for version "{api_version}"') from None
    return {"kind": kind, "apiVersion": api_version, **_message(memoryview(raw), name, 0)}


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ProtobufError("unexpected EOF")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return result, at
        shift += 7


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(number, varint or bytes) of each field in order."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise ProtobufError(f"illegal wireType {wire}")
        if at + length > len(data):
            raise ProtobufError("unexpected EOF")
        yield number, data[at : at + length]
        at += length


@cache
def _by_number(name: str) -> dict[int, Field]:
    """A struct's fields as protobuf names them: inline structs are messages of their own."""
    return {field.number: field for field in structure(name).declared}


def _message(data: memoryview, name: str, depth: int) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise ProtobufError("the message is nested too deeply")
    by_number = _by_number(name)
    obj: dict[str, Any] = {}
    for number, raw in _fields(data):
        f = by_number.get(number)
        if f is None:
            continue  # a newer client's field: as Kubernetes' own decoder does
        if f.is_inline:
            obj.update(_message(_as_bytes(raw), f.kind, depth + 1))
        elif f.is_map:
            key, value = _map_entry(_as_bytes(raw), f, depth)
            obj.setdefault(f.name, {})[key] = value
        elif f.is_list:
            obj.setdefault(f.name, []).append(_value(raw, f, depth))
        else:
            value = _value(raw, f, depth)
            if _is_said(value, f):
                obj[f.name] = value
    return obj


def _is_said(value: Any, f: Field) -> bool:
    """Go writes every field that is no pointer, zero or not; JSON's omitempty leaves zeros out."""
    if f.is_pointer or f.is_always:
        return value is not None
    return value not in (None, "", 0, False, {}, [])


def _as_bytes(raw: int | memoryview) -> memoryview:
    if isinstance(raw, int):
        raise ProtobufError("wrong wireType = 0")
    return raw


def _map_entry(data: memoryview, f: Field, depth: int) -> tuple[str, Any]:
    key, value = "", _empty(f)
    for number, raw in _fields(data):
        if number == 1:
            key = bytes(_as_bytes(raw)).decode()
        elif number == 2:
            value = _value(raw, f, depth)
    return key, value


def _empty(f: Field) -> Any:
    return {} if f.is_struct else "" if f.kind in ("string", "bytes") else 0


def _value(raw: int | memoryview, f: Field, depth: int) -> Any:
    kind = f.kind
    if isinstance(raw, int):
        if kind == "bool":
            return bool(raw)
        if kind not in _INTEGERS:
            raise ProtobufError(f"wrong wireType = 0 for field {f.name}")
        return raw - (1 << 64) if raw >= 1 << 63 else raw
    match kind:
        case "string":
            return bytes(raw).decode()
        case "bytes":
            return base64.b64encode(raw).decode()
        case "double":
            return struct.unpack("<d", raw)[0]
        case "Quantity":
            return next((bytes(_as_bytes(v)).decode() for n, v in _fields(raw) if n == 1), "0")
        case "IntOrString":
            return _int_or_string(raw)
        case "Time" | "MicroTime":
            return _time(raw, kind)
        case "StringList":
            return [bytes(_as_bytes(v)).decode() for n, v in _fields(raw) if n == 1]
        case "RawExtension" | "FieldsV1":
            return _raw(raw)
    if not f.is_struct:
        raise ProtobufError(f"wrong wireType = 2 for field {f.name}")
    return _message(raw, kind, depth + 1)


def _int_or_string(raw: memoryview) -> int | str:
    parts = dict(_fields(raw))
    if parts.get(1, 0) == 1:
        return bytes(_as_bytes(parts.get(3, memoryview(b"")))).decode()
    number = parts.get(2, 0)
    if not isinstance(number, int):
        raise ProtobufError("wrong wireType for field IntVal")
    return number - (1 << 64) if number >= 1 << 63 else number


def _time(raw: memoryview, kind: str) -> str | None:
    parts = dict(_fields(raw))
    seconds, nanos = parts.get(1), parts.get(2, 0)
    if not isinstance(seconds, int) or not isinstance(nanos, int):
        return None
    if seconds >= 1 << 63:
        return None  # Go's zero time: not set
    moment = datetime.fromtimestamp(seconds, UTC)
    if kind == "MicroTime":
        return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos // 1000:06d}Z"
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _raw(raw: memoryview) -> Any:
    text = next((bytes(_as_bytes(v)) for n, v in _fields(raw) if n == 1), b"null")
    return json.loads(text or b"null")
