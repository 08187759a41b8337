"""The URLs of time travel below /podium/v1. Room apiserver/time_travel; mounted by routes.py.

Each asks for the right to `list` every kind that it tells of (history: to `get` the object).
"""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

from apiserver.authentication import Authenticator
from apiserver.insight import PREFIX, Insight
from apiserver.negotiation import JSON
from apiserver.time_travel.moments import reach, resolve
from apiserver.time_travel.past_reads import refuse_nodes


def add_time_travel(app: Flask, insight: Insight, authenticator: Authenticator) -> None:
    """Add what can be asked about the past as a whole."""
    store = insight.verbs.store

    def revision() -> Response:
        refuse_nodes(authenticator.user(request.environ))
        known = reach(store)
        moment = resolve(store, request.args.get("at", "now"), "at")
        return _json({**moment.to_json(), "oldest": known.oldest.to_json(),
                      "current": known.current.to_json()})  # fmt: skip

    app.add_url_rule(f"{PREFIX}/revision", f"{PREFIX}/revision", revision)


def _json(body: object) -> Response:
    return Response(orjson.dumps(body), mimetype=JSON)
