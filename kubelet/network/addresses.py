"""Which address belongs to whom (IPAM): one file an address, named by it, holding the owner's uid.

Room kubelet/network. Creating the file with O_EXCL is the allocation; removing it is the release. The
index in memory is read from the files at the start.
"""

from __future__ import annotations

import ipaddress
import os
import threading
from dataclasses import dataclass
from pathlib import Path


class NetworkError(Exception):
    """The network cannot be set up; the message names the object and says what is in the way."""


@dataclass(frozen=True)
class PodAddress:
    """What a Pod has. `mac` is "" until the interface was made."""

    ip: str
    prefix_length: int
    gateway: str
    host_interface: str
    mac: str = ""


class AddressPool:
    """The addresses of a subnet, handed out in turn so that one just freed is not used again at once."""

    def __init__(self, subnet: str, directory: str) -> None:
        self.network = ipaddress.ip_network(subnet)
        self.gateway = str(self.network.network_address + 1)
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._by_owner: dict[str, str] = {}
        self._taken: set[str] = set()
        self._next = 2  # .0 is the network, .1 the gateway
        for file in self._directory.iterdir():
            owner = file.read_text().strip()
            if not owner:
                file.unlink()  # a crash between making the file and writing it: nobody has the address
                continue
            self._by_owner[owner] = file.name
            self._taken.add(file.name)

    def take(self, owner: str) -> str:
        """The owner's address, a new one if it has none; raises NetworkError when all are taken."""
        with self._lock:
            if owner in self._by_owner:
                return self._by_owner[owner]
            size = self.network.num_addresses
            for _ in range(size):
                number, self._next = self._next, self._next + 1
                if self._next >= size - 1:  # the last one is the broadcast address
                    self._next = 2
                ip = str(self.network.network_address + number)
                if ip not in self._taken and 2 <= number < size - 1:
                    self._write(ip, owner)
                    return ip
        raise NetworkError(f"no address left in {self.network}: all {size - 3} are taken")

    def _write(self, ip: str, owner: str) -> None:
        fd = os.open(self._directory / ip, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        with open(fd, "w", encoding="ascii") as file:
            file.write(owner)
        self._by_owner[owner] = ip
        self._taken.add(ip)

    def release(self, owner: str) -> None:
        """Safe to repeat."""
        with self._lock:
            ip = self._by_owner.pop(owner, None)
            if ip is not None:
                self._taken.discard(ip)
                (self._directory / ip).unlink(missing_ok=True)

    def owners(self) -> dict[str, str]:
        """Address by owner."""
        with self._lock:
            return dict(self._by_owner)
