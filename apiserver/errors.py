"""What the API server refuses, and how it says so. Raised anywhere below routes.py, caught only
there.

ServerError                     the process cannot start; str() is for the operator
└── DatabaseUnusable            corrupt, locked, of a newer schema: nothing was changed
ApiError                        answered as its Kubernetes Status body with its code
└── StoreFailed                 a write was not committed (full disk, I/O error): nothing changed
Conflicted                      compare-and-swap lost; verbs turn it into 409 or try again
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Body = dict[str, Any]


class ServerError(Exception):
    """The API server cannot start or go on; str() is for the operator."""


class DatabaseUnusable(ServerError):
    """The database is corrupt, locked, or of a newer schema. Nothing was changed."""


class ApiError(Exception):
    """A refusal with its Status body. A retry helps only where the Status says so."""

    def __init__(self, body: Body, headers: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(body.get("message", ""))
        self.body = body
        self.headers = headers

    @property
    def code(self) -> int:
        return int(self.body["code"])


class StoreFailed(ApiError):
    """A write that was not committed; nothing of it is stored."""


class Conflicted(Exception):
    """The object has another revision than the writer expected, exists already, or is gone."""
