"""The URLs of the causal trace. Room apiserver; mounted by routes.py.

POST /podium/v1/spans      what components tell of their work (span_log.py)
"""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

from apiserver.authentication import Authenticator
from apiserver.negotiation import JSON
from apiserver.span_log import SpanLog

SPANS = "/podium/v1/spans"


def add_traces(app: Flask, spans: SpanLog, authenticator: Authenticator) -> None:
    def take() -> Response:
        user = authenticator.user(request.environ)
        taken = spans.take(user, request.environ)
        return Response(orjson.dumps({"taken": taken}), 200, mimetype=JSON)

    app.add_url_rule(SPANS, "spans", take, methods=["POST"])
