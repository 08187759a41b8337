"""Room podium/cli: which revision "5m ago" is, asked of the server, whose clock counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podium.cli.connection import Connection

PATH = "/podium/v1/revision"


def revision_of(api: Connection, moment: str) -> int:
    """The revision that a moment names; ApiError for one that cannot be shown."""
    return int(api.request("GET", PATH, query={"at": moment})["revision"])
