"""The kubelet's own HTTPS server: logs, streams, images. Only the API server may speak to it.

Room kubelet; made by agent.py, one thread a connection. TLS with a client certificate of this
cluster's CA, whose common name must be the API server's: everybody else is refused at the handshake
or with 403. Errors are plain text, as a kubelet's are; the API server makes a Status of them.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from kubelet import log_reader
from kubelet.container_config import ContainerConfigs
from kubelet.http_body import RequestBody
from kubelet.image_keeper import ImageInUse
from kubelet.image_requests import ImageRequests
from kubelet.images import ImageError, ImageNotFound
from kubelet.log_follower import Exits, LogFollower
from kubelet.network import NetworkError
from kubelet.network.namespace import tcp_inside
from kubelet.pod_plan import container_statuses, newest, specs_by_name
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Runtime
from kubelet.stats.pages import Statistics
from kubelet.streams.spdy_upgrade import NoCommonProtocol

if TYPE_CHECKING:
    from kubelet.inspect import Inspector

log = logging.getLogger("kubelet-server")
Object = dict[str, Any]

CALLER = "kube-apiserver-kubelet-client"
HANDSHAKE_S = 10.0


class Refused(Exception):
    """An answer other than success."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rooms(NamedTuple):
    """What the pages are made of. `find(namespace, name)` gives a Pod of this node."""

    runtime: Runtime
    images: ImageRequests
    configs: ContainerConfigs
    exits: Exits
    find: Callable[[str, str], Object | None]
    pods: Callable[[], list[Object]]
    statistics: Statistics
    inspector: Callable[[], Inspector]


class KubeletServer:
    """Listens on a free port at once; `start` begins to answer."""

    def __init__(self, host: str, pki: Path, node_name: str, rooms: Rooms) -> None:
        self._server = _Server((host, 0), rooms, _tls(pki, node_name))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(60,), name="server", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no new connections; what is under way ends with the process."""
        if self._thread.is_alive():
            # serve_forever sleeps long; a listening socket that is shut down wakes it at once
            self._server.socket.shutdown(socket.SHUT_RDWR)
            self._server.shutdown()
        self._server.server_close()


def _tls(pki: Path, node_name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / f"kubelet-{node_name}.crt", pki / f"kubelet-{node_name}.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 1  # for the API server, to come back with
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], rooms: Rooms, tls: ssl.SSLContext) -> None:
        self.rooms = rooms
        self.tls = tls
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name that http.server makes."""
        socket.socket.bind(self.socket, self.server_address)
        self.server_address = self.socket.getsockname()

    def get_request(self) -> tuple[Any, Any]:
        """The handshake is made by the connection's own thread."""
        sock, address = super().get_request()
        sock.settimeout(HANDSHAKE_S)
        return self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("the connection of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    connection: ssl.SSLSocket
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.connection.do_handshake()
        self.connection.settimeout(None)

    @property
    def rooms(self) -> Rooms:
        return self.server.rooms

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def do_GET(self) -> None:
        self._is_streaming = False
        try:
            self._authorize()
            self._route()
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            self.close_connection = True  # the caller has gone
        except Refused as refused:
            self._refuse(refused.code, str(refused))
        except ImageNotFound as failure:
            self._refuse(HTTPStatus.NOT_FOUND, str(failure))
        except NoCommonProtocol as failure:
            self._refuse(HTTPStatus.FORBIDDEN, str(failure))
        except ImageInUse as failure:
            self._refuse(HTTPStatus.CONFLICT, str(failure))
        except (RuntimeFailure, ImageError, ValueError) as failure:
            self._refuse(HTTPStatus.BAD_REQUEST, str(failure))
        except OSError as failure:
            log.warning("%s %s: %s", self.command, self.path, failure)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(failure))

    do_POST = do_DELETE = do_GET

    def _authorize(self) -> None:
        certificate = self.connection.getpeercert() or {}
        subject: Any = certificate.get("subject", ())
        names = {key: value for part in subject for key, value in part}
        if names.get("commonName") != CALLER:
            name = names.get("commonName", "nobody")
            raise Refused(403, f"only the API server may speak to a kubelet, not {name}")

    def _route(self) -> None:
        url = urlsplit(self.path)
        self.rooms.statistics.asked(self.command, url.path)
        query = parse_qs(url.query, keep_blank_values=True)
        last = {name: values[-1] for name, values in query.items()}
        match (self.command, [unquote(part) for part in url.path.strip("/").split("/")]):
            case ("GET", ["healthz"]):
                self._send(b"ok", "text/plain")
            case ("GET", ["pods"]):
                pods = {"kind": "PodList", "apiVersion": "v1", "items": self.rooms.pods()}
                self._send_json(pods)
            case ("GET", ["containerLogs", namespace, pod, container]):
                self._logs(namespace, pod, container, last)
            case ("GET", ["inspect", namespace, pod]):
                self._inspect(namespace, pod, last.get("container", ""))
            case ("GET", ["commands", namespace, pod, container]):
                self._commands(namespace, pod, container)
            case ("GET" | "POST", ["exec", namespace, pod, container]):
                self._exec(namespace, pod, container, query)
            case ("GET" | "POST", ["attach", namespace, pod, container]):
                self._attach(namespace, pod, container, query)
            case ("GET" | "POST", ["portForward", namespace, pod]):
                self._port_forward(namespace, pod, query)
            case ("GET", ["metrics" | "stats", *_]):
                self._statistics(url.path, last)
            case ("GET", ["images"]):
                self._send_json(self.rooms.images.images())
            case ("POST", ["images", "load"]):
                body = RequestBody(self.rfile, self.headers)
                self._send_json(self.rooms.images.load(body, last.get("name")))
            case ("POST", ["images", "pull"]):
                self._send_json(self.rooms.images.pull(RequestBody(self.rfile, self.headers)))
            case ("DELETE", ["images"]):
                self._send_json(self.rooms.images.remove(last.get("reference", "")))
            case _:
                raise Refused(404, f"no such page: {url.path}")

    # ---- containers ----

    def _container(
        self, namespace: str, pod_name: str, name: str
    ) -> tuple[Object, ContainerStatus | None]:
        pod = self.rooms.find(namespace, pod_name)
        if pod is None:
            raise Refused(404, f'pod "{pod_name}" not found')
        if name not in specs_by_name(pod):
            raise Refused(400, f"container {name} is not valid for pod {pod_name}")
        return pod, newest(self.rooms.runtime.list_containers(pod["metadata"]["uid"]), name)

    def _logs(self, namespace: str, pod_name: str, name: str, query: dict[str, str]) -> None:
        pod, current = self._container(namespace, pod_name, name)
        options = log_reader.options_from(query)
        attempt = _attempt(pod, name, current)
        if query.get("previous") in ("true", "1"):
            attempt -= 1
        path = self.rooms.configs.log_file(pod, name, attempt)
        if not path.exists() and (attempt < 0 or query.get("previous") in ("true", "1")):
            message = f'previous terminated container "{name}" in pod "{pod_name}" not found'
            raise Refused(400, message)
        if not path.exists() and current is None:
            raise Refused(400, _why_waiting(pod, pod_name, name))
        if query.get("follow") in ("true", "1") and current and current.attempt == attempt:
            with self._follower(path, current) as follower:
                self._stream(log_reader.read_log(path, options, follower))
        else:
            self._stream(log_reader.read_log(path, options))

    def _follower(self, path: Path, current: ContainerStatus) -> LogFollower:
        return LogFollower(
            path.parent, current.id, lambda: self._is_over(current), self.rooms.exits,
            self.connection.fileno(),
        )  # fmt: skip

    def _is_over(self, current: ContainerStatus) -> bool:
        """Whether it can write no more."""
        try:
            return self.rooms.runtime.container_status(current.id).state == "exited"
        except RuntimeFailure:
            return True

    # ---- the kernel behind it ----

    def _inspect(self, namespace: str, name: str, container: str) -> None:
        pod = self.rooms.find(namespace, name)
        if pod is None:
            raise Refused(404, f'pods "{name}" not found')
        self._send_json(self.rooms.inspector().inspect(pod, container))

    def _commands(self, namespace: str, name: str, container: str) -> None:
        from kubelet.inspect import NotRepeatable

        pod = self.rooms.find(namespace, name)
        if pod is None:
            raise Refused(404, f'pods "{name}" not found')
        try:
            script = self.rooms.inspector().commands(pod, container)
        except NotRepeatable as failure:
            raise Refused(400, str(failure)) from None
        self._send(script.encode(), "text/plain; charset=utf-8")

    # ---- streams: imported when first used, for most nodes' lives go by without ----

    def _running(self, namespace: str, pod: str, name: str) -> ContainerStatus:
        _, current = self._container(namespace, pod, name)
        if current is None or current.state != "running":
            raise Refused(500, f'container not found ("{name}")')
        return current

    def _exec(self, namespace: str, pod: str, name: str, query: dict[str, list[str]]) -> None:
        from kubelet.streams import process

        current = self._running(namespace, pod, name)
        process.serve_exec(self, self.rooms.runtime, current, query)

    def _attach(self, namespace: str, pod: str, name: str, query: dict[str, list[str]]) -> None:
        from kubelet.streams import process

        current = self._running(namespace, pod, name)
        process.serve_attach(self, self.rooms.runtime, current, query)

    def _port_forward(self, namespace: str, name: str, query: dict[str, list[str]]) -> None:
        from kubelet.streams import forward

        pod = self.rooms.find(namespace, name)
        if pod is None:
            raise Refused(404, "pod does not exist")
        uid = pod["metadata"]["uid"]

        def open_socket(family: int) -> socket.socket:
            found = (s for s in self.rooms.runtime.list_pod_sandboxes() if s.id == uid)
            sandbox = next((s for s in found if s.state == "ready"), None)
            if sandbox is None:
                raise NetworkError("its sandbox is not running")
            is_hosts = bool(pod["spec"].get("hostNetwork"))
            return tcp_inside(sandbox.netns_path, family, is_hosts=is_hosts)

        forward.serve(self, f"{name}_{namespace}, uid {uid}", open_socket, query)

    # ---- statistics ----

    def _statistics(self, path: str, query: dict[str, str]) -> None:
        page = self.rooms.statistics.page(path, query)
        if page is None:
            raise Refused(404, f"no such page: {path}")
        more = {"Podium-Window-Seconds": f"{page.window_s:.3f}"} if page.window_s else {}
        self._send(page.body.encode(), page.content_type, more=more)

    # ---- answers ----

    def _stream(self, pieces: Iterator[bytes]) -> None:
        self._is_streaming = True
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _refuse(self, code: int, message: str) -> None:
        self.close_connection = True  # a body may be left unread
        if not self._is_streaming:
            self._send(message.encode(), "text/plain; charset=utf-8", code)

    def _send_json(self, body: Object) -> None:
        self._send(json.dumps(body).encode(), "application/json")

    def _send(
        self, body: bytes, kind: str, code: int = 200, more: Mapping[str, str] | None = None
    ) -> None:
        """Head and body together: whoever reads once has both."""
        lines = [f"HTTP/1.1 {code} {HTTPStatus(code).phrase}", f"Content-Type: {kind}"]
        lines += [f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (more or {}).items()]
        lines += ["Connection: close"] if self.close_connection else []
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def _attempt(pod: Object, name: str, current: ContainerStatus | None) -> int:
    """The newest attempt: as the runtime knows, else as the status says."""
    if current is not None:
        return current.attempt
    status = container_statuses(pod.get("status") or {}).get(name) or {}
    return int(status.get("restartCount", 0))


def _why_waiting(pod: Object, pod_name: str, name: str) -> str:
    status = container_statuses(pod.get("status") or {}).get(name) or {}
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason = waiting.get("reason") or "ContainerCreating"
    message = f'container "{name}" in pod "{pod_name}" is waiting to start: '
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        return message + "trying and failing to pull image"
    return message + str(reason if not waiting.get("message") else waiting["message"])
