"""Request bodies: what a client sent, as an object. Room apiserver; called by verbs.py.

JSON, YAML and protobuf are read; the size is bounded before anything is. Each problem of an object is
an error, or a warning, as `fieldValidation` says.
"""

from __future__ import annotations

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
    return text.split(";")[0].strip().lower() or JSON


def read_object(call: Call, struct_name: str, what: str) -> Object:
    """The body as an object of `struct_name`, checked as `fieldValidation` asks. `what` names it in
    errors: "Pod"."""
    raw = read(call.environ)
    return decode(call, raw, media_type(call.environ), struct_name, what)


def decode(call: Call, raw: bytes, kind: str, struct_name: str, what: str) -> Object:
    """`read_object` for a body at hand."""
    validation = field_validation(call)
    obj, duplicates = _parse(raw, kind, struct_name, what, validation)
    check(call, obj, struct_name, what, validation, duplicates)
    return obj


def _parse(
    raw: bytes, kind: str, struct_name: str, what: str, validation: str
) -> tuple[Object, list[strict.Problem]]:
    duplicates: list[strict.Problem] = []
    if kind == JSON:
        is_asked = validation in ("Strict", "Warn!")
        parsed, duplicates = parse_json(raw, what, is_asked)
    elif kind in (YAML, "application/x-yaml", "text/yaml"):
        parsed = parse_yaml(raw, what)
    elif kind == PROTOBUF:
        parsed = _parse_protobuf(raw, struct_name)
    else:
        raise ApiError(status.unsupported_media_type(READ_TYPES))
    if not isinstance(parsed, dict):
        raise ApiError(status.bad_request(f"the object provided is unrecognized (must be of type {what}): "
                                          "it is not a JSON object"))  # fmt: skip
    return parsed, duplicates


def parse_json(raw: bytes, what: str, is_strict: bool = False) -> tuple[Any, list[strict.Problem]]:
    """JSON with its duplicate keys if `is_strict`; ApiError 400 with line and column."""
    try:
        parsed = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            status.bad_request(
                f"the object provided is unrecognized (must be of type {what}): couldn't get "
                f"version/kind; json parse error: {error}"
            )
        ) from None
    if is_strict:
        return strict.decode_json_strict(raw)
    return parsed, []


def parse_yaml(raw: bytes, what: str) -> Any:
    """One YAML document; ApiError 400 with line and column."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(raw, Loader=loader)
    except yaml.YAMLError as error:
        raise ApiError(
            status.bad_request(
                f"the object provided is unrecognized (must be of type {what}): yaml parse error: {error}"
            )
        ) from None


def _parse_protobuf(raw: bytes, struct_name: str) -> Object:
    from podium.api import protobuf

    try:
        return protobuf.decode(raw, struct_name)
    except protobuf.ProtobufError as error:
        raise ApiError(status.bad_request(f"protobuf parse error: {error}")) from None


def field_validation(call: Call) -> str:
    """ "Strict", "Ignore", "Warn", or "Warn!" when the client said Warn itself (then duplicate keys,
    which cost a second parse to find, are looked for as well)."""
    value = call.query.get("fieldValidation", "")
    if value not in ("", "Strict", "Warn", "Ignore"):
        raise ApiError(
            status.bad_request(
                f'fieldValidation: Unsupported value: "{value}": supported values: "Ignore", "Strict", "Warn"'
            )
        )
    return "Warn!" if value == "Warn" else value or "Warn"


def check(
    call: Call,
    obj: Object,
    struct_name: str,
    what: str,
    validation: str,
    duplicates: list[strict.Problem],
) -> None:
    """Wrong types are errors; unknown and duplicate fields are errors, warnings or nothing."""
    problems = duplicates + strict.find_problems(obj, struct_name)
    if not problems:
        return
    prefix = f'{what} in version "{obj.get("apiVersion") or call.resource.api_version}" cannot be handled as a {what}: '
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
                else f'{said[1]} in version "{said[0]}" cannot be handled as a {resource.kind}: no kind '
                f'"{said[1]}" is served here ({group_version_kind})'
            )
        )
    obj["apiVersion"], obj["kind"] = said
