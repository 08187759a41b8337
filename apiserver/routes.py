"""URLs: the Flask application. Room apiserver; made by server.py, called by http_server.py.

Everything below /api and /apis is one route: which resource and verb is meant is worked out by
request_info.py, for kinds are data here, not code. Every refusal leaves as a Status.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError

from apiserver import discovery, openapi, openid, origins, why
from apiserver.authentication import Authenticator
from apiserver.authorization import MASTERS, authorize
from apiserver.cluster_file import ServerConfig
from apiserver.errors import ApiError
from apiserver.fault_lab import FaultLab
from apiserver.http_server import BadRequestLine
from apiserver.insight import Insight
from apiserver.kubelet_proxy import KubeletProxy
from apiserver.kubelet_summaries import EVERYTHING, KubeletSummaries
from apiserver.login import add_login
from apiserver.metrics import Metrics
from apiserver.request_info import Call, parse
from apiserver.resource_metrics import ResourceMetrics
from apiserver.reviews import review
from apiserver.span_log import SpanLog
from apiserver.sql import what_is_wrong
from apiserver.subresources import Subresources
from apiserver.time_travel.past_reads import PARAMETER, PastReads
from apiserver.time_travel.routes import add_time_travel
from apiserver.trace_routes import add_traces
from apiserver.ui import add_page
from apiserver.usage import Usage
from apiserver.verbs import Reply, Verbs
from podium.api import status
from podium.api.exposition import CONTENT_TYPE

log = logging.getLogger("apiserver")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
VERSION = {
    "major": "1",
    "minor": "32",
    "gitVersion": "v1.32.0+podium",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "",
    "goVersion": "",
    "compiler": "cpython",
    "platform": "linux/amd64",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_ON_KUBELETS = frozenset({"log", "exec", "attach", "portforward", "proxy", "inspect", "commands"})


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the routes lead to."""

    verbs: Verbs
    subresources: Subresources
    kubelets: KubeletProxy
    resource_metrics: ResourceMetrics
    authenticator: Authenticator
    metrics: Metrics
    faults: FaultLab
    spans: SpanLog
    config: ServerConfig

    def handle(self, environ: dict[str, Any]) -> Reply:
        """Answer a request for a resource."""
        environ["podium.began"] = time.monotonic()
        user = self.authenticator.user(environ)
        path = environ["PATH_INFO"]
        document = _discovery_document(path)
        if document is not None:
            return document
        call = parse(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], user, environ)
        environ["podium.call"] = call
        authorize(self.verbs.store, call)
        self.faults.check(call)
        if call.method not in ("GET", "HEAD"):
            manager = call.query.get("fieldManager", "")
            origins.current.set(
                origins.origin_of(environ, user.name, manager, call.subresource or "")
            )
        reply = self._dispatch(call)
        for warning in call.warnings:
            text = warning.replace("\\", "\\\\").replace('"', '\\"')
            reply.headers.append(("Warning", f'299 - "{text}"'))
        self.count(call, reply.code)
        return reply

    def _dispatch(self, call: Call) -> Reply:
        if PARAMETER in call.query:
            return PastReads(self.verbs).handle(call)
        if call.subresource is None:
            if call.resource in discovery.REVIEWS:
                return review(self.verbs.store, self.authenticator.tokens, call)
            if call.resource in discovery.METRICS:
                return self.resource_metrics.handle(call)
            return self.verbs.handle(call)
        if call.subresource in _ON_KUBELETS:
            return self.kubelets.handle(call)
        return self.subresources.handle(call)

    def count(self, call: Call, code: int) -> None:
        took_s = time.monotonic() - call.environ["podium.began"]
        self.metrics.count(
            call.verb, call.resource.plural, call.subresource or "", code, took_s=took_s
        )


def create_app(rooms: Rooms) -> Flask:
    """The application of one server."""
    app = Flask("apiserver", static_folder=None, template_folder="ui/templates")
    app.url_map.strict_slashes = False

    def resource_call(path: str) -> Response:
        return answer(rooms.handle(request.environ))

    for prefix in ("/api", "/apis"):
        rule = f"{prefix}/<path:path>"
        app.add_url_rule(
            rule, rule, resource_call, methods=METHODS, provide_automatic_options=False
        )
        app.add_url_rule(rule, f"{rule} upgrade", resource_call, methods=["GET"], websocket=True,
                         provide_automatic_options=False)  # fmt: skip
    _add_discovery(app, rooms.authenticator)
    _add_health(app, rooms)
    add_login(app, rooms.authenticator)
    add_page(app, rooms, VERSION["gitVersion"])
    insight = Insight(rooms.verbs, rooms.authenticator)
    insight.add(app, "why", why.answer)
    insight.add(app, "usage", Usage(KubeletSummaries(rooms.kubelets, EVERYTHING)).of)
    add_time_travel(app, insight, rooms.authenticator)
    add_traces(app, insight, rooms.spans, rooms.authenticator)
    _add_refusals(app, rooms)
    return app


def answer(reply: Reply) -> Response:
    response = Response(reply.body, reply.code, mimetype=reply.media_type)
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response


# ---- refusals ----------------------------------------------------------------------------------


def _add_refusals(app: Flask, rooms: Rooms) -> None:
    def refused(error: ApiError) -> Response:
        call = request.environ.get("podium.call")
        if call is not None:
            rooms.count(call, error.code)
        return _refusal(error)

    app.register_error_handler(ApiError, refused)
    app.register_error_handler(404, lambda _error: _refusal(ApiError(status.page_not_found())))
    app.register_error_handler(
        405, lambda _error: _refusal(ApiError(status.method_not_allowed(None)))
    )
    app.register_error_handler(
        BadRequestLine, lambda error: _refusal(ApiError(status.bad_request(str(error))))
    )
    app.register_error_handler(SQLAlchemyError, _unreadable)
    app.register_error_handler(Exception, _failed)


def _refusal(error: ApiError) -> Response:
    headers = list(error.headers)
    retry = (error.body.get("details") or {}).get("retryAfterSeconds")
    if retry and not any(name == "Retry-After" for name, _ in headers):
        headers.append(("Retry-After", str(retry)))
    return answer(Reply(error.code, orjson.dumps(error.body), headers=headers))


def _unreadable(error: SQLAlchemyError) -> Response:
    log.error("%s %s: cannot read the database: %s", request.method, request.path, error)
    return _refusal(
        ApiError(status.internal_error(f"cannot read the database: {what_is_wrong(error)}"))
    )


def _failed(error: Exception) -> Response:
    """A fault of ours: logged whole, told briefly."""
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _refusal(ApiError(status.internal_error(f"{type(error).__name__}: {error}")))


# ---- discovery ---------------------------------------------------------------------------------


def _discovery_document(path: str) -> Reply | None:
    """/api/v1, /apis/G and /apis/G/V, when the path is one of them."""
    if path.count("/") > 4:
        return None
    parts = [part for part in path.split("/") if part]
    document = None
    if parts == ["api", "v1"]:
        document = discovery.api_resource_list("", "v1")
    elif len(parts) == 2 and parts[0] == "apis":
        document = discovery.api_group(parts[1])
    elif len(parts) == 3 and parts[0] == "apis":
        document = discovery.api_resource_list(parts[1], parts[2])
    return Reply(200, orjson.dumps(document)) if document is not None else None


def _add_discovery(app: Flask, authenticator: Authenticator) -> None:
    def root(is_core: bool) -> Response:
        authenticator.user(request.environ)
        if "as=APIGroupDiscoveryList" in request.environ.get("HTTP_ACCEPT", ""):
            response = answer(Reply(200, orjson.dumps(discovery.aggregated(is_core))))
            response.headers["Content-Type"] = AGGREGATED
            return response
        document = discovery.api_versions() if is_core else discovery.api_group_list()
        return answer(Reply(200, orjson.dumps(document)))

    app.add_url_rule("/api", "api", lambda: root(True))
    app.add_url_rule("/apis", "apis", lambda: root(False))

    def document(path: str = "") -> Response:
        authenticator.user(request.environ)
        body = openapi.openapi_v3(path.strip("/")) if path else openapi.openapi_v3_index()
        if body is None:
            raise ApiError(status.page_not_found())
        return _cached(body)

    app.add_url_rule("/openapi/v3", "openapi_v3", document)
    app.add_url_rule("/openapi/v3/<path:path>", "openapi_v3_group", document)

    def document_v2() -> Response:
        authenticator.user(request.environ)
        if openapi.PROTOBUF_V2_WANTED in request.environ.get("HTTP_ACCEPT", ""):
            return answer(Reply(200, openapi.openapi_v2_protobuf(), openapi.PROTOBUF_V2))
        return _cached(openapi.openapi_v2())

    app.add_url_rule("/openapi/v2", "openapi_v2", document_v2)


def _cached(body: bytes) -> Response:
    response = answer(Reply(200, body))
    response.add_etag()
    response.make_conditional(request)
    return response


# ---- health, version, metrics ------------------------------------------------------------------


def _add_health(app: Flask, rooms: Rooms) -> None:
    store, hub = rooms.verbs.store, rooms.verbs.hub

    def health() -> Response:
        store.revisions()
        return Response("ok", mimetype="text/plain")

    def metrics() -> Response:
        user = rooms.authenticator.user(request.environ)
        if MASTERS not in user.groups:
            why = f'User "{user.name}" cannot get path "/metrics"'
            raise ApiError(status.forbidden(None, "", why))
        connections = int(request.environ["podium.server"].connections())
        text = rooms.metrics.text(
            watches=hub.count(),
            connections=connections,
            revision=hub.revision,
            failed_writes=store.failed_writes,
        )
        return Response(text, content_type=CONTENT_TYPE)

    for path in ("/healthz", "/livez", "/readyz"):
        app.add_url_rule(path, path, health)
    keys = rooms.authenticator.tokens.signer

    def issuer() -> Response:
        rooms.authenticator.user(request.environ)
        return answer(Reply(200, orjson.dumps(openid.configuration(request.host))))

    def key_set() -> Response:
        rooms.authenticator.user(request.environ)
        body = orjson.dumps({"keys": [keys.public_key]})
        return answer(Reply(200, body, openid.KEY_SET))

    app.add_url_rule(openid.CONFIGURATION_PATH, "issuer", issuer)
    app.add_url_rule(openid.KEYS_PATH, "key_set", key_set)
    app.add_url_rule("/version", "version", lambda: answer(Reply(200, orjson.dumps(VERSION))))
    app.add_url_rule("/metrics", "metrics", metrics)
