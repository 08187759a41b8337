"""Rules for paths inside a volume or a directory of the node. Room: the API server.

Source: Kubernetes' `pkg/apis/core/validation`, v1.32.
"""

from __future__ import annotations

from apiserver.validation.causes import invalid
from podium.api.status import Cause


def local_path(value: str, path: str) -> list[Cause]:
    """A relative path that stays below where it starts."""
    causes: list[Cause] = []
    if value.startswith("/"):
        causes.append(invalid(path, value, "must be a relative path"))
    if ".." in value.split("/"):
        causes.append(invalid(path, value, "must not contain '..'"))
    return causes
