"""The bridge and the veth pairs on it. Room kubelet/network; runs in the kubelet, any thread.

Every interface that is made carries its owner's uid as its alias (`ip link` shows it), so that
leftovers of a crash are found by asking the kernel.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import threading
from pathlib import Path

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from kubelet.network.addresses import AddressPool, NetworkError, PodAddress
from kubelet.network.masquerade import add_masquerade, remove_masquerade
from kubelet.network.namespace import inside

log = logging.getLogger("pod-network")

MTU = 1500
POD_INTERFACE = "eth0"


class PodNetwork:
    """`bridge` is its interface's name, at most 15 characters; `subnet` the node's, such as
    "10.244.0.0/24"; `state_dir` keeps who has which address."""

    def __init__(self, bridge: str, subnet: str, cluster_id: str, state_dir: str) -> None:
        self.bridge = bridge
        self.subnet = ipaddress.ip_network(subnet)
        self._table = f"podium-{cluster_id}"
        self._pool = AddressPool(subnet, f"{state_dir}/addresses")
        self._attached: dict[str, PodAddress] = {}
        self._lock = threading.Lock()  # one netlink socket, one conversation at a time
        self._ip = IPRoute()
        self._bridge_index = 0

    # ---- the bridge ----

    def ensure_bridge(self) -> None:
        """Make the bridge with the gateway's address, forwarding and masquerade. Safe to repeat;
        raises NetworkError when the subnet is somebody else's."""
        with self._lock:
            found = self._ip.link_lookup(ifname=self.bridge)
            if not found:
                self._refuse_clash()
                self._ip.link("add", ifname=self.bridge, kind="bridge", mtu=MTU)
                found = self._ip.link_lookup(ifname=self.bridge)
            self._bridge_index = found[0]
            gateway = self._pool.gateway
            try:
                self._ip.addr("add", index=found[0], address=gateway, prefixlen=self.subnet.prefixlen)
            except NetlinkError as failure:
                if failure.code != errno.EEXIST:
                    raise
            self._ip.link("set", index=found[0], state="up")
        _set_sysctl("net/ipv4/ip_forward", "1")
        _set_sysctl(f"net/ipv4/conf/{self.bridge}/route_localnet", "0")
        add_masquerade(self._table, self.bridge, self.subnet)
        self._recover()

    def _refuse_clash(self) -> None:
        for route in self._ip.get_routes(family=2):
            destination = route.get_attr("RTA_DST")
            if destination is None:
                continue
            other = ipaddress.ip_network(f"{destination}/{route['dst_len']}", strict=False)
            if other.overlaps(self.subnet):
                index = route.get_attr("RTA_OIF") or 0
                raise NetworkError(
                    f"the Pod network {self.subnet} overlaps {other}, which this machine already routes "
                    f"through {_interface_name(index)}; choose another with --pod-cidr"
                )

    def _recover(self) -> None:
        """After a restart: whose veths are there already."""
        present = {alias for _, alias in self._veths()}
        for uid, ip in self._pool.owners().items():
            if uid in present:
                self._attached[uid] = self._address(uid, ip)

    def _veths(self) -> list[tuple[int, str]]:
        """(index, owner's uid) of every interface on our bridge."""
        return [
            (link["index"], link.get_attr("IFLA_IFALIAS") or "")
            for link in self._ip.get_links(master=self._bridge_index)
        ] if self._bridge_index else []  # fmt: skip

    # ---- one Pod ----

    def _address(self, uid: str, ip: str, mac: str = "") -> PodAddress:
        return PodAddress(ip, self.subnet.prefixlen, self._pool.gateway, interface_name(uid), mac)

    def attach(self, pod_uid: str, netns_path: str) -> PodAddress:
        """An eth0 with an address and a default route in that namespace. The same uid gets the same
        address again; raises NetworkError when there is none left."""
        found = self._attached.get(pod_uid)
        if found is not None:
            return found
        ip = self._pool.take(pod_uid)
        host = interface_name(pod_uid)
        try:
            self._make_pair(host, pod_uid, netns_path)
            mac = inside(netns_path, lambda there: self._set_up_inside(there, ip))
        except (OSError, NetlinkError) as failure:
            self.detach(pod_uid)
            raise NetworkError(f"cannot attach {pod_uid} to {self.bridge}: {failure}") from failure
        address = self._attached[pod_uid] = self._address(pod_uid, ip, mac)
        return address

    def _make_pair(self, host: str, uid: str, netns_path: str) -> None:
        netns = os.open(netns_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with self._lock:
                stale = self._ip.link_lookup(ifname=host)
                if stale:  # of an earlier life of this Pod, whose namespace is gone
                    self._ip.link("del", index=stale[0])
                peer = {"ifname": POD_INTERFACE, "net_ns_fd": netns, "mtu": MTU}
                self._ip.link("add", ifname=host, kind="veth", mtu=MTU, peer=peer)
                index = self._ip.link_lookup(ifname=host)[0]
                self._ip.link("set", index=index, master=self._bridge_index, state="up", ifalias=uid)
        finally:
            os.close(netns)

    def _set_up_inside(self, there: IPRoute, ip: str) -> str:
        link = there.get_links(ifname=POD_INTERFACE)[0]
        index = link["index"]
        there.link("set", index=1, state="up")  # lo is always the first
        there.addr("add", index=index, address=ip, prefixlen=self.subnet.prefixlen)
        there.link("set", index=index, state="up")
        there.route("add", gateway=self._pool.gateway)
        return str(link.get_attr("IFLA_ADDRESS") or "")

    def detach(self, pod_uid: str) -> None:
        """Remove the pair and free the address. Safe to repeat."""
        self._attached.pop(pod_uid, None)
        if pod_uid not in self._pool.owners():
            return
        with self._lock:
            for index in self._ip.link_lookup(ifname=interface_name(pod_uid)):
                self._delete(index)
        self._pool.release(pod_uid)

    def _delete(self, index: int) -> None:
        try:
            self._ip.link("del", index=index)
        except NetlinkError as failure:
            if failure.code != errno.ENODEV:  # it went with its namespace, just now
                raise

    def attached(self) -> dict[str, PodAddress]:
        """Address by uid, of all that have one."""
        return {uid: self._address(uid, ip) for uid, ip in self._pool.owners().items()}

    # ---- the end ----

    def remove(self) -> None:
        """Every veth, the bridge, the rules, every address. Safe to repeat and after any crash."""
        with self._lock:
            found = self._ip.link_lookup(ifname=self.bridge)
            self._bridge_index = found[0] if found else 0
            for index, _ in self._veths():
                self._delete(index)
            for index in found:
                self._delete(index)
        for uid in self._pool.owners():
            self._pool.release(uid)
        self._attached.clear()
        self._bridge_index = 0
        remove_masquerade(self._table)


def interface_name(uid: str) -> str:
    """The host's end: at most 15 characters, from the uid's random digits."""
    return f"pod{uid.replace('-', '')[:12]}"


def _interface_name(index: int) -> str:
    for name in os.listdir("/sys/class/net"):
        if Path(f"/sys/class/net/{name}/ifindex").read_text().strip() == str(index):
            return name
    return f"interface {index}"


def _set_sysctl(name: str, value: str) -> None:
    path = Path("/proc/sys") / name
    try:
        if path.read_text().strip() != value:
            path.write_text(value)
    except OSError as failure:
        log.warning("sysctl %s: %s; Pods may not reach beyond this node", name, failure)
