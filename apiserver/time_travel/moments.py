"""Which revision is meant: from "812", "5m ago" or a time to a revision that can still be read.

Room apiserver/time_travel. Refusals are Kubernetes' own: 504 for a revision that is not there yet,
410 for one that has been compacted away, 400 for what cannot be understood.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from apiserver.errors import ApiError
from apiserver.storage import Store
from apiserver.time_travel import change_log
from podium.api import meta, status
from podium.api.moments import parse_moment


@dataclass(frozen=True, slots=True)
class Moment:
    """A revision and when it was reached; None: nobody knows any more."""

    revision: int
    time: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "revision": self.revision,
            "time": meta.now_micro(self.time) if self.time else None,
        }


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the past goes: from the oldest revision that can be read to the last one."""

    oldest: Moment
    current: Moment


def reach(store: Store) -> Reach:
    current, oldest = store.revisions()

    def read(connection: Connection) -> Reach:
        return Reach(_moment(connection, oldest), _moment(connection, current))

    return store.read(read)


def resolve(store: Store, text: str, what: str) -> Moment:
    """The moment that a parameter called `what` names; ApiError 400, 410, 504."""
    now = datetime.now(UTC)
    try:
        said = parse_moment(text, now)
    except ValueError as error:
        raise ApiError(status.bad_request(f"{what}: Invalid value: {error}")) from None
    if isinstance(said, datetime):
        return _of_time(store, said, now, what)
    return _of_revision(store, said)


def _of_revision(store: Store, revision: int) -> Moment:
    current, oldest = store.revisions()
    if revision > current:
        body = status.too_large_resource_version(revision, current)
        raise ApiError(body, [("Retry-After", "1")])
    if revision < oldest:
        raise too_old(store, f"{revision}")
    return store.read(lambda connection: _moment(connection, revision))


def _of_time(store: Store, time: datetime, now: datetime, what: str) -> Moment:
    if time > now:
        message = f'{what}: Invalid value: "{meta.now_micro(time)}": must not be in the future'
        raise ApiError(status.bad_request(message))
    _, oldest = store.revisions()
    revision = store.read(lambda connection: change_log.revision_at(connection, time))
    if revision < oldest:
        raise too_old(store, meta.now_micro(time))
    return Moment(revision, time)


def too_old(store: Store, asked: str) -> ApiError:
    """410 that names the oldest one."""
    oldest = reach(store).oldest
    since = f", of {meta.now_micro(oldest.time)}" if oldest.time else ""
    return ApiError(
        status.expired(
            f"too old resource version: {asked} ({oldest.revision}): the oldest revision that is "
            f"kept is {oldest.revision}{since}"
        )
    )


def _moment(connection: Connection, revision: int) -> Moment:
    return Moment(revision, change_log.time_of(connection, revision))
