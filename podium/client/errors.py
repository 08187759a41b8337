"""Room podium/client: everything that can go wrong when speaking to the API server.

ClientError
├── Unreachable            no answer: refused, reset, timed out, TLS failed; a retry may help
└── ApiError               an answer, with Kubernetes' Status
    ├── BadRequest         400
    ├── Unauthorized       401
    ├── Forbidden          403
    ├── NotFound           404
    ├── AlreadyExists      409 reason AlreadyExists
    ├── Conflict           409: read again, then retry
    ├── Gone               410: the resourceVersion or continue token is too old; list again
    ├── Invalid            422
    ├── TooManyRequests    429: retry after `retry_after_s`
    └── ServerError        5xx
"""

from __future__ import annotations

from typing import Any

import orjson


class ClientError(Exception):
    """The root of this family."""


class Unreachable(ClientError):
    """The server gave no answer. Whether it acted on the request is not known."""


class ApiError(ClientError):
    """The server answered with an error; `str()` is its message."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: dict[str, Any] | None = None,
        body: bytes = b"",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}
        self.body = body
        self.retry_after_s = retry_after_s


class BadRequest(ApiError):
    """400."""


class Unauthorized(ApiError):
    """401."""


class Forbidden(ApiError):
    """403."""


class NotFound(ApiError):
    """404."""


class AlreadyExists(ApiError):
    """409 on a create."""


class Conflict(ApiError):
    """409: the object has changed since it was read, or a precondition failed."""


class Gone(ApiError):
    """410: what was asked for has been compacted away."""


class Invalid(ApiError):
    """422: `details["causes"]` names every field."""


class TooManyRequests(ApiError):
    """429."""


class ServerError(ApiError):
    """5xx."""


_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}


def from_status(status: dict[str, Any], code: int, body: bytes = b"") -> ApiError:
    """The error for a Status object; `code` is used if it does not say one."""
    code = status.get("code") or code
    reason = status.get("reason") or ""
    details = status.get("details") or {}
    kind = _BY_CODE.get(code, ServerError if code >= 500 else ApiError)
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    message = status.get("message") or f"the server answered {code}"
    after_s = details.get("retryAfterSeconds")
    return kind(code, reason, message, details=details, body=body, retry_after_s=after_s)


def from_response(code: int, headers: dict[str, str], body: bytes) -> ApiError:
    """The error for an HTTP answer of 400 or more, whether or not its body is a Status."""
    try:
        status = orjson.loads(body)
    except orjson.JSONDecodeError:
        status = None
    if not isinstance(status, dict):
        text = body[:500].decode("utf-8", "replace").strip()
        status = {"message": text or f"the server answered {code} without a body"}
    error = from_status(status, code, body)
    retry_after = headers.get("retry-after", "")
    if retry_after.isdigit():
        error.retry_after_s = float(retry_after)
    return error
