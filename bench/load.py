"""A load generator that is cheap enough not to be the bottleneck: a process of its own, blocking
TLS sockets behind one selector, requests made before the clock starts, answers only counted.

    python -m bench.load KUBECONFIG post|get CONNECTIONS SECONDS   → one JSON line
"""

from __future__ import annotations

import json
import selectors
import socket
import ssl
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from podium.client.config import ClientConfig, load_kubeconfig, ssl_context

PODS = "/api/v1/namespaces/default/pods"


def a_pod(name: str) -> bytes:
    """A Pod of about 1.5 kB that no scheduler takes up, so that only the API server works."""
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


def request(method: str, path: str, body: bytes = b"") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: podium\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Connection:
    sock: ssl.SSLSocket
    sent_at: float = 0.0
    buffer: bytes = b""
    latencies_s: list[float] = field(default_factory=list)

    def take(self) -> int | None:
        """The status of one complete answer, None while there is more to come."""
        self.buffer += self.sock.recv(262_144)
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator:
            return None
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        if at < 0:
            raise ValueError(f"an answer without a length: {head[:80]!r}")
        length = int(lowered[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) < length:
            return None
        self.buffer = b""
        return int(head[9:12])


def connect(config: ClientConfig) -> ssl.SSLSocket:
    target = urlsplit(config.server)
    raw = socket.create_connection((target.hostname, target.port))
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return ssl_context(config).wrap_socket(raw, server_hostname=target.hostname)


def run(config: ClientConfig, kind: str, connections: int, seconds: float) -> dict[str, Any]:
    """Requests per second and the median latency, of one kind of request."""
    serial = iter(range(10**9))
    stamp = int(time.time())
    first = connect(config)
    first.sendall(request("POST", PODS, a_pod(f"load-{stamp}")))
    one = Connection(first)
    while one.take() is None:
        pass
    read = request("GET", f"{PODS}/load-{stamp}")

    def next_request() -> bytes:
        if kind == "get":
            return read
        return request("POST", PODS, a_pod(f"load-{stamp}-{next(serial)}"))

    selector = selectors.DefaultSelector()
    peers = [Connection(connect(config)) for _ in range(connections)]
    statuses: dict[int, int] = {}
    began = time.perf_counter()
    for peer in peers:
        peer.sent_at = time.perf_counter()
        peer.sock.sendall(next_request())
        selector.register(peer.sock, selectors.EVENT_READ, peer)
    while (now := time.perf_counter()) - began < seconds:
        for key, _ in selector.select(timeout=1):
            peer = key.data
            status = peer.take()
            if status is None:
                continue
            statuses[status] = statuses.get(status, 0) + 1
            peer.latencies_s.append(time.perf_counter() - peer.sent_at)
            peer.sent_at = time.perf_counter()
            peer.sock.sendall(next_request())
    took = now - began
    for peer in [*peers, one]:
        peer.sock.close()
    good = statuses.get(200, 0) + statuses.get(201, 0)
    latencies = [latency for peer in peers for latency in peer.latencies_s]
    return {
        "per_s": good / took,
        "median_ms": statistics.median(latencies) * 1000,
        "statuses": statuses,
        "generator_cpu": time.process_time() / took,
    }


if __name__ == "__main__":
    kubeconfig, kind, connections, seconds = sys.argv[1:5]
    print(json.dumps(run(load_kubeconfig(kubeconfig), kind, int(connections), float(seconds))))
