"""What the kernel has of one Pod's network, read and never changed: both ends of its veth,
addresses, routes, queues and rules with their counters. Room kubelet/network; any thread.

Each reading is a conversation of its own with the Pod's namespace and with the node's; what goes
away in between is left out. JSON as it is shown, camelCase. (`include/uapi/linux/{if_link,
if_addr,rtnetlink,gen_stats}.h`, `include/uapi/linux/netfilter/nf_tables.h`)
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from typing import Any

from kubelet.network import links, nftables, traffic
from kubelet.network.namespace import netlink_inside, open_foreign
from kubelet.network.netlink import Netlink, Request, read_attributes

Object = dict[str, Any]

_REQUEST = 1
_GETLINK, _GETADDR, _GETROUTE, _GETQDISC = 18, 22, 26, 38
_LINK_PEER, _LINK_STATISTICS = 5, 23
_ADDR_ADDRESS, _ADDR_LOCAL = 1, 2
_ROUTE_DST, _ROUTE_OIF, _ROUTE_GATEWAY = 1, 4, 5
_TABLE_LOCAL, _TABLE_MAIN = 255, 254
_QDISC_STATISTICS, _BASIC, _QUEUE = 7, 1, 3
_COUNTS = ("rxPackets", "txPackets", "rxBytes", "txBytes", "rxErrors", "txErrors", "rxDropped",
           "txDropped")  # fmt: skip


def read_pod(netns_path: str, uid: str, table: str) -> Object:
    """Raises NetworkError when the namespace is gone or the node's own, OSError."""
    netns = open_foreign(netns_path)
    try:
        with netlink_inside(netns) as there, Netlink.open() as here:
            inside = list(_interfaces(_links(there).values(), _addresses(there)))
            outside = _links(here)  # of all Pods: only what is this one's is taken apart
            peers = {one["peerIndex"] for one in inside if one["kind"] == "veth"}
            alias = uid.encode()
            bodies = [body for at, body in outside.items() if at in peers or alias in body]
            ours = list(_interfaces(bodies, {}))  # which are ports of a bridge, without addresses
            by_index = {one["index"]: one["name"] for one in ours}
            for one in ours:
                bridge = outside.get(one.pop("master"))
                one["bridge"] = links.read_link(bridge).name if bridge else ""
            return {
                "interfaces": inside,
                "routes": list(_routes(there, {one["index"]: one["name"] for one in inside})),
                "hostInterfaces": ours,
                "queues": list(_queues(here, ours, by_index)),
                "rules": list(_rules(table, uid)),
            }
    finally:
        os.close(netns)


def _links(kernel: Netlink) -> dict[int, bytes]:
    """What the kernel says of each interface, by its index."""
    request = Request(_GETLINK, _REQUEST, struct.pack("=BxHiII", 0, 0, 0, 0, 0), "list interfaces")
    return {struct.unpack_from("=BxHi", body)[2]: body for body in kernel.dump(request)}


def _interfaces(bodies: Iterable[bytes], addresses: dict[int, list[str]]) -> Iterator[Object]:
    for body in bodies:
        link, said = links.read_link(body), read_attributes(body[16:])
        counted = said.get(_LINK_STATISTICS, b"")
        yield {
            "name": link.name, "index": link.index, "kind": link.kind, "isUp": link.is_up,
            "mac": link.mac, "mtu": link.mtu, "alias": link.alias, "master": link.master,
            "peerIndex": _number(said.get(_LINK_PEER)),
            "addresses": addresses.get(link.index, []),
            "counters": dict(zip(_COUNTS, struct.unpack_from("=8Q", counted), strict=True))
            if len(counted) >= 64 else {},
        }  # fmt: skip


def _addresses(kernel: Netlink) -> dict[int, list[str]]:
    """ "10.244.0.5/24" by the index of its interface."""
    found: dict[int, list[str]] = {}
    request = Request(_GETADDR, _REQUEST, struct.pack("=BBBBi", 0, 0, 0, 0, 0), "list addresses")
    for body in kernel.dump(request):
        _family, length, _flags, _scope, index = struct.unpack_from("=BBBBi", body)
        said = read_attributes(body[8:])
        packed = said.get(_ADDR_LOCAL) or said.get(_ADDR_ADDRESS)
        if packed:
            found.setdefault(index, []).append(f"{ipaddress.ip_address(packed)}/{length}")
    return found


def _routes(kernel: Netlink, names: dict[int, str]) -> Iterator[Object]:
    body = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, 0, 0, 0, 0, 0)
    for found in kernel.dump(Request(_GETROUTE, _REQUEST, body, "list routes")):
        length, table = found[1], found[4]
        if table != _TABLE_MAIN:
            continue
        said = read_attributes(found[12:])
        destination = said.get(_ROUTE_DST)
        gateway = said.get(_ROUTE_GATEWAY)
        yield {
            "destination": f"{ipaddress.ip_address(destination)}/{length}" if destination
            else "default",
            "gateway": str(ipaddress.ip_address(gateway)) if gateway else "",
            "interface": names.get(_number(said.get(_ROUTE_OIF)), ""),
        }  # fmt: skip


def _queues(kernel: Netlink, ours: list[Object], names: dict[int, str]) -> Iterator[Object]:
    """The queueing disciplines of the Pod's interfaces on the host, with what passed them."""
    indices = {one["index"] for one in ours}
    body = struct.pack("=BxxxiIII", 0, 0, 0, 0, 0)
    for found in kernel.dump(Request(_GETQDISC, _REQUEST, body, "list queues")):
        index = struct.unpack_from("=BxxxiIII", found)[1]
        if index not in indices:
            continue
        queue = traffic.read_queue(found)
        counted = read_attributes(read_attributes(found[20:]).get(_QDISC_STATISTICS, b""))
        sent, waiting = counted.get(_BASIC, b""), counted.get(_QUEUE, b"")
        passed = struct.unpack_from("=QI", sent) if len(sent) >= 12 else (0, 0)
        held = struct.unpack_from("=5I", waiting) if len(waiting) >= 20 else (0,) * 5
        yield {
            "interface": names.get(index, ""), "kind": queue.kind,
            "rateBitsPerSecond": queue.rate_bytes * 8,
            "bytes": passed[0], "packets": passed[1],
            "waitingPackets": held[0], "waitingBytes": held[1], "drops": held[2],
            "overLimits": held[4],
        }  # fmt: skip


def _rules(table: str, uid: str) -> Iterator[Object]:
    """Those for this Pod's ports, by the comment that they carry; none without nf_tables."""
    for rule in nftables.read_rules(table, uid):
        yield {
            "table": table, "chain": rule.chain, "hostPort": rule.port,
            "to": rule.to, "packets": rule.packets, "bytes": rule.bytes,
        }  # fmt: skip


def _number(payload: bytes | None) -> int:
    return 0 if payload is None else int(struct.unpack_from("=I", payload)[0])
