"""What we ask of rtnetlink: interfaces, addresses, routes, as messages and back.

Room kubelet/network. (`man 7 rtnetlink`, kernel
`include/uapi/linux/{if_link,if_addr,rtnetlink}.h`.)
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from kubelet.network.netlink import (
    CREATE,
    EXCL,
    REPLACE,
    REQUEST,
    Netlink,
    Request,
    attribute,
    nested,
    read_attributes,
    read_text,
    text,
    u8,
    u32,
)

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _NEWROUTE, _GETROUTE = 20, 24, 26

# if_link.h
_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _IFALIAS = 1, 3, 4, 10, 18, 20
_GROUP, _NET_NS_FD, _EXT_MASK = 27, 28, 29
_INFO_KIND, _INFO_DATA, _INFO_SLAVE_KIND, _INFO_SLAVE_DATA = 1, 2, 4, 5
_VETH_PEER = 1
_PORT_HAIRPIN = 4
_SKIP_STATISTICS = 1 << 3
_UP = 1

# if_addr.h, rtnetlink.h
_ADDR_ADDRESS, _ADDR_LOCAL, _ADDR_BROADCAST = 1, 2, 4
_ROUTE_DST, _ROUTE_OIF, _ROUTE_GATEWAY, _ROUTE_PRIORITY = 1, 4, 5, 6
_TABLE_MAIN, _PROTOCOL_BOOT, _UNICAST = 254, 3, 1

_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, which flags to change
_ADDR = struct.Struct("=BBBBi")  # family, prefix length, flags, scope, index
_ROUTE = struct.Struct(
    "=BBBBBBBBI"
)  # family, dst len, src len, tos, table, protocol, scope, type, flags

NETNS = "NETNS"  # in a command: the namespace of the Pod
LOOPBACK_INDEX = 1  # in every namespace


@dataclass(frozen=True, slots=True)
class Link:
    """An interface as the kernel has it."""

    index: int
    name: str
    kind: str  # "bridge", "veth"; "" for hardware
    is_up: bool
    mac: str
    mtu: int
    master: int  # 0: on no bridge
    alias: str


@dataclass(frozen=True, slots=True)
class Route:
    """A route; `destination` None is the default route."""

    destination: ipaddress.IPv4Network | None
    index: int
    priority: int


# ---- what is there ----


def find_link(kernel: Netlink, name: str) -> Link | None:
    body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, name) + u32(_EXT_MASK, _SKIP_STATISTICS)
    try:
        return read_link(kernel.ask(Request(_GETLINK, REQUEST, body, f"look for interface {name}")))
    except OSError as failure:
        if failure.errno == errno.ENODEV:
            return None
        raise


def all_links(kernel: Netlink) -> list[Link]:
    body = _LINK.pack(0, 0, 0, 0, 0) + u32(_EXT_MASK, _SKIP_STATISTICS)
    return [
        read_link(found)
        for found in kernel.dump(Request(_GETLINK, REQUEST, body, "list interfaces"))
    ]


def read_link(body: bytes) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(body)
    found = read_attributes(body[_LINK.size :])
    info = read_attributes(found.get(_LINKINFO, b""))
    return Link(
        index=index,
        name=read_text(found.get(_IFNAME)),
        kind=read_text(info.get(_INFO_KIND)),
        is_up=bool(flags & _UP),
        mac=found.get(_ADDRESS, b"").hex(":"),
        mtu=_number(found.get(_MTU)),
        master=_number(found.get(_MASTER)),
        alias=read_text(found.get(_IFALIAS)),
    )


def all_routes(kernel: Netlink) -> list[Route]:
    """The IPv4 routes of every table."""
    body = _ROUTE.pack(socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    routes = []
    for found in kernel.dump(Request(_GETROUTE, REQUEST, body, "list routes")):
        said = read_attributes(found[_ROUTE.size :])
        destination = None
        if _ROUTE_DST in said:
            destination = ipaddress.IPv4Network((said[_ROUTE_DST], found[1]))
        routes.append(
            Route(destination, _number(said.get(_ROUTE_OIF)), _number(said.get(_ROUTE_PRIORITY)))
        )
    return routes


def _number(payload: bytes | None) -> int:
    return 0 if payload is None else int(struct.unpack("=I", payload)[0])


# ---- what there shall be ----


def add_bridge(name: str, mac: str, mtu: int) -> Request:
    """Up at once. With an address of its own: a bridge without one takes that of a port and changes
    it as ports come and go, and every Pod's ARP cache is then wrong for a while."""
    body = (
        _LINK.pack(0, 0, 0, _UP, _UP)
        + text(_IFNAME, name)
        + attribute(_ADDRESS, _mac_bytes(mac))
        + u32(_MTU, mtu)
        + nested(_LINKINFO, text(_INFO_KIND, "bridge"))
    )
    return Request(_NEWLINK, REQUEST | CREATE | EXCL, body, f"add bridge {name}")


def add_veth(
    name: str, bridge: int, mtu: int, *, peer: str, peer_mac: str, netns_fd: int
) -> Request:
    """A pair: one end up on the bridge, the other straight into the namespace, down: the kernel
    makes it first, when there is no first end yet to connect to."""
    other = (
        _LINK.pack(0, 0, 0, 0, 0)
        + text(_IFNAME, peer)
        + attribute(_ADDRESS, _mac_bytes(peer_mac))
        + u32(_MTU, mtu)
        + u32(_NET_NS_FD, netns_fd)
    )
    body = (
        _LINK.pack(0, 0, 0, _UP, _UP)
        + text(_IFNAME, name)
        + u32(_MTU, mtu)
        + u32(_MASTER, bridge)
        + nested(_LINKINFO, text(_INFO_KIND, "veth"), nested(_INFO_DATA, nested(_VETH_PEER, other)))
    )
    by_hand = (
        "ip", "link", "add", name, "mtu", str(mtu), "type", "veth",
        "peer", "name", peer, "address", peer_mac, "mtu", str(mtu), "netns", NETNS,
    )  # fmt: skip
    says = f"add interface {name}"
    return Request(_NEWLINK, REQUEST | CREATE | EXCL, body, says, by_hand=by_hand)


def add_ifb(name: str, mtu: int) -> Request:
    """Up at once: what is redirected to it comes out again where it came in."""
    body = (
        _LINK.pack(0, 0, 0, _UP, _UP)
        + text(_IFNAME, name)
        + u32(_MTU, mtu)
        + nested(_LINKINFO, text(_INFO_KIND, "ifb"))
    )
    by_hand = ("ip", "link", "add", name, "mtu", str(mtu), "up", "type", "ifb")
    says = f"add interface {name}"
    return Request(_NEWLINK, REQUEST | CREATE | EXCL, body, says, by_hand=by_hand)


def label(name: str, alias: str) -> Request:
    body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, name) + attribute(_IFALIAS, alias.encode())
    return Request(_NEWLINK, REQUEST, body, f"label interface {name}")


def label_port(name: str, alias: str) -> Request:
    """The alias (`ip link` shows it), and hairpin: a Pod that speaks to a Service whose endpoint it
    is itself gets its packets back through the port they came from."""
    hairpin = nested(_INFO_SLAVE_DATA, u8(_PORT_HAIRPIN, 1))
    body = (
        _LINK.pack(0, 0, 0, 0, 0)
        + text(_IFNAME, name)
        + attribute(_IFALIAS, alias.encode())
        + nested(_LINKINFO, text(_INFO_SLAVE_KIND, "bridge"), hairpin)
    )
    by_hand = ("ip", "link", "set", name, "alias", alias)
    return Request(_NEWLINK, REQUEST, body, f"label interface {name}", by_hand=by_hand)


def put_on_bridge(name: str, bridge: int) -> Request:
    body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, name) + u32(_MASTER, bridge)
    return Request(_NEWLINK, REQUEST, body, f"put interface {name} on a bridge")


def set_up(index: int, mtu: int = 0) -> Request:
    """`mtu` 0 leaves it as it is."""
    body = _LINK.pack(0, 0, index, _UP, _UP) + (u32(_MTU, mtu) if mtu else b"")
    return Request(_NEWLINK, REQUEST, body, f"set interface {index} up")


def set_group(name: str, group: int) -> Request:
    body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, name) + u32(_GROUP, group)
    return Request(_NEWLINK, REQUEST, body, f"put interface {name} into group {group}")


def delete_link(name: str) -> Request:
    body = _LINK.pack(0, 0, 0, 0, 0) + text(_IFNAME, name)
    return Request(_DELLINK, REQUEST, body, f"delete interface {name}")


def delete_group(group: int) -> Request:
    """Every interface of a group, in one go of the kernel. Group 0 is where all others are."""
    assert group, "group 0 holds every interface of the machine"
    body = _LINK.pack(0, 0, 0, 0, 0) + u32(_GROUP, group)
    return Request(_DELLINK, REQUEST, body, f"delete interfaces of group {group}")


def put_address(index: int, address: ipaddress.IPv4Interface) -> Request:
    """Safe to repeat."""
    body = (
        _ADDR.pack(socket.AF_INET, address.network.prefixlen, 0, 0, index)
        + attribute(_ADDR_LOCAL, address.ip.packed)
        + attribute(_ADDR_ADDRESS, address.ip.packed)
        + attribute(_ADDR_BROADCAST, address.network.broadcast_address.packed)
    )
    return Request(
        _NEWADDR, REQUEST | CREATE | REPLACE, body, f"give {address} to interface {index}"
    )


def put_default_route(index: int, gateway: str) -> Request:
    """Safe to repeat."""
    body = (
        _ROUTE.pack(socket.AF_INET, 0, 0, 0, _TABLE_MAIN, _PROTOCOL_BOOT, 0, _UNICAST, 0)
        + attribute(_ROUTE_GATEWAY, socket.inet_aton(gateway))
        + u32(_ROUTE_OIF, index)
    )
    return Request(_NEWROUTE, REQUEST | CREATE | REPLACE, body, f"route by {gateway}")


def _mac_bytes(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))
