"""Room podium/testing: ports and Pod networks that no two clusters of tests get.

Both are free only until a cluster that has just been started takes them; until then, and as long as
it lives, its guardian holds an abstract Unix socket of their name. The kernel forgets that with the
process, and keeps it apart by network namespace, as ports and routes are.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from podium.cli import preflight

FIRST_NET, NETS = 128, 128  # 10.128.0.0/16 to 10.255.0.0/16
MOST_PORTS = 50  # tries


@dataclass(slots=True)
class Places:
    """Held while this object lives."""

    port: int
    pod_cidr: str
    holds: list[socket.socket]


def take_places(*, needs_network: bool) -> Places:
    """Raises Unfit when there are none left."""
    holds: list[socket.socket] = []
    port = _port(holds)
    return Places(port, _pod_cidr(holds) if needs_network else "", holds)


def _port(holds: list[socket.socket]) -> int:
    for _ in range(MOST_PORTS):
        port = preflight.check_port("127.0.0.1", 0)
        if _hold(f"port {port}", holds):
            return port
    raise preflight.Unfit("no free port was found")


def _pod_cidr(holds: list[socket.socket]) -> str:
    routes = list(preflight.existing_routes())
    for n in range(NETS):
        cidr = f"10.{FIRST_NET + (os.getpid() + n) % NETS}.0.0/16"
        try:
            preflight.check_pod_cidr(cidr, routes)
        except preflight.Unfit:
            continue
        if _hold(f"network {cidr}", holds):
            return cidr
    raise preflight.Unfit("every network from 10.128.0.0/16 to 10.255.0.0/16 is in use here")


def _hold(what: str, holds: list[socket.socket]) -> bool:
    held = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        held.bind(f"\0podium-test {what}")
    except OSError:
        held.close()
        return False
    holds.append(held)
    return True
