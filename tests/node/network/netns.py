"""Network namespaces for tests: make one, go in, open sockets there, look around with pyroute2."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from pyroute2 import IPRoute

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
TIMEOUT_S = 5.0
SILENCE_S = 0.3  # how long nothing must come for a test to say that nothing comes


def _check(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


@dataclass(frozen=True)
class Netns:
    """By an open file, so it lives until `close` and has no name on the machine."""

    fd: int

    @classmethod
    def current(cls) -> Netns:
        return cls(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    @classmethod
    def fresh(cls) -> Netns:
        """The calling thread stays where it is."""
        home = cls.current()
        try:
            _check(_libc.unshare(_CLONE_NEWNET))
            return cls.current()
        finally:
            home.enter()
            home.close()

    @property
    def path(self) -> str:
        return f"/proc/self/fd/{self.fd}"

    def enter(self) -> None:
        _check(_libc.setns(self.fd, _CLONE_NEWNET))

    def close(self) -> None:
        os.close(self.fd)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        home = Netns.current()
        self.enter()
        try:
            yield
        finally:
            home.enter()
            home.close()

    def udp(self, ip: str = "", port: int = 0) -> socket.socket:
        """A bound socket of that namespace, for the caller to close."""
        with self.inside():
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(TIMEOUT_S)
        made.bind((ip, port))
        return made

    def addresses(self) -> dict[str, str]:
        """Interface → "ip/length" of IPv4, as pyroute2 sees it."""
        with self.inside(), IPRoute() as ip:
            names = {link["index"]: link.get_attr("IFLA_IFNAME") for link in ip.get_links()}
            return {
                names[found["index"]]: f"{found.get_attr('IFA_ADDRESS')}/{found['prefixlen']}"
                for found in ip.get_addr(family=socket.AF_INET)
            }

    def default_gateway(self) -> str | None:
        with self.inside(), IPRoute() as ip:
            for route in ip.get_default_routes(family=socket.AF_INET):
                return str(route.get_attr("RTA_GATEWAY"))
        return None

    def interfaces(self) -> set[str]:
        with self.inside(), IPRoute() as ip:
            return {str(link.get_attr("IFLA_IFNAME")) for link in ip.get_links()}


def speaks(sender: socket.socket, receiver: socket.socket, to: str) -> str | None:
    """The address that the receiver sees when the sender says a word; None when it hears nothing
    for a moment. Asked first with patience: silence is only believed of a network that works."""
    sender.sendto(b"word", (to, receiver.getsockname()[1]))
    try:
        _, (ip, _) = receiver.recvfrom(100)
    except TimeoutError:
        return None
    return str(ip)
