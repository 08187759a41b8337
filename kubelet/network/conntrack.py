"""Has the kernel forget which way a conversation over UDP goes, once a rule says otherwise.

Room kubelet/network; called by pod_network.py when hostPorts change. A NAT rule is asked for the
first packet alone; what follows takes the way that connection tracking remembers. TCP begins anew
by itself, but somebody who goes on sending UDP would talk to a Pod that is gone, or to none, for
ever. The same by hand:

    conntrack -D -p udp --orig-port-dst 8080

(kernel `include/uapi/linux/netfilter/nfnetlink_conntrack.h`)
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
from collections.abc import Container

from kubelet.network.netlink import REQUEST, Netlink, Request, nested, read_attributes

log = logging.getLogger("pod-network")

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 1  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = _SUBSYSTEM << 8 | 1, _SUBSYSTEM << 8 | 2
_FAMILY = struct.pack("=BBH", socket.AF_INET, 0, 0)  # struct nfgenmsg
_ORIGINAL, _PROTOCOL_PART = 1, 2  # CTA_TUPLE_ORIG, and CTA_TUPLE_PROTO in it
_PROTOCOL, _TARGET_PORT = 1, 3  # CTA_PROTO_NUM, CTA_PROTO_DST_PORT


def forget_udp(ports: Container[int]) -> None:
    """All conversations that began with a datagram to one of these ports. Best effort: what cannot
    be forgotten ends by itself after 30 silent seconds, and a warning says so."""
    try:
        with Netlink.open(_NETLINK_NETFILTER) as kernel:
            everything = kernel.dump(Request(_GET, REQUEST, _FAMILY, "list connections"))
            for tuples in (read_attributes(body[len(_FAMILY) :]) for body in everything):
                if _udp_port(tuples[_ORIGINAL]) in ports:
                    _forget(kernel, tuples[_ORIGINAL])
    except OSError as failure:
        log.warning("connections over UDP may go on to where they went: %s", failure)


def _forget(kernel: Netlink, original: bytes) -> None:
    body = _FAMILY + nested(_ORIGINAL, original)
    with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
        kernel.send(Request(_DELETE, REQUEST, body, "forget a connection"))


def _udp_port(original: bytes) -> int:
    """Where the first datagram went; -1 for another protocol."""
    part = read_attributes(read_attributes(original)[_PROTOCOL_PART])
    if part[_PROTOCOL][0] != socket.IPPROTO_UDP:
        return -1
    return int.from_bytes(part[_TARGET_PORT], "big")
