"""The kubelet's own HTTPS server: logs, exec, images. Only the API server may speak to it.

Room kubelet; one thread a connection. TLS with a client certificate of this cluster's CA, whose
common name must be the API server's: everybody else is refused at the handshake or with 403.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qs, unquote, urlsplit

from kubelet import exec_stream, log_reader
from kubelet.images import ImageError, ImageNotFound, ImageStore
from kubelet.pod_status import latest
from kubelet.pod_sync import PodSync
from kubelet.runtime.errors import RuntimeFailure, SandboxNotFound
from kubelet.runtime.protocol import ContainerStatus, Runtime

log = logging.getLogger("kubelet-server")
Object = dict[str, Any]

CALLER = "kube-apiserver-kubelet-client"
CHUNK = 256 * 1024


class Refused(Exception):
    """An answer other than success."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class KubeletServer:
    """Listens at once; `start` begins to answer."""

    def __init__(
        self,
        host: str,
        data_dir: str,
        node_name: str,
        *,
        runtime: Runtime,
        images: ImageStore,
        sync: PodSync,
        find: Callable[[str, str], Object | None],
        pods: Callable[[], list[Object]],
    ) -> None:
        self.runtime, self.images, self.sync, self.find, self.pods = (
            runtime,
            images,
            sync,
            find,
            pods,
        )
        self._server = _Server((host, 0), _Handler, self, _tls(data_dir, node_name))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(60,), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        # serve_forever sleeps long; a listening socket that is shut down wakes it at once.
        self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._server.server_close()


def _tls(data_dir: str, node_name: str) -> ssl.SSLContext:
    pki = Path(data_dir) / "pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pki / f"kubelet-{node_name}.crt", pki / f"kubelet-{node_name}.key")
    context.load_verify_locations(pki / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[_Handler],
        kubelet: KubeletServer,
        tls: ssl.SSLContext,
    ) -> None:
        self.kubelet = kubelet
        self.tls = tls
        super().__init__(address, handler)

    def get_request(self) -> tuple[Any, Any]:
        """The handshake is done by the connection's own thread, at its first read."""
        sock, address = super().get_request()
        return self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("connection of %s ended early", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = None
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        log.debug(format, *args)

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_DELETE = do_GET

    def _answer(self) -> None:
        try:
            self._authorize()
            self._route()
        except Refused as refused:
            self._send(refused.code, {"message": str(refused)})
        except (RuntimeFailure, ImageError, ValueError) as failure:
            self._send(400, {"message": str(failure)})
        except (BrokenPipeError, ConnectionError, ssl.SSLError):
            self.close_connection = True  # the caller has gone

    def _authorize(self) -> None:
        certificate = self.connection.getpeercert() or {}  # type: ignore[attr-defined]
        names = {k: v for part in certificate.get("subject", ()) for k, v in part}
        if names.get("commonName") != CALLER:
            raise Refused(
                403, f"only the API server may speak to a kubelet, not {names.get('commonName')}"
            )

    def _route(self) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query = parse_qs(url.query, keep_blank_values=True)
        match (self.command, parts):
            case ("GET", ["healthz"]):
                self._send_text(200, b"ok")
            case ("GET", ["pods"]):
                self._send(
                    200,
                    {"kind": "PodList", "apiVersion": "v1", "items": self.server.kubelet.pods()},
                )
            case ("GET", ["containerLogs", namespace, pod, container]):
                self._logs(namespace, pod, container, {k: v[-1] for k, v in query.items()})
            case ("GET" | "POST", ["exec", namespace, pod, container]):
                _, status = self._container(namespace, pod, container)
                exec_stream.serve(self, self.server.kubelet.runtime, status, query)
            case ("GET", ["images"]):
                self._send(
                    200, {"images": [image_json(i) for i in self.server.kubelet.images.list()]}
                )
            case ("POST", ["images", "load"]):
                body = _Body(self)
                loaded = self.server.kubelet.images.load(body)
                body.drain()
                self._send(200, {"images": [image_json(i) for i in loaded]})
            case ("DELETE", ["images"]):
                self._remove_image(query.get("reference", [""])[-1])
            case _:
                raise Refused(404, f"no such page: {url.path}")

    # ---- the pages ----

    def _container(
        self, namespace: str, pod_name: str, container: str
    ) -> tuple[Object, ContainerStatus | None]:
        kubelet = self.server.kubelet
        pod = kubelet.find(namespace, pod_name)
        if pod is None:
            raise Refused(404, f'pod "{pod_name}" not found on this node')
        names = [
            c["name"] for f in ("containers", "initContainers") for c in pod["spec"].get(f) or ()
        ]
        if container not in names:
            raise Refused(400, f"container {container} is not valid for pod {pod_name}")
        try:
            return pod, latest(kubelet.runtime.list_containers(pod["metadata"]["uid"]), container)
        except SandboxNotFound:
            return pod, None

    def _logs(self, namespace: str, pod_name: str, container: str, query: dict[str, str]) -> None:
        pod, current = self._container(namespace, pod_name, container)
        options = log_reader.options_from(query)
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        known = next((s.get("restartCount", 0) for s in statuses if s["name"] == container), 0)
        attempt = current.attempt if current is not None else known
        path = self.server.kubelet.sync.log_file(pod, container, attempt)
        if query.get("previous") in ("true", "1"):
            path = self.server.kubelet.sync.log_file(pod, container, attempt - 1)
            if attempt == 0 or not path.exists():
                raise Refused(
                    400,
                    f'previous terminated container "{container}" in pod "{pod_name}" not found',
                )
        elif current is None and not path.exists():
            raise Refused(
                400,
                f'container "{container}" in pod "{pod_name}" is waiting to start: '
                "ContainerCreating",
            )
        self._stream(
            log_reader.read_log(path, options, lambda: self._is_over(pod, container, attempt))
        )

    def _is_over(self, pod: Object, container: str, attempt: int) -> bool:
        """Whether the attempt whose log is followed can write no more."""
        try:
            found = self.server.kubelet.runtime.list_containers(pod["metadata"]["uid"])
        except RuntimeFailure:
            return True
        status = next((c for c in found if c.name == container and c.attempt == attempt), None)
        return status is None or status.state == "exited"

    def _remove_image(self, reference: str) -> None:
        try:
            self.server.kubelet.images.remove(reference)
        except ImageNotFound as failure:
            raise Refused(404, str(failure)) from failure
        self._send(200, {"removed": reference})

    # ---- answers ----

    def _stream(self, pieces: Iterator[bytes]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def _send(self, code: int, body: Object) -> None:
        self._send_text(code, json.dumps(body).encode(), "application/json")

    def _send_text(self, code: int, body: bytes, kind: str = "text/plain") -> None:
        if code >= 400:
            self.close_connection = True  # a body may be left unread
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def image_json(image: Any) -> Object:
    return {"id": image.id, "references": list(image.references), "sizeBytes": image.size_bytes}


class _Body:
    """A request's body as a file: with a length, or in chunks (RFC 9112)."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        self._file: BinaryIO = handler.rfile  # type: ignore[assignment]
        self._chunked = "chunked" in (handler.headers.get("Transfer-Encoding") or "")
        self._left = 0 if self._chunked else int(handler.headers.get("Content-Length") or 0)
        self._is_done = not self._chunked and self._left == 0

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, b"" at the end; all of it with -1."""
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK), b""))
        pieces = []
        while size > 0 and not self._is_done:
            if self._left == 0 and not self._next_chunk():
                break
            piece = self._file.read(min(size, self._left))
            if not piece:
                raise ValueError("the body ended early")
            pieces.append(piece)
            size -= len(piece)
            self._left -= len(piece)
            if self._left == 0 and not self._chunked:
                self._is_done = True
            elif self._left == 0:
                self._file.readline()
        return b"".join(pieces)

    def _next_chunk(self) -> bool:
        self._left = int(self._file.readline(128).split(b";")[0], 16)
        if self._left == 0:
            self._is_done = True
            self._file.readline()
        return not self._is_done

    def drain(self) -> None:
        """Read what is left, so that the next request begins at its beginning."""
        while self.read(CHUNK):
            pass
