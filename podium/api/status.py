"""The `Status` body: how the API says that something went wrong, in Kubernetes' words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from podium.api.scheme import Resource

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing wrong with an object. reason: FieldValueInvalid, FieldValueRequired, …;
    `message` without the field's name: 'Invalid value: -1: must be greater than or equal to 0'."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def status(code: int, reason: str, message: str, details: Body | None = None) -> Body:
    body: Body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                  "message": message, "reason": reason}  # fmt: skip
    if details:
        body["details"] = {k: v for k, v in details.items() if v}
    body["code"] = code
    return body


def success(resource: Resource, name: str, uid: str) -> Body:
    """What deleting most kinds answers with."""
    details = {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success",
            "details": {k: v for k, v in details.items() if v}}  # fmt: skip


def _about(resource: Resource, name: str) -> Body:
    return {"name": name, "group": resource.group, "kind": resource.plural}


def not_found(resource: Resource, name: str) -> Body:
    return status(404, "NotFound", f'{resource.key} "{name}" not found', _about(resource, name))


def page_not_found() -> Body:
    return status(404, "NotFound", "the server could not find the requested resource")


def already_exists(resource: Resource, name: str) -> Body:
    return status(
        409, "AlreadyExists", f'{resource.key} "{name}" already exists', _about(resource, name)
    )


MODIFIED = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


def conflict(resource: Resource, name: str, why: str = MODIFIED) -> Body:
    message = f'Operation cannot be fulfilled on {resource.key} "{name}": {why}'
    return status(409, "Conflict", message, _about(resource, name))


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> Body:
    """422 with every cause."""
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    listed = str(causes[0]) if len(causes) == 1 else f"[{', '.join(map(str, causes))}]"
    details = {
        "name": name,
        "group": resource.group,
        "kind": resource.kind,
        "causes": [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes],
    }
    return status(422, "Invalid", f'{kind} "{name}" is invalid: {listed}', details)


def bad_request(message: str) -> Body:
    return status(400, "BadRequest", message)


def unauthorized() -> Body:
    return status(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource | None, name: str, why: str) -> Body:
    if resource is None:
        return status(403, "Forbidden", f"forbidden: {why}")
    about = f'{resource.key} "{name}" is forbidden: ' if name else f"{resource.key} is forbidden: "
    return status(403, "Forbidden", about + why, _about(resource, name))


def method_not_allowed(resource: Resource | None) -> Body:
    message = "the server does not allow this method on the requested resource"
    about = {"group": resource.group, "kind": resource.plural} if resource else None
    return status(405, "MethodNotAllowed", message, about)


def not_acceptable(accepted: str) -> Body:
    return status(406, "NotAcceptable", f"only the following media types are accepted: {accepted}")


def unsupported_media_type(accepted: str) -> Body:
    return status(
        415,
        "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: "
        + accepted,
    )


def too_large(limit: int) -> Body:
    return status(413, "RequestEntityTooLarge", f"Request entity too large: limit is {limit}")


def expired(message: str) -> Body:
    return status(410, "Expired", message)


def too_large_resource_version(wanted: int, current: int) -> Body:
    """504: a client asked for a revision that is not there yet."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return status(504, "Timeout", message, details)


def internal_error(message: str) -> Body:
    details = {"causes": [{"message": message}]}
    return status(500, "InternalError", f"Internal error occurred: {message}", details)


def unavailable(message: str) -> Body:
    return status(503, "ServiceUnavailable", message, {"retryAfterSeconds": 1})
