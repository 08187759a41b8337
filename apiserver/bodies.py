"""Request bodies: what a client sent, as an object. Room apiserver; called by verbs.py.

JSON, YAML and protobuf are read; the size is bounded before anything is. Each problem of an
object is an error, or a warning, as `fieldValidation` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from apiserver.errors import ApiError
from apiserver.http_server import Body, BodyTooLarge
from apiserver.request_info import Call
from podium.api import status, strict
from podium.api.scheme import Resource

Object = dict[str, Any]

LIMIT_BYTES = 3 << 20  # as Kubernetes: 3 MiB
JSON, YAML = "application/json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
READ_TYPES = f"{JSON}, {YAML}, {PROTOBUF}"


def read(environ: dict[str, Any], limit: int = LIMIT_BYTES) -> bytes:
    """The whole body; ApiError 413 before it is read when it is too long."""
    body: Body = environ["wsgi.input"]
    try:
        return body.read_all(limit)
    except BodyTooLarge:
        raise ApiError(status.too_large(limit), [("Connection", "close")]) from None


def media_type(environ: dict[str, Any]) -> str:
    """The Content-Type without parameters; no header means JSON, as in Kubernetes."""
    text: str = environ.get("CONTENT_TYPE", "")
    return text.split(";", maxsplit=1)[0].strip().lower() or JSON


def read_object(call: Call, kind: str) -> Object:
    """The body as an object of that kind ("Pod"), checked as `fieldValidation` asks."""
    return decode(call, read(call.environ), media_type(call.environ), kind)


def decode(call: Call, raw: bytes, content_type: str, kind: str) -> Object:
    """`read_object` for a body at hand."""
    validation = field_validation(call)
    obj, duplicates = _parse(raw, content_type, kind, validation)
    check(call, obj, kind, validation=validation, duplicates=duplicates)
    return obj


def _parse(
    raw: bytes, content_type: str, kind: str, validation: str
) -> tuple[Object, list[strict.Problem]]:
    duplicates: list[strict.Problem] = []
    if content_type == JSON:
        parsed, duplicates = parse_json(raw, kind, validation in ("Strict", "Warn!"))
    elif content_type in (YAML, "application/x-yaml", "text/yaml"):
        parsed = parse_yaml(raw, kind)
    elif content_type == PROTOBUF:
        parsed = _parse_protobuf(raw, kind)
    else:
        raise ApiError(status.unsupported_media_type(READ_TYPES))
    if not isinstance(parsed, dict):
        raise _unrecognized(kind, "it is not a JSON object")
    return parsed, duplicates


def _unrecognized(kind: str, why: str) -> ApiError:
    return ApiError(
        status.bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}")
    )


def parse_json(raw: bytes, kind: str, is_strict: bool = False) -> tuple[Any, list[strict.Problem]]:
    """JSON with its duplicate keys if `is_strict`; ApiError 400 with line and column."""
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        why = f"couldn't get version/kind; json parse error: {error}"
        raise _unrecognized(kind, why) from None
    if is_strict:
        return strict.decode_json_strict(raw)
    return parsed, []


def parse_yaml(raw: bytes, kind: str) -> Any:
    """One YAML document; ApiError 400 with line and column."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(raw, Loader=loader)
    except yaml.YAMLError as error:
        raise _unrecognized(kind, f"yaml parse error: {error}") from None


def _parse_protobuf(raw: bytes, struct_name: str) -> Object:
    from podium.api import protobuf

    try:
        return protobuf.decode(raw, struct_name)
    except protobuf.ProtobufError as error:
        raise ApiError(status.bad_request(f"protobuf parse error: {error}")) from None


def field_validation(call: Call) -> str:
    """ "Strict", "Ignore", "Warn", or "Warn!" when the client said Warn itself (then duplicate
    keys, which cost a second parse to find, are looked for as well)."""
    value = call.query.get("fieldValidation", "")
    if value not in ("", "Strict", "Warn", "Ignore"):
        raise ApiError(
            status.bad_request(
                f'fieldValidation: Unsupported value: "{value}": supported values: "Ignore", '
                f'"Strict", "Warn"'
            )
        )
    return "Warn!" if value == "Warn" else value or "Warn"


def check(
    call: Call,
    obj: Object,
    kind: str,
    *,
    validation: str,
    duplicates: Sequence[strict.Problem] = (),
) -> None:
    """Wrong types are errors; unknown and duplicate fields are errors, warnings or nothing."""
    problems = [*duplicates, *strict.find_problems(obj, kind)]
    if not problems:
        return
    version = obj.get("apiVersion") or call.resource.api_version
    prefix = f'{kind} in version "{version}" cannot be handled as a {kind}: '
    wrong = [p.message for p in problems if p.kind not in ("unknown", "duplicate")]
    if wrong:
        raise ApiError(status.bad_request(prefix + "; ".join(wrong)))
    if validation == "Strict":
        listed = ", ".join(p.message for p in problems)
        raise ApiError(status.bad_request(f"{prefix}strict decoding error: {listed}"))
    if validation != "Ignore":
        call.warnings.extend(p.message for p in problems)


def check_type(obj: Object, resource: Resource) -> None:
    """The body's own apiVersion and kind, filled in when missing; ApiError 400 when others."""
    said = (obj.get("apiVersion") or resource.api_version, obj.get("kind") or resource.kind)
    if said != (resource.api_version, resource.kind):
        group_version_kind = f"{said[0]}, Kind={said[1]}"
        raise ApiError(
            status.bad_request(
                f"the API version in the data ({said[0]}) does not match the expected API version "
                f"({resource.api_version})"
                if said[0] != resource.api_version
                else f'{said[1]} in version "{said[0]}" cannot be handled as a {resource.kind}: '
                f"no kind "
                f'"{said[1]}" is served here ({group_version_kind})'
            )
        )
    obj["apiVersion"], obj["kind"] = said
