"""`?atRevision=`: GET and LIST of any kind, answered as they would have been then.

Room apiserver/time_travel; called by routes.py, which has authorized the call as one of now.
"""

from __future__ import annotations

from datetime import UTC, datetime

from apiserver import listing
from apiserver.authorization import node_of
from apiserver.discovery import METRICS
from apiserver.errors import ApiError
from apiserver.request_info import Call, User
from apiserver.storage import Compacted
from apiserver.time_travel.moments import Moment, resolve, too_old
from apiserver.verbs import Reply, Verbs
from podium.api import status
from podium.api.scheme import resource

PARAMETER = "atRevision"


class PastReads:
    """One per server."""

    def __init__(self, verbs: Verbs) -> None:
        self._verbs = verbs

    def handle(self, call: Call) -> Reply:
        """Answer; ApiError 400, 403, 404, 410, 504."""
        _check(call)
        refuse_nodes(call.user)
        store = self._verbs.store
        moment = resolve(store, call.query[PARAMETER], PARAMETER)
        try:
            if call.resource.namespaced and call.namespace is not None:
                self._check_namespace(call.namespace, moment)
            return self._get(call, moment) if call.verb == "get" else self._list(call, moment)
        except Compacted:
            raise too_old(store, f"{moment.revision}") from None

    def _check_namespace(self, name: str, moment: Moment) -> None:
        namespaces = resource("namespaces")
        if self._verbs.store.get_past(namespaces.key, "", name, moment.revision) is None:
            raise ApiError(status.not_found(namespaces, name))

    def _get(self, call: Call, moment: Moment) -> Reply:
        name = call.required_name()
        record = self._verbs.store.get_past(
            call.resource.key, call.key_namespace, name, moment.revision
        )
        if record is None:
            raise ApiError(status.not_found(call.resource, name))
        return self._verbs.answer(call, 200, record, _clock(moment))

    def _list(self, call: Call, moment: Moment) -> Reply:
        after, revision = ("", ""), moment.revision
        if token := call.query.get("continue"):
            found, after = listing.read_token(token)
            revision = moment.revision if found is None else found
        return self._verbs.listed(call, after, revision, _clock(moment))


def refuse_nodes(user: User) -> None:
    """What a node may see follows from the Pods that it has now, which says nothing of the past."""
    if node_of(user) is not None:
        why = f'User "{user.name}" cannot read the past of the cluster'
        raise ApiError(status.forbidden(None, "", why))


def _check(call: Call) -> None:
    if call.verb not in ("get", "list"):
        message = f"{PARAMETER} is for get and list, not for {call.verb}"
        raise ApiError(status.bad_request(message))
    if call.subresource not in (None, "status") or call.resource in METRICS:
        what = f"{call.resource.plural}/{call.subresource or ''}".rstrip("/")
        raise ApiError(status.bad_request(f"{what} has no past: {PARAMETER} is for objects"))
    for other in ("resourceVersion", "resourceVersionMatch"):
        if call.query.get(other):
            message = f"{other}: Forbidden: is not allowed together with {PARAMETER}"
            raise ApiError(status.bad_request(message))


def _clock(moment: Moment) -> datetime:
    """What ages in a table count to."""
    return moment.time or datetime.now(UTC)
