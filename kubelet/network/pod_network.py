"""The bridge and the veth pairs on it. Room kubelet/network; runs in the kubelet, any thread.

The kernel is the state: every veth carries its Pod's uid as its alias (`ip link` shows it), so what
is there is found by asking, after any crash. Only who has which address is written down.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import secrets
import threading
from collections.abc import Container
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet.network import links
from kubelet.network.addresses import AddressPool, PodAddress, mac_of
from kubelet.network.bandwidth import Bandwidth, commands, ifb_name, put_bandwidth
from kubelet.network.conntrack import forget_udp
from kubelet.network.errors import NetworkError, SubnetClash
from kubelet.network.firewall import Services, put_firewall, put_host_ports, remove_firewall
from kubelet.network.host_ports import HostPort, HostPorts, Published
from kubelet.network.links import Link
from kubelet.network.namespace import netlink_inside, open_foreign
from kubelet.network.netlink import Netlink, Request

log = logging.getLogger("pod-network")

POD_INTERFACE = "eth0"
_DEFAULT_MTU = 1500
_LOCK_STRIPES = 64  # one Pod has one conversation at a time, different Pods nearly always their own


@dataclass(frozen=True, slots=True)
class ByHand:
    """The commands that attach a Pod, and an address that nobody has."""

    address: PodAddress
    bridge: str
    free_ip: str
    interface: str  # inside
    on_host: tuple[tuple[str, ...], ...]
    limits: tuple[tuple[str, ...], ...]  # for when it is on the bridge
    ifb: str  # the interface that they speak of beside its own
    ports: tuple[Published, ...]


class PodNetwork:
    """`bridge` is its interface's name, at most 15 characters; `subnet` the node's, such as
    "10.244.0.0/24"; `state_dir` keeps who has which address. `services` are addresses that Pods
    use and where they lead: {("10.96.0.1", 443): ("127.0.0.1", 6443)}."""

    def __init__(
        self, bridge: str, subnet: str, cluster_id: str, state_dir: str,
        services: Services | None = None,
    ) -> None:  # fmt: skip
        self.bridge = bridge
        self._table = f"podium-{cluster_id}"
        self._services = services or {}
        self._pool = AddressPool(subnet, f"{state_dir}/addresses")
        self.subnet = self._pool.network
        self._ports = HostPorts(f"{state_dir}/host-ports")
        self._has_firewall = False
        self._locks = [threading.Lock() for _ in range(_LOCK_STRIPES)]
        self._bridge_lock = threading.Lock()
        self._mtu = _DEFAULT_MTU
        self._complete: dict[str, PodAddress] = {}  # set up to the end by this process
        self._doomed: list[tuple[str, Future[None]]] = []
        self._doomed_lock, self._sweep_lock = threading.Lock(), threading.Lock()

    # ---- the bridge ----

    def ensure_bridge(self) -> None:
        """Make the bridge with the gateway's address, forwarding and the firewall. Safe to repeat;
        raises SubnetClash when the subnet is somebody else's, NetworkError when the name is."""
        with self._bridge_lock, Netlink.open() as kernel:
            found = links.find_link(kernel, self.bridge)
            if found is not None and found.kind != "bridge":
                kind = found.kind or "hardware"
                raise NetworkError(f"interface {self.bridge} exists and is no bridge but {kind}")
            routes = links.all_routes(kernel)
            self._refuse_clash(kernel, routes, found.index if found else 0)
            self._mtu = _uplink_mtu(kernel, routes)
            self._put_bridge(kernel)
            _set_sysctl("net/ipv4/ip_forward", "1")
            with self._ports.changing() as ports:
                self._has_firewall = put_firewall(
                    self._table, self.bridge, self.subnet, ports.all(), self._services
                )
            if self._has_firewall:  # not before its rule keeps Pods from the node's loopback
                _set_sysctl(f"net/ipv4/conf/{self.bridge}/route_localnet", "1")

    def _put_bridge(self, kernel: Netlink) -> None:
        gateway = self._pool.gateway
        if links.find_link(kernel, self.bridge) is None:
            kernel.send(links.add_bridge(self.bridge, mac_of(gateway), self._mtu))
        index = self._bridge(kernel).index
        address = ipaddress.IPv4Interface(f"{gateway}/{self.subnet.prefixlen}")
        kernel.send(links.set_up(index, self._mtu), links.put_address(index, address))
        self._bring_back(kernel, index)

    def _bridge(self, kernel: Netlink) -> Link:
        found = links.find_link(kernel, self.bridge)
        if found is None:
            raise NetworkError(f"bridge {self.bridge} is not there")
        return found

    def _bring_back(self, kernel: Netlink, bridge: int) -> None:
        """Pods' ends that are on no bridge, because somebody deleted it."""
        ours = {interface_name(uid): uid for uid in self._pool.owners()}
        for link in links.all_links(kernel) if ours else ():
            if _is_pod_end(link, ours) and not link.master:
                kernel.send(
                    links.put_on_bridge(link.name, bridge),
                    links.label_port(link.name, link.alias),
                )

    def _refuse_clash(self, kernel: Netlink, routes: list[links.Route], own_index: int) -> None:
        for route in routes:
            other = route.destination
            if other is None or route.index == own_index or not other.overlaps(self.subnet):
                continue
            names = {link.index: link.name for link in links.all_links(kernel)}
            through = names.get(route.index, f"interface {route.index}")
            raise SubnetClash(
                f"the Pod network {self.subnet} overlaps {other}, which this machine already "
                f"routes through {through}; choose another with --pod-cidr"
            )

    # ---- one Pod ----

    def attach(self, pod_uid: str, netns_path: str) -> PodAddress:
        """An eth0 with an address and a default route in that namespace. The same uid gets the same
        address again, and what somebody took away is put back; raises NetworkError."""
        with self._lock_of(pod_uid):
            netns = open_foreign(netns_path)
            try:
                with netlink_inside(netns) as there:
                    return self._attach(pod_uid, netns, there)
            except OSError as failure:
                self._detach(pod_uid)
                raise NetworkError(
                    f"cannot attach {pod_uid} to {self.bridge}: {failure}"
                ) from failure
            finally:
                os.close(netns)

    def _attach(self, uid: str, netns: int, there: Netlink) -> PodAddress:
        found = links.find_link(there, POD_INTERFACE)
        complete = self._complete.get(uid)
        if found is not None and complete is not None and found.mac == complete.mac:
            return complete
        address = self._address(uid, self._pool.take(uid))
        if found is not None and found.mac != address.mac:
            raise NetworkError(
                f"the namespace of {uid} has an {POD_INTERFACE} that is not ours: {found.mac}"
            )
        if found is None:
            self._make_pair(uid, address, netns)
            found = links.find_link(there, POD_INTERFACE)
            if found is None:
                raise NetworkError(f"{POD_INTERFACE} of {uid} went away while it was set up")
        there.send(
            links.set_up(links.LOOPBACK_INDEX),
            links.set_up(found.index),
            links.put_address(
                found.index, ipaddress.IPv4Interface(f"{address.ip}/{address.prefix_length}")
            ),
            links.put_default_route(found.index, address.gateway),
        )
        self._complete[uid] = address
        return address

    def _make_pair(self, uid: str, address: PodAddress, netns: int) -> None:
        name = address.host_interface
        with Netlink.open() as kernel:
            if links.find_link(kernel, self.bridge) is None:
                self.ensure_bridge()  # somebody deleted it
            pair = links.add_veth(
                name, self._bridge(kernel).index, self._mtu,
                peer=POD_INTERFACE, peer_mac=address.mac, netns_fd=netns,
            )  # fmt: skip
            for is_last in (False, True):
                try:
                    kernel.send(pair, links.label_port(name, uid))
                except OSError as failure:
                    if failure.errno != errno.EEXIST or is_last:
                        raise
                    self._sweep(uid)  # of an earlier sandbox of this Pod, whose namespace is going
                else:
                    return

    def by_hand(self, pod_uid: str) -> ByHand | None:
        """What `attach` brings about for it, as commands; None for who is not attached."""
        ip = self._pool.get(pod_uid)
        if ip is None:
            return None
        address = self._address(pod_uid, ip)
        name = address.host_interface
        pair = links.add_veth(
            name, 0, self._mtu, peer=POD_INTERFACE, peer_mac=address.mac, netns_fd=0
        )
        taken = set(self._pool.owners().values())
        with Netlink.open() as kernel, self._ports.changing() as ports:
            limits = tuple(commands(kernel, pod_uid, name))
            published = tuple(one for one in ports.all() if one.owner == pod_uid)
        free = (str(host) for host in reversed(list(self.subnet.hosts())) if str(host) not in taken)
        return ByHand(
            address=address, bridge=self.bridge, free_ip=next(free, ip), interface=POD_INTERFACE,
            on_host=(pair.by_hand, links.label_port(name, pod_uid).by_hand),
            limits=limits, ifb=ifb_name(pod_uid), ports=published,
        )  # fmt: skip

    def view(self, pod_uid: str, netns_path: str) -> dict[str, Any]:
        """What the kernel has for it now: reading.py. Raises NetworkError, OSError."""
        from kubelet.network.reading import read_pod  # most nodes' lives go by without

        return read_pod(netns_path, pod_uid, self._table)

    def limit(self, pod_uid: str, bandwidth: Bandwidth) -> None:
        """Have it receive and send no faster than that. Safe to repeat and to change at any time;
        raises NetworkError."""
        with self._lock_of(pod_uid), Netlink.open() as kernel:
            try:
                put_bandwidth(kernel, pod_uid, interface_name(pod_uid), bandwidth)
            except OSError as failure:
                raise NetworkError(f"cannot limit {pod_uid}: {failure}") from failure

    def publish(self, pod_uid: str, ports: tuple[HostPort, ...]) -> None:
        """Have the node's ports lead to that Pod, which is attached, and no others. Safe to repeat;
        raises NetworkError."""
        ip = self._pool.get(pod_uid)
        assert ip is not None, f"{pod_uid} is not attached"
        with self._ports.changing() as kept:
            before = kept.udp_ports(pod_uid)
            if not kept.put(pod_uid, ip, ports):
                return
            if not self._has_firewall:
                raise NetworkError("the kernel has no nf_tables, without which no hostPort works")
            try:
                put_host_ports(self._table, kept.all())
            except OSError as failure:
                raise NetworkError(f"cannot publish ports of {pod_uid}: {failure}") from failure
            if changed := before ^ kept.udp_ports(pod_uid):
                forget_udp(changed)

    def _withdraw(self, uid: str) -> None:
        with self._ports.changing() as kept:
            udp = kept.udp_ports(uid)
            if kept.drop(uid) and self._has_firewall:
                put_host_ports(self._table, kept.all())
                if udp:
                    forget_udp(udp)

    def detach(self, pod_uid: str) -> None:
        """Remove the pair and free the address. Safe to repeat."""
        with self._lock_of(pod_uid):
            self._detach(pod_uid)

    def _detach(self, uid: str) -> None:
        self._complete.pop(uid, None)
        if self._pool.get(uid) is not None:  # nothing was ever made for whom no address was taken
            self._withdraw(uid)
            self._sweep(uid)
            self._pool.release(uid)

    def attached(self) -> dict[str, PodAddress]:
        """Address by uid, of all that have one."""
        return {uid: self._address(uid, ip) for uid, ip in self._pool.owners().items()}

    def _address(self, uid: str, ip: str) -> PodAddress:
        return PodAddress(
            ip, self.subnet.prefixlen, self._pool.gateway, interface_name(uid), mac_of(ip)
        )

    def _lock_of(self, uid: str) -> threading.Lock:
        return self._locks[hash(uid) % _LOCK_STRIPES]

    # ---- the end ----

    def _sweep(self, uid: str) -> None:
        """Delete its interfaces. The kernel takes 15 ms for one and 23 ms for twenty, so those that
        are to go while it is busy go together, deleted by whichever thread comes first."""
        done: Future[None] = Future()
        with self._doomed_lock:
            self._doomed += [(name, done) for name in (interface_name(uid), ifb_name(uid))]
        with self._sweep_lock:
            with self._doomed_lock:
                doomed, self._doomed = self._doomed, []
            if doomed:
                _settle({future for _, future in doomed}, [name for name, _ in doomed])
        done.result()

    def remove(self) -> None:
        """Every veth, the bridge, the rules, every address. Safe to repeat and after any crash."""
        owners = self._pool.owners()
        ours = {interface_name(uid): uid for uid in owners}
        with Netlink.open() as kernel:
            found = links.find_link(kernel, self.bridge)
            everything = links.all_links(kernel)
        index = found.index if found is not None and found.kind == "bridge" else -1
        names = [
            link.name
            for link in everything
            if link.master == index or _is_pod_end(link, ours) or _is_ifb(link, owners)
        ]
        _delete_links([*names, self.bridge] if index > 0 else names)
        for uid in owners:
            self._pool.release(uid)
        with self._ports.changing() as kept:
            kept.clear()
        self._complete.clear()
        remove_firewall(self._table)


def interface_name(uid: str) -> str:
    """The host's end: at most 15 characters, from the uid's random digits."""
    return f"pod{uid.replace('-', '')[:12]}"


def _is_pod_end(link: Link, ours: dict[str, str]) -> bool:
    """A veth of ours that is on no bridge, because somebody deleted the bridge."""
    return link.kind == "veth" and link.name in ours and link.alias == ours[link.name]


def _is_ifb(link: Link, owners: Container[str]) -> bool:
    return link.kind == "ifb" and link.alias in owners and link.name == ifb_name(link.alias)


def _settle(waiting: set[Future[None]], names: list[str]) -> None:
    try:
        _delete_links(names)
    except OSError as failure:
        for future in waiting:
            future.set_exception(failure)
    else:
        for future in waiting:
            future.set_result(None)


def _delete_links(names: list[str]) -> None:
    """Those that are there, together: moved to a group of their own, the group deleted."""
    with Netlink.open() as kernel:
        if len(names) == 1:
            _send_if_there(kernel, links.delete_link(names[0]))
        elif names:
            group = secrets.randbits(30) | 1 << 30
            for name in names:
                _send_if_there(kernel, links.set_group(name, group))
            _send_if_there(kernel, links.delete_group(group))


def _send_if_there(kernel: Netlink, request: Request) -> None:
    try:
        kernel.send(request)
    except OSError as failure:
        if failure.errno != errno.ENODEV:  # it went with its namespace, just now
            raise


def _uplink_mtu(kernel: Netlink, routes: list[links.Route]) -> int:
    """Pods must not send what the way out cannot carry."""
    ways_out = [route for route in routes if route.destination is None and route.index]
    if not ways_out:
        return _DEFAULT_MTU
    best = min(ways_out, key=lambda route: route.priority)
    mtus = {link.index: link.mtu for link in links.all_links(kernel)}
    return min(mtus.get(best.index) or _DEFAULT_MTU, _DEFAULT_MTU)


def _set_sysctl(name: str, value: str) -> None:
    path = Path("/proc/sys") / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as failure:
        log.warning("sysctl %s: %s; Pods may not reach beyond this node", name, failure)
