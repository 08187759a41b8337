"""Which ports of the node lead to which Pod: one small file a Pod, so that a kubelet that comes
back puts all of them into its first firewall.

    <state_dir>/host-ports/17472bd7-471f-4094-9baa-df2907f983f4:
    10.244.0.5
    TCP 0.0.0.0 8080 80

Room kubelet/network; any thread. The rules themselves are made by firewall.py.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ANY = ("", "0.0.0.0")
PROTOCOLS = {
    "TCP": socket.IPPROTO_TCP,
    "UDP": socket.IPPROTO_UDP,
    "SCTP": socket.IPPROTO_SCTP,
}


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the node, on all its addresses or one, and where it leads to in the Pod."""

    protocol: str  # "TCP", "UDP", "SCTP"
    host_ip: str
    host_port: int
    container_port: int


@dataclass(frozen=True, slots=True)
class Published:
    """A HostPort with the Pod that has it."""

    owner: str  # uid
    pod_ip: str
    protocol: str
    host_ip: str
    host_port: int
    container_port: int


class HostPorts:
    """Change it only inside of `with ports.changing()`: file and firewall go together."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}
        for name in os.listdir(self._directory):
            if name.startswith("."):
                (self._directory / name).unlink(missing_ok=True)  # not finished by who wrote it
            else:
                self._texts[name] = (self._directory / name).read_text()

    @contextlib.contextmanager
    def changing(self) -> Iterator[HostPorts]:
        with self._lock:
            yield self

    def put(self, uid: str, ip: str, ports: tuple[HostPort, ...]) -> bool:
        """Whether there is anything to do in the firewall: a Pod without ports, that had none,
        costs nothing."""
        if not ports:
            return self.drop(uid)
        lines = [
            f"{one.protocol} {one.host_ip or ANY[1]} {one.host_port} {one.container_port}"
            for one in ports
        ]
        text = "\n".join([ip, *lines]) + "\n"
        temporary = self._directory / f".{uid}"
        temporary.write_text(text)
        temporary.replace(self._directory / uid)
        self._texts[uid] = text
        return True

    def drop(self, uid: str) -> bool:
        """Whether it had any."""
        if self._texts.pop(uid, None) is None:
            return False
        (self._directory / uid).unlink(missing_ok=True)
        return True

    def clear(self) -> None:
        for uid in list(self._texts):
            self.drop(uid)

    def all(self) -> list[Published]:
        return [one for uid in self._texts for one in self._of(uid)]

    def udp_ports(self, uid: str) -> set[int]:
        """The node's ports that lead to it by UDP."""
        return {one.host_port for one in self._of(uid) if one.protocol == "UDP"}

    def _of(self, uid: str) -> Iterator[Published]:
        ip, *lines = self._texts.get(uid, "").splitlines() or [""]
        for line in lines:
            protocol, host_ip, host_port, port = line.split()
            yield Published(uid, ip, protocol, host_ip, int(host_port), int(port))
