"""Room podium/client: the verbs of the API, over kept-alive TLS connections.

    client = Client(load_kubeconfig(path), user_agent="podium-controllers")
    pod = client.get("pods", "web-1", "default")

Thread-safe: idle connections wait in a pool, and each call that runs has one of its own. Objects
are dicts in wire form. A resource is a name (`"pods"`, `"deployments.apps"`) or a
`scheme.Resource`.
"""

from __future__ import annotations

import copy
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from podium.api import scheme
from podium.api.scheme import Resource
from podium.client import config as configuration
from podium.client import debug_hook, tracing
from podium.client.backoff import Backoff
from podium.client.config import ClientConfig
from podium.client.connection import Body, Connection, Response, StaleConnection, dial
from podium.client.errors import ApiError, Unreachable, from_response
from podium.client.watch import Event, Watch

__all__ = ["Client", "Event", "Watch"]

Object = dict[str, Any]
Query = Mapping[str, Any]

MAX_IDLE_CONNECTIONS = 16
# A call that was answered with nothing on a kept connection may be sent again if that is harmless.
REPEATABLE = frozenset({"GET", "HEAD", "PUT", "DELETE"})
PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}


class Client:
    """Speaks to one API server as one user.

    While the server refuses connections, a call tries again for `connect_patience_s`, then raises
    Unreachable. Errors are those of `errors.py`.
    """

    def __init__(
        self,
        config: ClientConfig,
        *,
        user_agent: str = "podium",
        timeout_s: float = 30.0,
        connect_patience_s: float = 1.0,
    ) -> None:
        self.config = config
        self._timeout_s = timeout_s
        self._patience_s = connect_patience_s
        self._context = configuration.ssl_context(config) if config.is_tls else None
        self._idle: deque[Connection] = deque()
        self._closing = threading.Event()
        self._headers = _fixed_headers(config, user_agent)

    def with_patience(self, connect_patience_s: float) -> Client:
        """The same client (same connections) that waits so long for a server that is not there."""
        other = copy.copy(self)
        other._patience_s = connect_patience_s
        return other

    def close(self) -> None:
        """Close idle connections; calls under way end with their answer. Safe to repeat."""
        self._closing.set()
        while self._idle:
            self._idle.pop().close()

    # --- verbs ----------------------------------------------------------------------------------

    def get(self, res: str | Resource, name: str, namespace: str | None = None) -> Object:
        """One object; raises NotFound."""
        return self._json("GET", _resource(res).path(namespace, name))

    def list(
        self,
        res: str | Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_: str | None = None,
        resource_version: str | None = None,
        causes: bool = False,
    ) -> Object:
        """The List object; without a namespace, of all of them. Raises Gone for an old token.
        With `causes` it tells what its objects were last changed by, if the server knows."""
        query = {
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "limit": limit,
            "continue": continue_,
            "resourceVersion": resource_version,
        }
        answer = self.raw(
            "GET", _resource(res).path(namespace), query=query, headers=_asking(causes)
        )
        return _object_of(answer)

    def create(
        self, res: str | Resource, obj: Object, namespace: str | None = None, **query: Any
    ) -> Object:
        """The object as stored; raises AlreadyExists, Invalid. `query`: dryRun, fieldManager, …"""
        namespace = namespace or obj["metadata"].get("namespace")
        return self._json("POST", _resource(res).path(namespace), query, orjson.dumps(obj))

    def update(
        self, res: str | Resource, obj: Object, subresource: str | None = None, **query: Any
    ) -> Object:
        """Replace an object (or its status); raises Conflict if it has changed meanwhile."""
        meta = obj["metadata"]
        path = _resource(res).path(meta.get("namespace"), meta["name"], subresource)
        return self._json("PUT", path, query, orjson.dumps(obj))

    def patch(
        self,
        res: str | Resource,
        name: str,
        namespace: str | None,
        patch: Any,
        *,
        patch_type: str = "merge",
        subresource: str | None = None,
        **query: Any,
    ) -> Object:
        """Change parts of an object. A resourceVersion in a patch's metadata is a precondition."""
        path = _resource(res).path(namespace, name, subresource)
        body = patch if isinstance(patch, bytes) else orjson.dumps(patch)
        return self._json("PATCH", path, query, body, PATCH_TYPES[patch_type])

    def delete(
        self,
        res: str | Resource,
        name: str,
        namespace: str | None = None,
        *,
        grace_s: int | None = None,
        propagation: str | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
    ) -> Object:
        """Delete an object, with preconditions if a uid or version is given (else Conflict)."""
        body = _delete_options(grace_s, propagation, uid, resource_version)
        return self._json("DELETE", _resource(res).path(namespace, name), None, body)

    def delete_collection(
        self,
        res: str | Resource,
        namespace: str | None = None,
        *,
        label_selector: str | None = None,
        field_selector: str | None = None,
        propagation: str | None = None,
    ) -> Object:
        """Delete every object of a kind that is selected."""
        query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        body = _delete_options(None, propagation, None, None)
        return self._json("DELETE", _resource(res).path(namespace), query, body)

    def create_subresource(
        self, res: str | Resource, name: str, namespace: str | None, subresource: str, body: Object
    ) -> Object:
        """POST to a subresource: a Binding, an Eviction."""
        path = _resource(res).path(namespace, name, subresource)
        return self._json("POST", path, None, orjson.dumps(body))

    def watch(
        self,
        res: str | Resource,
        namespace: str | None = None,
        *,
        resource_version: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
        timeout_s: float | None = None,
        bookmarks: bool = True,
        causes: bool = False,
    ) -> Watch:
        """Every change after `resource_version` (None: what there is, then every change).

        Ends when the server ends it (`timeout_s`), raises Gone when the version is too old and
        Unreachable when the connection breaks. `close()` from any thread ends it at once.
        """
        query = {
            "watch": "true",
            "resourceVersion": resource_version,
            "labelSelector": label_selector,
            "fieldSelector": field_selector,
            "timeoutSeconds": int(timeout_s) if timeout_s is not None else None,
            "allowWatchBookmarks": "true" if bookmarks else None,
        }
        path = _resource(res).path(namespace)
        return Watch(self.raw("GET", path, query=query, headers=_asking(causes), stream=True))

    def raw(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: Body = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
    ) -> Response:
        """Any request. An answer of 400 or more raises; with `stream` the body is left to read.

        An iterable body is sent in chunks, and never twice. A streamed answer has no time limit.
        """
        span = tracing.active()
        if span is None or stream:
            return self._raw(method, self._target(path, query), body, headers or {}, stream)
        with tracing.requesting(span, method):
            return self._raw(method, self._target(path, query), body, headers or {}, stream)

    def _raw(
        self, method: str, target: str, body: Body, headers: Mapping[str, str], stream: bool
    ) -> Response:
        response = self._request(method, target, body, headers, stream)
        if response.status >= 400:
            raise from_response(response.status, response.headers, response.read())
        if not stream:
            response.read()
        return response

    # --- requests -------------------------------------------------------------------------------

    def _json(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Object:
        watching = debug_hook.session()
        if watching is not None and method != "GET":
            from podium.client.debug_writes import step_of

            step = step_of(self._exchange, method, path, query, body, content_type)
            if step is not None:
                return watching.step(step)  # type: ignore[no-any-return]
        return self._exchange(method, path, query, body, content_type)

    def _exchange(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> Object:
        headers = {"Content-Type": content_type} if body is not None else {}
        return _object_of(self.raw(method, path, query=query, body=body, headers=headers))

    def _target(self, path: str, query: Query | None) -> str:
        path = self.config.path_prefix + quote(path, safe="/:=@!$&'()*+,;~%")
        pairs: list[tuple[str, str]] = []
        for name, value in (query or {}).items():
            if value is None:
                continue
            values = value if isinstance(value, list | tuple) else (value,)
            pairs.extend((name, str(one)) for one in values)
        return f"{path}?{urlencode(pairs)}" if pairs else path

    def _request(
        self, method: str, target: str, body: Body, headers: Mapping[str, str], stream: bool
    ) -> Response:
        head = self._head(method, target, body, headers)
        while True:
            connection, is_reused = self._connection()
            try:
                connection.send(head, body, self._timeout_s)
                status, answer_headers = self._final_head(connection)
                if stream:
                    connection.set_timeout(None)
            except (OSError, StaleConnection, Unreachable) as error:
                connection.close()
                if is_reused and method in REPEATABLE and _was_stale(error):
                    continue  # every kept one may be stale; a fresh connection ends this loop
                raise Unreachable(f"{method} {target}: {_explain(error)}") from error
            except BaseException:
                connection.close()
                raise
            return Response(
                connection, status, answer_headers, self._keep, has_body=method != "HEAD"
            )

    @staticmethod
    def _final_head(connection: Connection) -> tuple[int, dict[str, str]]:
        while True:
            status, headers = connection.read_head()
            if status >= 200 or status == 101:
                return status, headers

    def _head(self, method: str, target: str, body: Body, headers: Mapping[str, str]) -> bytes:
        lines = [f"{method} {target} HTTP/1.1\r\n", self._headers, tracing.headers()]
        if not any(name.lower() == "accept" for name in headers):
            lines.append("Accept: application/json\r\n")
        lines.extend(f"{name}: {value}\r\n" for name, value in headers.items())
        if isinstance(body, bytes):
            lines.append(f"Content-Length: {len(body)}\r\n")
        elif body is not None:
            lines.append("Transfer-Encoding: chunked\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    # --- connections ----------------------------------------------------------------------------

    def _connection(self) -> tuple[Connection, bool]:
        """A connection, and whether it has been used before."""
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return self._dial(), False
            if not connection.is_stale():
                return connection, True
            connection.close()

    def _keep(self, connection: Connection) -> None:
        if self._closing.is_set() or len(self._idle) >= MAX_IDLE_CONNECTIONS:
            connection.close()
        else:
            self._idle.append(connection)

    def _dial(self) -> Connection:
        """Connect, again and again while the server is not there and there is patience left."""
        backoff, deadline = Backoff(), time.monotonic() + self._patience_s
        config = self.config
        while True:
            try:
                timeout_s = min(self._timeout_s, 10.0)
                sock = dial(config.address, timeout_s, self._context, config.server_name)
                return Connection(sock)
            except OSError as error:
                delay_s = backoff.next_s()
                may_start = isinstance(error, ConnectionError)
                if not may_start or time.monotonic() + delay_s > deadline:
                    raise Unreachable(f"{config.server}: {_explain(error)}") from error
                if self._closing.wait(delay_s):
                    raise Unreachable("the client is closed") from error


def _asking(causes: bool) -> dict[str, str]:
    return {"Podium-Causes": "true"} if causes else {}


def _object_of(response: Response) -> Object:
    answer = response.json()
    if not isinstance(answer, dict):
        raise Unreachable("the server answered with JSON that is no object")
    return answer


def _fixed_headers(config: ClientConfig, user_agent: str) -> str:
    host, port = config.address
    shown = f"[{host}]" if ":" in host else host
    headers = f"Host: {shown}:{port}\r\nUser-Agent: {user_agent}\r\n"
    if config.token:
        headers += f"Authorization: Bearer {config.token}\r\n"
    return headers


def _resource(res: str | Resource) -> Resource:
    return scheme.resource(res) if isinstance(res, str) else res


def _delete_options(
    grace_s: int | None, propagation: str | None, uid: str | None, rv: str | None
) -> bytes | None:
    preconditions = {k: v for k, v in (("uid", uid), ("resourceVersion", rv)) if v is not None}
    options: Object = {
        "gracePeriodSeconds": grace_s,
        "propagationPolicy": propagation,
        "preconditions": preconditions or None,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if not options:
        return None
    return orjson.dumps({"kind": "DeleteOptions", "apiVersion": "v1", **options})


def _was_stale(error: Exception) -> bool:
    return isinstance(error, StaleConnection | OSError) and not isinstance(error, TimeoutError)


def _explain(error: BaseException) -> str:
    if isinstance(error, StaleConnection):
        return "the server closed the connection without an answer"
    return str(error) or type(error).__name__


def each_page(
    client: Client, res: str | Resource, namespace: str | None = None, *, limit: int = 500
) -> Iterator[Object]:
    """Every object of a kind, listed in pages."""
    token: str | None = None
    while True:
        page = client.list(res, namespace, limit=limit, continue_=token)
        yield from page["items"]
        token = page["metadata"].get("continue")
        if not token:
            return


def is_retriable(error: Exception) -> bool:
    """Whether the same call may succeed a moment later."""
    return isinstance(error, Unreachable) or (
        isinstance(error, ApiError) and (error.code == 429 or error.code >= 500)
    )
