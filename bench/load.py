"""A load generator that is cheap enough not to be the bottleneck: a process of its own, TLS sockets
behind one selector, requests made before the clock starts, answers only counted.

    python -m bench.load KUBECONFIG [--port P] post|get CONNECTIONS SECONDS NAMESPACE
    python -m bench.load KUBECONFIG [--port P] fill CONNECTIONS COUNT NAMESPACE
    python -m bench.load KUBECONFIG [--port P] list RUNS 0 NAMESPACE          → one JSON line

`wrk` would be cheaper still, but it shows no client certificate, and without one the API answers
401.
"""

from __future__ import annotations

import argparse
import itertools
import json
import selectors
import socket
import ssl
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from podium.client.config import ClientConfig, load_kubeconfig, ssl_context

RECEIVE_BYTES = 262_144
TIMEOUT_S = 60


def a_pod(name: str) -> bytes:
    """A Pod of about 1 kB that no scheduler takes up, so that only the API server works."""
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "load", "tier": "bench"}},
        "spec": {
            "schedulerName": "nobody",
            "containers": [
                {
                    "name": "main",
                    "image": "host",
                    "command": ["sleep", "infinity"],
                    "env": [{"name": f"KEY_{i}", "value": "x" * 20} for i in range(10)],
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                }
            ],
        },
    }
    return json.dumps(pod).encode()


def a_namespace(name: str) -> bytes:
    metadata = {"name": name}
    return json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}).encode()


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: podium\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Connection:
    """One request at a time; `take` is called when there is something to read."""

    sock: ssl.SSLSocket
    sent_at: float = 0.0
    head: bytes = b""
    missing: int = -1  # bytes of the body; −1: the head is not complete
    is_chunked: bool = False
    tail: bytes = b""
    received: int = 0
    latencies_s: list[float] = field(default_factory=list)

    def send(self, content: bytes) -> None:
        self.head, self.missing, self.received, self.tail = b"", -1, 0, b""
        self.sent_at = time.perf_counter()
        self.sock.sendall(content)

    def take(self) -> int | None:
        """The status of one complete answer, None while there is more to come."""
        piece = self.sock.recv(RECEIVE_BYTES)
        if not piece:
            raise ConnectionError("the server closed the connection")
        self.received += len(piece)
        if self.missing < 0 and not self.is_chunked:
            piece = self._take_head(piece)
        if self.is_chunked:
            self.tail = (self.tail + piece)[-7:]
            return self._status() if self.tail.endswith(b"\r\n0\r\n\r\n") else None
        self.missing -= len(piece)
        return self._status() if self.missing == 0 else None

    def _take_head(self, piece: bytes) -> bytes:
        """What of it belongs to the body."""
        self.head, separator, body = (self.head + piece).partition(b"\r\n\r\n")
        if not separator:
            return b""
        lowered = self.head.lower()
        self.is_chunked = b"transfer-encoding: chunked" in lowered
        if not self.is_chunked:
            at = lowered.index(b"content-length:") + len(b"content-length:")
            self.missing = int(lowered[at:].split(b"\r\n", 1)[0])
        return body

    def _status(self) -> int:
        self.is_chunked = False
        self.latencies_s.append(time.perf_counter() - self.sent_at)
        return int(self.head[9:12])

    def ask(self, content: bytes) -> int:
        self.send(content)
        while (status := self.take()) is None:
            pass
        return status


def connect(config: ClientConfig, context: ssl.SSLContext) -> Connection:
    raw = socket.create_connection(config.address, timeout=TIMEOUT_S)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Connection(context.wrap_socket(raw, server_hostname=config.server_name))


def drive(peers: list[Connection], requests: Iterator[bytes], seconds: float) -> dict[str, Any]:
    """Every connection busy until the time is up or the requests are."""
    selector = selectors.DefaultSelector()
    statuses: dict[int, int] = {}
    began, cpu_began = time.perf_counter(), time.process_time()
    busy = 0
    for peer, content in zip(peers, requests, strict=False):
        peer.latencies_s.clear()
        peer.send(content)
        selector.register(peer.sock, selectors.EVENT_READ, peer)
        busy += 1
    while busy:
        for key, _ in selector.select(timeout=TIMEOUT_S):
            status = key.data.take()
            if status is None:
                continue
            statuses[status] = statuses.get(status, 0) + 1
            more = next(requests, None) if time.perf_counter() - began < seconds else None
            if more is None:
                busy -= 1
            else:
                key.data.send(more)
    took = time.perf_counter() - began
    latencies = [latency for peer in peers for latency in peer.latencies_s]
    return {
        "per_s": (statuses.get(200, 0) + statuses.get(201, 0)) / took,
        "median_ms": statistics.median(latencies) * 1000,
        "p99_ms": statistics.quantiles(latencies, n=100)[98] * 1000,
        "statuses": statuses,
        "answer_bytes": peers[0].received,
        "generator_cpu": (time.process_time() - cpu_began) / took,
    }


def run(config: ClientConfig, kind: str, size: int, bound: float, namespace: str) -> dict[str, Any]:
    context = ssl_context(config)
    first = connect(config, context)
    pods = f"/api/v1/namespaces/{namespace}/pods"
    try:
        first.ask(request("POST", "/api/v1/namespaces", a_namespace(namespace)))  # may be there
        if kind == "list":
            return _list(first, request("GET", pods), size)
        name = f"load-{time.monotonic_ns()}"
        first.ask(request("POST", pods, a_pod(name)))
        peers = [connect(config, context) for _ in range(size)]
        try:
            return drive(
                peers, _requests(kind, pods, name, bound), 1e9 if kind == "fill" else bound
            )
        finally:
            for peer in peers:
                peer.sock.close()
    finally:
        first.sock.close()


def _requests(kind: str, pods: str, name: str, bound: float) -> Iterator[bytes]:
    if kind == "get":
        return itertools.repeat(request("GET", f"{pods}/{name}"))
    made = (request("POST", pods, a_pod(f"{name}-{number}")) for number in itertools.count())
    return itertools.islice(made, int(bound)) if kind == "fill" else made


def _list(peer: Connection, content: bytes, runs: int) -> dict[str, Any]:
    statuses = [peer.ask(content) for _ in range(runs)]
    return {
        "seconds": peer.latencies_s[-runs:],
        "answer_bytes": peer.received,
        "statuses": {status: statuses.count(status) for status in set(statuses)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.load")
    parser.add_argument("kubeconfig")
    parser.add_argument("kind", choices=("post", "get", "fill", "list"))
    parser.add_argument("size", type=int)
    parser.add_argument("bound", type=float)
    parser.add_argument("namespace")
    parser.add_argument("--port", type=int, help="instead of the kubeconfig's")
    args = parser.parse_args()
    config = load_kubeconfig(args.kubeconfig)
    if args.port:
        from dataclasses import replace

        config = replace(config, server=f"https://{config.address[0]}:{args.port}")
    print(json.dumps(run(config, args.kind, args.size, args.bound, args.namespace)))


if __name__ == "__main__":
    main()
