"""The request that makes a connection speak SPDY. Room kubelet; called by channels.py and
forward.py."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler

from kubelet.streams.link import Link

NAME = "SPDY/3.1"


class NoCommonProtocol(Exception):
    """The client offers no version that the server speaks: 403, as Kubernetes has it."""


def is_wanted(handler: BaseHTTPRequestHandler) -> bool:
    return handler.headers.get("Upgrade", "").upper() == NAME


def upgrade(handler: BaseHTTPRequestHandler, protocols: tuple[str, ...]) -> tuple[str, Link]:
    """Answer with 101: the first of `protocols` (best first) that the client offers, and the
    connection. A client that offers none speaks the last one. Raises NoCommonProtocol."""
    offered = ",".join(handler.headers.get_all("X-Stream-Protocol-Version") or ())
    names = [name.strip() for name in (offered or protocols[-1]).split(",")]
    protocol = next((known for known in protocols if known in names), None)
    if protocol is None:
        raise NoCommonProtocol(
            f"unable to upgrade: unable to negotiate protocol: client supports "
            f"[{' '.join(names)}], server accepts [{' '.join(protocols)}]"
        )
    lines = ["HTTP/1.1 101 Switching Protocols", f"Upgrade: {NAME}", "Connection: Upgrade"]
    if offered:
        lines.append(f"X-Stream-Protocol-Version: {protocol}")
    handler.close_connection = True
    handler.connection.sendall("\r\n".join([*lines, "", ""]).encode())
    return protocol, Link(handler.connection)
