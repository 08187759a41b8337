"""What the API server raises; on the wire each is a Kubernetes `Status`.

    ApiError                  carries the Status body and its HTTP code
    └── (no children: the body's `reason` says which it is, as in Kubernetes)
    StorageError              the database cannot serve
    ├── DatabaseUnusable      not a database, another program's, a newer schema: changed nothing
    └── DatabaseFull          no space left: reads go on, the write was not done
    CompareFailed             a write lost a race; verbs turn it into 409 or try again
"""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An answer other than success. `headers` go out with it (Retry-After)."""

    def __init__(self, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        super().__init__(body.get("message", ""))
        self.body = body
        self.headers = headers or {}

    @property
    def code(self) -> int:
        return int(self.body.get("code", 500))

    @property
    def reason(self) -> str:
        return str(self.body.get("reason", ""))


class StorageError(Exception):
    """The database cannot serve; the message names it and says what to do."""


class DatabaseUnusable(StorageError): ...


class DatabaseFull(StorageError): ...


class CompareFailed(Exception):
    """`found_rv` is the revision that stood there instead, 0 for no object."""

    def __init__(self, found_rv: int) -> None:
        super().__init__(f"found revision {found_rv}")
        self.found_rv = found_rv
