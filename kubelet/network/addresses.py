"""Which address belongs to whom (IPAM): one symbolic link an address, pointing at its owner.

    <state_dir>/addresses/10.244.0.5 -> 17472bd7-471f-4094-9baa-df2907f983f4

Room kubelet/network; any thread, and any process that has the same directory. Making the link is
the allocation: one system call, whole or not at all, refused if the name is there. Removing it is
the release. `ls -l` shows the state.

Each process keeps what it has read. That somebody has changed it since, the directory's mtime says,
but not for certain: until Linux 6.13 two changes within a tick of the kernel's clock have the same.
So there is also a count of the changes, in the file `addresses.lock`.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kubelet.network.errors import NetworkError, NoAddressLeft

COUNT_BYTES = 8


@dataclass(frozen=True, slots=True)
class PodAddress:
    """What a Pod has."""

    ip: str
    prefix_length: int
    gateway: str
    host_interface: str
    mac: str


def mac_of(ip: str) -> str:
    """The hardware address that goes with an address, so that no ARP cache is ever wrong when
    an address changes hands: 10.244.0.5 → "0a:58:0a:f4:00:05" (locally administered)."""
    return "0a:58:" + ipaddress.IPv4Address(ip).packed.hex(":")


class AddressPool:
    """The addresses of a subnet, handed out in turn so that one just freed is not used again at
    once."""

    def __init__(self, subnet: str, directory: str) -> None:
        try:
            self.network = ipaddress.IPv4Network(subnet)
        except ValueError as failure:
            raise NetworkError(f"{subnet!r} is no IPv4 subnet: {failure}") from failure
        if self.network.prefixlen > 29:
            raise NetworkError(f"subnet {subnet} is too small: at least a /29")
        self.gateway = str(self.network[1])
        self._directory = Path(directory)
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_path = self._directory.with_name(self._directory.name + ".lock")
        self._lock = threading.Lock()
        self._by_owner: dict[str, str] = {}
        self._taken: set[str] = set()
        self._read_at = (-1, b"")  # the directory's mtime and count of changes, when last read
        self._lock_fd = -1  # while this pool is alone
        self._next = 2  # .0 is the network, .1 the gateway
        with self._locked():
            self._go_on_after_the_newest()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among threads and processes, and with the directory as it is."""
        with self._lock:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
                self._lock_fd = fd
                if self._state() != self._read_at:
                    self._read()
                yield
                self._read_at = self._state()
            finally:
                os.close(fd)

    def _state(self) -> tuple[int, bytes]:
        return os.stat(self._directory).st_mtime_ns, os.pread(self._lock_fd, COUNT_BYTES, 0)

    def _count_change(self) -> None:
        """Before it is made: whoever is killed in the middle has counted one too many."""
        count = int.from_bytes(os.pread(self._lock_fd, COUNT_BYTES, 0), "little") + 1
        os.pwrite(self._lock_fd, count.to_bytes(COUNT_BYTES, "little"), 0)

    def _read(self) -> None:
        """Links of this subnet; whatever else lies there keeps its name, so `_make` leaves it
        alone."""
        paths = (self._directory / name for name in os.listdir(self._directory))
        links = {
            path.name: os.readlink(path)
            for path in paths
            if path.is_symlink() and self._has(path.name)
        }
        self._by_owner = {owner: ip for ip, owner in links.items()}
        self._taken = set(links)

    def _has(self, ip: str) -> bool:
        try:
            return ipaddress.IPv4Address(ip) in self.network
        except ValueError:
            return False

    def _go_on_after_the_newest(self) -> None:
        """A restart must not hand out what was freed just before it."""
        if self._taken:
            newest = max(self._taken, key=lambda ip: os.lstat(self._directory / ip).st_mtime_ns)
            self._next = int(ipaddress.IPv4Address(newest)) - int(self.network[0]) + 1

    def take(self, owner: str) -> str:
        """The owner's address, a new one if it has none; raises NoAddressLeft."""
        first, last = 2, self.network.num_addresses - 2  # the very last is the broadcast address
        with self._locked():
            if (mine := self._by_owner.get(owner)) is not None:
                return mine
            for _ in range(first, last + 1):
                number = self._next if first <= self._next <= last else first
                self._next = number + 1
                ip = str(self.network[number])
                if ip not in self._taken and self._make(ip, owner):
                    return ip
        raise NoAddressLeft(f"no address left in {self.network}: all {last - first + 1} are taken")

    def _make(self, ip: str, owner: str) -> bool:
        self._taken.add(ip)
        self._count_change()
        try:
            os.symlink(owner, self._directory / ip)
        except FileExistsError:
            return False
        self._by_owner[owner] = ip
        return True

    def release(self, owner: str) -> None:
        """Safe to repeat."""
        with self._locked():
            ip = self._by_owner.pop(owner, None)
            if ip is not None:
                self._count_change()
                (self._directory / ip).unlink(missing_ok=True)
                self._taken.discard(ip)

    def get(self, owner: str) -> str | None:
        with self._locked():
            return self._by_owner.get(owner)

    def owners(self) -> dict[str, str]:
        """Address by owner."""
        with self._locked():
            return dict(self._by_owner)
