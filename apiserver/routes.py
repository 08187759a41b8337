"""URLs: the Flask application. Room apiserver; made by __main__.py, called by http_server.py.

Everything below /api and /apis is one route: which resource and verb is meant is worked out by
request_info.py, for kinds are data here, not code. Every refusal leaves as a Status.
"""

from __future__ import annotations

import logging
from typing import Any

import orjson
from flask import Flask, Response, request

from apiserver import discovery, openapi
from apiserver.authentication import user_of_connection
from apiserver.errors import ApiError
from apiserver.request_info import ANONYMOUS, User, parse
from apiserver.verbs import Reply, Verbs
from podium.api import status

log = logging.getLogger("apiserver")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
VERSION = {
    "major": "1", "minor": "32", "gitVersion": "v1.32.0+podium", "gitCommit": "", "gitTreeState": "clean",
    "buildDate": "", "goVersion": "", "compiler": "cpython", "platform": "linux/amd64",
}  # fmt: skip
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def create_app(verbs: Verbs) -> Flask:
    """The application of one server."""
    app = Flask("apiserver", static_folder=None)
    app.url_map.strict_slashes = False

    def resource_call(path: str) -> Response:
        return _answer(_call(verbs, request.environ))

    for prefix in ("/api", "/apis"):
        rule = f"{prefix}/<path:path>"
        app.add_url_rule(
            rule, rule, resource_call, methods=METHODS, provide_automatic_options=False
        )
        app.add_url_rule(rule, f"{rule} upgrade", resource_call, methods=["GET"], websocket=True,
                         provide_automatic_options=False)  # fmt: skip
    _add_discovery(app)
    _add_health(app, verbs)
    app.register_error_handler(ApiError, _refused)
    app.register_error_handler(404, lambda _error: _refused(ApiError(status.page_not_found())))
    app.register_error_handler(
        405, lambda _error: _refused(ApiError(status.method_not_allowed(None)))
    )
    app.register_error_handler(Exception, _failed)
    return app


def _call(verbs: Verbs, environ: dict[str, Any]) -> Reply:
    user = authenticated(environ)
    path = environ["PATH_INFO"]
    documents = _discovery_document(path)
    if documents is not None:
        return documents
    call = parse(environ["REQUEST_METHOD"], path, environ["QUERY_STRING"], user, environ)
    reply: Reply = getattr(verbs, call.verb)(call)
    for warning in call.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        reply.headers.append(("Warning", f'299 - "{text}"'))
    return reply


def authenticated(environ: dict[str, Any]) -> User:
    """Who asks; ApiError 401 for nobody."""
    user = user_of_connection(environ["podium.connection"])
    if user is None:
        raise ApiError(status.unauthorized())
    return user


def _answer(reply: Reply) -> Response:
    response = Response(reply.body, reply.code, mimetype=reply.media_type)
    for name, value in reply.headers:
        response.headers.add(name, value)
    return response


def _refused(error: ApiError) -> Response:
    headers = list(error.headers)
    retry = (error.body.get("details") or {}).get("retryAfterSeconds")
    if retry and not any(name == "Retry-After" for name, _ in headers):
        headers.append(("Retry-After", str(retry)))
    return _answer(Reply(error.code, orjson.dumps(error.body), headers=headers))


def _failed(error: Exception) -> Response:
    """A fault of ours: logged whole, told briefly."""
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return _refused(ApiError(status.internal_error(f"{type(error).__name__}: {error}")))


# ---- discovery ------------------------------------------------------------------------------------


def _discovery_document(path: str) -> Reply | None:
    """/api/v1, /apis/G and /apis/G/V, when the path is one of them."""
    parts = [part for part in path.split("/") if part]
    document = None
    if parts == ["api", "v1"]:
        document = discovery.api_resource_list("", "v1")
    elif len(parts) == 2 and parts[0] == "apis":
        document = discovery.api_group(parts[1])
    elif len(parts) == 3 and parts[0] == "apis":
        document = discovery.api_resource_list(parts[1], parts[2])
    return Reply(200, orjson.dumps(document)) if document is not None else None


def _add_discovery(app: Flask) -> None:
    def root(is_core: bool) -> Response:
        authenticated(request.environ)
        if "as=APIGroupDiscoveryList" in request.environ.get("HTTP_ACCEPT", ""):
            body = orjson.dumps(discovery.aggregated(is_core))
            return _answer(Reply(200, body, AGGREGATED))
        document = discovery.api_versions() if is_core else discovery.api_group_list()
        return _answer(Reply(200, orjson.dumps(document)))

    app.add_url_rule("/api", "api", lambda: root(True))
    app.add_url_rule("/apis", "apis", lambda: root(False))

    def document(path: str = "") -> Response:
        authenticated(request.environ)
        body = openapi.openapi_v3(path.strip("/")) if path else openapi.openapi_v3_index()
        if body is None:
            raise ApiError(status.page_not_found())
        return _cached(body)

    app.add_url_rule("/openapi/v3", "openapi_v3", document)
    app.add_url_rule("/openapi/v3/<path:path>", "openapi_v3_group", document)

    def document_v2() -> Response:
        authenticated(request.environ)
        return _cached(openapi.openapi_v2())

    app.add_url_rule("/openapi/v2", "openapi_v2", document_v2)


def _cached(body: bytes) -> Response:
    response = _answer(Reply(200, body))
    response.add_etag()
    return response.make_conditional(request)


# ---- health and version ---------------------------------------------------------------------------


def _add_health(app: Flask, verbs: Verbs) -> None:
    def health() -> Response:
        verbs.store.revisions()
        return Response("ok", mimetype="text/plain")

    for path in ("/healthz", "/livez", "/readyz"):
        app.add_url_rule(path, path, health)
    app.add_url_rule("/version", "version", lambda: _answer(Reply(200, orjson.dumps(VERSION))))


__all__ = ["ANONYMOUS", "create_app"]
