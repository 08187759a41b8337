"""The URLs of time travel below /podium/v1. Room apiserver/time_travel; mounted by routes.py.

Each asks for the right to `list` every kind that it tells of (history: to `get` the object).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, request

from apiserver.authentication import Authenticator
from apiserver.errors import ApiError
from apiserver.insight import PREFIX, Insight
from apiserver.negotiation import JSON
from apiserver.request_info import User
from apiserver.storage import Compacted, Store
from apiserver.time_travel.differences import difference
from apiserver.time_travel.history import history
from apiserver.time_travel.moments import Moment, reach, resolve, too_old
from apiserver.time_travel.past_reads import refuse_nodes
from apiserver.time_travel.picture import KINDS, picture
from apiserver.time_travel.scope import require_list, scope_of
from apiserver.time_travel.timeline import timeline
from podium.api import status

Object = dict[str, Any]


def add_time_travel(app: Flask, insight: Insight, authenticator: Authenticator) -> None:
    """Add what can be asked about the past."""
    store = insight.verbs.store

    def add(what: str, rule: str, answer: Callable[..., Object]) -> None:
        def handle(**place: str) -> Response:
            try:
                body = answer(**place) if place else answer(authenticator.user(request.environ))
            except Compacted as error:  # while it was being read
                raise too_old(store, str(error.oldest - 1)) from None
            return Response(orjson.dumps(body), mimetype=JSON)

        app.add_url_rule(f"{PREFIX}/{what}{rule}", f"{PREFIX}/{what}", handle)

    def of_object(kind: str, namespace: str, name: str) -> Object:
        call = insight.call(kind, namespace, name)
        refuse_nodes(call.user)
        return history(store, call, size=_size(100, 1000), with_diffs=call.flag("diffs"))

    add("revision", "", lambda user: _revision(store, user))
    add("cluster", "", lambda user: _picture(store, user))
    add("timeline", "", lambda user: _timeline(store, user))
    add("diff", "", lambda user: _difference(store, user))
    add("history", "/<kind>/<namespace>/<name>", of_object)


def _revision(store: Store, user: User) -> Object:
    refuse_nodes(user)
    known = reach(store)
    moment = resolve(store, request.args.get("at", "now"), "at")
    return {**moment.to_json(), "oldest": known.oldest.to_json(),
            "current": known.current.to_json()}  # fmt: skip


def _picture(store: Store, user: User) -> Object:
    refuse_nodes(user)
    for kind in KINDS:
        require_list(store, user, kind, None)
    return picture(store, resolve(store, request.args.get("at", "now"), "at"))


def _timeline(store: Store, user: User) -> Object:
    scope = scope_of(store, user, request.args)
    start, end = _range(store, is_from_required=False)
    return timeline(store, scope, start, end, size=_size(500, 5000))


def _difference(store: Store, user: User) -> Object:
    scope = scope_of(store, user, request.args)
    start, end = _range(store, is_from_required=True)
    wants_managed = request.args.get("managedFields") in ("1", "true")
    size = _size(200, 1000)
    return difference(store, scope, start, end, size=size, managed_fields=wants_managed)


def _range(store: Store, *, is_from_required: bool) -> tuple[Moment, Moment]:
    """`from` (the oldest that is kept) and `to` (now)."""
    said = request.args.get("from")
    if not said and is_from_required:
        raise ApiError(status.bad_request("from: Required value"))
    start = resolve(store, said, "from") if said else reach(store).oldest
    end = resolve(store, request.args.get("to", "now"), "to")
    if start.revision > end.revision:
        message = f"from: Invalid value: {start.revision}: must not be later than {end.revision}"
        raise ApiError(status.bad_request(message))
    return start, end


def _size(default: int, most: int) -> int:
    text = request.args.get("size", str(default))
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= most:
        message = f'size: Invalid value: "{text}": must be between 1 and {most}, inclusive'
        raise ApiError(status.bad_request(message))
    return int(text)
