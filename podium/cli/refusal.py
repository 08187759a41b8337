"""Room podium/cli: how an error of the API is told, in kubectl's words.

Imported only once podium.client is.
"""

from __future__ import annotations

from collections.abc import Iterator

from podium.client.errors import ApiError, ClientError, Unreachable


def explain(error: Exception) -> Iterator[str]:
    """The lines for stderr; none if it is no error of the API's."""
    if isinstance(error, ApiError):
        yield told(error)
    elif isinstance(error, Unreachable):
        yield f"error: {error}; is the cluster up? see: podium status"
    elif isinstance(error, ClientError):
        yield f"error: {error}"


def told(error: ApiError) -> str:
    """One line (a Status message may hold several) as kubectl prints it."""
    if error.reason in ("", "Unknown"):
        return f"Error from server: {error.message}"
    if error.reason == "Invalid":
        return invalid(error)
    if error.reason == "BadRequest" and error.message.startswith("strict decoding"):
        return f"Error from server (BadRequest): {error.message}"
    return f"Error from server ({error.reason}): {error.message}"


def invalid(error: ApiError) -> str:
    """Kubernetes' Invalid: one cause stays in its line, several get one line each."""
    details = error.details or {}
    causes = [
        f"{cause.get('field', '')}: {cause.get('message', '')}"
        for cause in details.get("causes") or ()
    ]
    name = f'"{details.get("name", "")}"' if details.get("name") else ""
    head = f"The {details.get('kind', 'object')} {name} is invalid".replace("  ", " ")
    if not causes:
        return f"Error from server (Invalid): {error.message}"
    if len(causes) == 1:
        return f"{head}: {causes[0]}"
    return "\n".join([f"{head}:", *(f"* {cause}" for cause in causes)])
