"""What only a node can answer: logs, exec, attach, port-forward, and anything below
nodes/NAME/proxy. Room apiserver.

Called by routes.py. The request goes on to the kubelet's HTTPS endpoint with the API server's own
client certificate; the answer is streamed, an upgraded connection is spliced byte by byte, so that
the kubelet itself speaks WebSocket and SPDY.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gevent
import gevent.socket
import gevent.ssl

from apiserver.errors import ApiError
from apiserver.http_server import Body, Connection
from apiserver.request_info import Call
from apiserver.storage import Record
from apiserver.validation.log_options import check_log_options
from apiserver.verbs import Reply, Verbs
from podium.api import status
from podium.api.scheme import resource

Object = dict[str, Any]

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 3600.0  # a followed log may be silent for long
PIECE_BYTES = 64 << 10
HEAD_LIMIT_BYTES = 64 << 10
OWN_TIMEOUT_S = 10.0  # for what the server itself wants to know
KEEPALIVE_S = 30
LAST_WORDS_S = 60.0  # what a kubelet that reads no more may take to say its last
# So begins the version of the engine of a node that only says what a real one would.
SIMULATED = "simulated://"
NOTHING_RUNS = "nothing runs there that could be looked into"
_FORWARDED = ("HTTP_ACCEPT", "CONTENT_TYPE")
_OF_UPGRADES = ("HTTP_UPGRADE", "HTTP_X_STREAM_PROTOCOL_VERSION")
_ENDED, _REFUSED = "ended", "refused"  # how a pump stops


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node's kubelet listens. Its certificate is for the node's name."""

    node: str
    host: str
    port: int


class KubeletProxy:
    """One per server. `handle(call)` answers log, exec, attach, portforward and proxy."""

    def __init__(self, verbs: Verbs, pki: Path, check: Callable[[str], None]) -> None:
        """`check(node)` raises ApiError if the node must not be reached (fault_lab.py)."""
        self._check = check
        self._verbs = verbs
        self._pki = pki
        self._context: ssl.SSLContext | None = None  # made when a kubelet is first called
        self._sessions: dict[str, ssl.SSLSession] = {}  # by node; to resume one saves half the time

    def handle(self, call: Call) -> Reply:
        match call.subresource:
            case "log" if call.verb == "get":
                return self._log(call)
            case "inspect" if call.verb == "get":
                return self._inspect(call)
            case "commands" if call.verb == "get":
                return self._commands(call)
            case "exec" | "attach" | "portforward":
                return self._upgrade(call)
            case "proxy":
                return self._proxy(call)
        raise ApiError(status.method_not_allowed(call.resource))

    # ---- the three kinds of request -----------------------------------------------------------

    def _log(self, call: Call) -> Reply:
        pod = self._verbs.find(call)
        check_log_options(call.query, pod.name)
        container = container_of(pod, call.query.get("container", ""))
        node = pod.object["spec"].get("nodeName")
        if not node:
            return Reply(200, b"", "text/plain")
        path = f"/containerLogs/{pod.namespace}/{pod.name}/{quote(container)}"
        query = call.environ["QUERY_STRING"]
        target = f"{path}?{query}" if query else path
        return self._forward(call, self._endpoint(node), "GET", target)

    def _inspect(self, call: Call) -> Reply:
        """What the kernel of its node says of a Pod, or of one of its containers."""
        pod = self._verbs.find(call)
        wanted = call.query.get("container", "")
        container = container_of(pod, wanted) if wanted else ""
        path = f"/inspect/{pod.namespace}/{pod.name}?container={quote(container)}"
        return self._forward(call, self._endpoint(_node_of(pod)), "GET", path)

    def _commands(self, call: Call) -> Reply:
        """A shell script that builds one of its containers by hand."""
        pod = self._verbs.find(call)
        container = container_of(pod, call.query.get("container", ""))
        path = f"/commands/{pod.namespace}/{pod.name}/{quote(container)}"
        return self._forward(call, self._endpoint(_node_of(pod)), "GET", path)

    def _proxy(self, call: Call) -> Reply:
        node = self._endpoint(call.required_name())
        query = call.environ["QUERY_STRING"]
        path = quote(call.rest or "/", safe="/%:@!$&'()*+,;=~")
        return self._forward(call, node, call.method, f"{path}?{query}" if query else path)

    def _upgrade(self, call: Call) -> Reply:
        if "upgrade" not in call.environ.get("HTTP_CONNECTION", "").lower():
            raise ApiError(status.bad_request("Upgrade request required"))
        pod = self._verbs.find(call)
        node = _node_of(pod)
        if call.subresource == "portforward":
            path = f"/portForward/{pod.namespace}/{pod.name}"
        else:
            container = container_of(pod, call.query.get("container", ""))
            path = f"/{call.subresource}/{pod.namespace}/{pod.name}/{quote(container)}"
        endpoint = self._endpoint(node)
        upstream = self._connect(endpoint)
        try:
            return _splice_upgraded(call, upstream, f"{path}?{call.environ['QUERY_STRING']}")
        finally:
            if upstream.session is not None:
                self._sessions[node] = upstream.session
            upstream.close()

    def ask(self, node: str, target: str) -> tuple[bytes, dict[str, str]]:
        """A kubelet's page and its headers, for the server's own use; ApiError if it has none."""
        endpoint = self._endpoint(node)
        upstream = self._connect(endpoint)
        client = http.client.HTTPConnection(endpoint.host, endpoint.port)
        client.sock = upstream
        upstream.settimeout(OWN_TIMEOUT_S)
        try:
            client.request("GET", target, headers={"Connection": "close"})
            answer = client.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(
                status.internal_error(f"the kubelet of node {node} did not answer: {error!r}")
            ) from None
        finally:
            upstream.close()
        if answer.status != 200:
            raise ApiError(status.internal_error(body.decode(errors="replace")))
        return body, dict(answer.getheaders())

    # ---- finding and calling a kubelet --------------------------------------------------------

    def _endpoint(self, node_name: str) -> Endpoint:
        node = self._verbs.find_named(resource("nodes"), "", node_name).object
        self._check(node_name)
        found = node.get("status") or {}
        engine = (found.get("nodeInfo") or {}).get("containerRuntimeVersion") or ""
        if engine.startswith(SIMULATED):
            raise ApiError(status.bad_request(f"node {node_name} is simulated: {NOTHING_RUNS}"))
        addresses = {a["type"]: a["address"] for a in found.get("addresses") or ()}
        port = ((found.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        host = addresses.get("InternalIP") or addresses.get("Hostname")
        if not host or not port:
            raise ApiError(
                status.internal_error(f"node {node_name} has not said where its kubelet listens")
            )
        return Endpoint(node_name, host, int(port))

    def _connect(self, endpoint: Endpoint) -> Any:
        if self._context is None:
            self._context = _client_context(self._pki)
        try:
            plain = gevent.socket.create_connection(
                (endpoint.host, endpoint.port), CONNECT_TIMEOUT_S
            )
            plain.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            return self._context.wrap_socket(
                plain, server_hostname=endpoint.node, session=self._sessions.get(endpoint.node)
            )
        except OSError as error:
            raise ApiError(
                status.internal_error(
                    f"cannot reach the kubelet of node {endpoint.node} at "
                    f"{endpoint.host}:{endpoint.port}: {error}"
                )
            ) from None

    def _forward(self, call: Call, endpoint: Endpoint, method: str, target: str) -> Reply:
        """Send the request on, body and all, and answer with what comes back."""
        upstream = self._connect(endpoint)
        upstream.settimeout(ANSWER_TIMEOUT_S)
        client = http.client.HTTPConnection(endpoint.host, endpoint.port)
        client.sock = upstream
        try:
            _send(client, call, method, target)
            answer = client.getresponse()
        except (OSError, http.client.HTTPException) as error:
            upstream.close()
            raise ApiError(
                status.internal_error(
                    f"the kubelet of node {endpoint.node} did not answer: {error!r}"
                )
            ) from None
        if answer.status >= 400:
            body = answer.read(PIECE_BYTES)
            upstream.close()
            return _refusal(answer, body)
        media_type = answer.getheader("Content-Type") or "text/plain"
        pieces = _pieces(call.environ["podium.connection"], upstream, answer)
        return Reply(answer.status, pieces, media_type)


def _node_of(pod: Record) -> str:
    node = pod.object["spec"].get("nodeName")
    if not node:
        raise ApiError(status.bad_request(f"pod {pod.name} does not have a host assigned"))
    return str(node)


def container_of(pod: Record, wanted: str) -> str:
    """The container that is meant; ApiError 400 in Kubernetes' words."""
    spec = pod.object["spec"]
    names = [c["name"] for c in spec.get("containers") or ()]
    others = [
        c["name"]
        for kind in ("initContainers", "ephemeralContainers")
        for c in spec.get(kind) or ()
    ]
    if wanted:
        if wanted in names or wanted in others:
            return wanted
        raise ApiError(status.bad_request(f"container {wanted} is not valid for pod {pod.name}"))
    if len(names) == 1 and not spec.get("ephemeralContainers"):
        return str(names[0])
    message = (
        f"a container name must be specified for pod {pod.name}, choose one of: [{' '.join(names)}]"
    )
    if spec.get("initContainers"):
        inits = [c["name"] for c in spec["initContainers"]]
        message += f" or one of the init containers: [{' '.join(inits)}]"
    raise ApiError(status.bad_request(message))


def _client_context(pki: Path) -> ssl.SSLContext:
    context: ssl.SSLContext = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(pki / "ca.crt")
    context.load_cert_chain(
        pki / "apiserver-kubelet-client.crt", pki / "apiserver-kubelet-client.key"
    )
    return context


def _send(client: http.client.HTTPConnection, call: Call, method: str, target: str) -> None:
    body: Body = call.environ["wsgi.input"]
    client.putrequest(method, target, skip_accept_encoding=True)
    client.putheader("Connection", "close")
    for name in _FORWARDED:
        if name in call.environ:
            client.putheader(name.removeprefix("HTTP_").replace("_", "-"), call.environ[name])
    is_chunked = body.length is None
    if is_chunked:
        client.putheader("Transfer-Encoding", "chunked")
    elif body.length or method in ("POST", "PUT", "PATCH"):
        client.putheader("Content-Length", str(body.length))
    client.endheaders()
    try:
        for piece in body.chunks():
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if is_chunked:
            client.send(b"0\r\n\r\n")
    except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
        return  # the kubelet has refused in the middle: its answer says why


def _pieces(
    connection: Connection, upstream: Any, answer: http.client.HTTPResponse
) -> Iterator[bytes]:
    """The answer as it comes; when our client goes away the kubelet's connection is closed at
    once."""

    def client_may_have_gone() -> None:
        if connection.has_gone():
            upstream.close()

    connection.on_readable(client_may_have_gone)
    try:
        while piece := answer.read1(PIECE_BYTES):
            yield piece
    except (OSError, http.client.HTTPException):
        if not connection.has_gone():
            raise
    finally:
        connection.stop_on_readable()
        answer.close()
        upstream.close()


def _refusal(answer: http.client.HTTPResponse, body: bytes) -> Reply:
    """A kubelet's error: its Status as it is, its plain text as one."""
    if "json" in (answer.getheader("Content-Type") or ""):
        return Reply(answer.status, body)
    text = body.decode(errors="replace").strip() or answer.reason
    reasons = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 409: "Conflict"}
    raise ApiError(status.status(answer.status, reasons.get(answer.status, "InternalError"), text))


# ---- exec, attach and port-forward -------------------------------------------------------------


def _splice_upgraded(call: Call, upstream: Any, target: str) -> Reply:
    """Pass the upgrade on; if the kubelet agrees, bytes flow until both ends have closed."""
    upstream.sendall(_upgrade_request(call, target))
    head, rest = _read_head(upstream)
    code = int(head.split(b" ", 2)[1])
    if code != 101:
        # As it is, not as a Status: clients put their own words around it.
        text = (rest + _read_rest(upstream)).strip()
        return Reply(code, text + b"\n", "text/plain")
    connection: Connection = call.environ["podium.connection"]
    client, early = connection.take()
    client.settimeout(None)
    upstream.settimeout(None)
    _notice_silence(client)
    if early:
        upstream.sendall(early)
    client.sendall(head + b"\r\n\r\n" + rest)
    _splice(client, upstream)
    with contextlib.suppress(OSError):
        client.shutdown(gevent.socket.SHUT_WR)
        connection.linger()  # unread bytes would turn the close into a reset
    return Reply(200, b"")


def _notice_silence(client: Any) -> None:
    """A session may be silent for hours; a client whose machine is gone is found out all the same
    (`man 7 tcp`)."""
    client.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_KEEPALIVE, 1)
    client.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_KEEPIDLE, KEEPALIVE_S)
    client.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_KEEPINTVL, KEEPALIVE_S)


def _splice(client: Any, upstream: Any) -> None:
    """The kubelet ends the session, and all that it has sent is delivered; a client that has gone
    ends it at once."""
    upward = gevent.spawn(_pump, client, upstream)
    downward = gevent.spawn(_pump, upstream, client)
    gevent.wait([upward, downward], count=1)
    has_refused = upward.ready() and upward.value is _REFUSED
    downward.join(timeout=LAST_WORDS_S if has_refused else 0.0)
    gevent.killall([upward, downward])


def _upgrade_request(call: Call, target: str) -> bytes:
    environ = call.environ
    lines = [f"{call.method} {target} HTTP/1.1", "Host: kubelet", "Connection: Upgrade"]
    for name, value in environ.items():
        if name.startswith("HTTP_SEC_WEBSOCKET") or name in _OF_UPGRADES:
            header = name.removeprefix("HTTP_").replace("_", "-").title()
            lines.append(f"{header}: {value}")
    return ("\r\n".join([*lines, "Content-Length: 0"]) + "\r\n\r\n").encode("latin-1")


def _read_head(upstream: Any) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = upstream.recv(PIECE_BYTES)
        if not piece or len(data) > HEAD_LIMIT_BYTES:
            raise ApiError(
                status.internal_error("the kubelet closed the connection without an answer")
            )
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _read_rest(upstream: Any) -> bytes:
    upstream.settimeout(1.0)
    try:
        return bytes(upstream.recv(PIECE_BYTES))
    except OSError:
        return b""  # an error without a text


def _pump(source: Any, target: Any) -> str:
    """Until the source has ended, or the target takes no more."""
    while True:
        try:
            data = source.recv(PIECE_BYTES)
        except OSError:
            return _ENDED
        if not data:
            return _ENDED
        try:
            target.sendall(data)
        except OSError:
            return _REFUSED
