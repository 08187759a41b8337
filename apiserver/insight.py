"""What is known about an object beyond what it says of itself: /podium/v1/<what>/<resource.group>/
<namespace or ->/<name>, for instance /podium/v1/why/pods/default/web.

Room apiserver; mounted by routes.py. Each <what> is a module of its own that answers with JSON for
an object that is there. Who may `get` the object may ask; refusals are Kubernetes' own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from flask import Flask, Response, request

from apiserver.authentication import Authenticator
from apiserver.authorization import authorize
from apiserver.errors import ApiError
from apiserver.negotiation import JSON
from apiserver.request_info import Call, parse
from apiserver.storage import Record
from apiserver.verbs import Verbs
from podium.api import status
from podium.api.scheme import Resource, resource

PREFIX = "/podium/v1"
NO_NAMESPACE = "-"

Object = dict[str, Any]
F = TypeVar("F")
Answer = Callable[[Call, Record], Object]


class Insight:
    """`add(app, what, answer)` serves one <what> for objects that are there."""

    def __init__(self, verbs: Verbs, authenticator: Authenticator) -> None:
        self.verbs = verbs
        self._authenticator = authenticator

    def add(self, app: Flask, what: str, answer: Answer) -> None:
        self.add_found(app, what, self.verbs.find, answer)

    def add_found(
        self, app: Flask, what: str, find: Callable[[Call], F], answer: Callable[[Call, F], Object]
    ) -> None:
        """The same for what `find` finds, which may be no more; it is called once it is allowed."""

        def handle(kind: str, namespace: str, name: str) -> Response:
            call = self.call(kind, namespace, name)
            return Response(orjson.dumps(answer(call, find(call))), mimetype=JSON)

        app.add_url_rule(f"{PREFIX}/{what}/<kind>/<namespace>/<name>", f"{PREFIX}/{what}", handle)

    def call(self, kind: str, namespace: str, name: str) -> Call:
        """The request as one to `get` the object, allowed; ApiError 404, 403 or 401."""
        user = self._authenticator.user(request.environ)
        path = _resource(kind).path(None if namespace == NO_NAMESPACE else namespace, name)
        call = parse("GET", path, request.environ["QUERY_STRING"], user, request.environ)
        authorize(self.verbs.store, call)
        return call


def _resource(kind: str) -> Resource:
    try:
        return resource(kind)
    except LookupError:
        raise ApiError(status.page_not_found()) from None
