"""The URLs of the causal trace. Room apiserver; mounted by routes.py.

POST /podium/v1/spans                                  what components tell of their work
GET  /podium/v1/spans[?span=&revision=]                what is new since then, for an exporter
GET  /podium/v1/trace/<resource.group>/<namespace>/<name>[?revision=]
GET  /podium/v1/budget/pods/<namespace>/<name>
"""

from __future__ import annotations

import orjson
from flask import Flask, Response, request

from apiserver.authentication import Authenticator
from apiserver.insight import PREFIX, Insight
from apiserver.negotiation import JSON
from apiserver.span_log import SpanLog
from apiserver.trace.answers import TraceAnswers


def add_traces(app: Flask, insight: Insight, spans: SpanLog, authenticator: Authenticator) -> None:
    """Add what is told of the trace, and what can be asked."""

    def take() -> Response:
        user = authenticator.user(request.environ)
        taken = spans.take(user, request.environ)
        return Response(orjson.dumps({"taken": taken}), 200, mimetype=JSON)

    app.add_url_rule(f"{PREFIX}/spans", "spans", take, methods=["POST"])
    answers = TraceAnswers(insight.verbs.store, spans)

    def told() -> Response:
        body = answers.told(authenticator.user(request.environ), request.args)
        return Response(orjson.dumps(body), mimetype=JSON)

    app.add_url_rule(f"{PREFIX}/spans", "told spans", told, methods=["GET"])
    insight.add_found(app, "trace", answers.find, answers.trace)
    insight.add_found(app, "budget", answers.find, answers.budget)
