"""What we ask of traffic control: how fast a Pod may receive and send. As messages.

Room kubelet/network. The same by hand, for a Pod's end VETH on the host:

    tc qdisc replace dev VETH root handle 1: tbf rate RATE burst BURST limit LIMIT    # to the Pod

    ip link add IFB type ifb; ip link set IFB up                                      # from the Pod
    tc qdisc replace dev IFB root handle 1: tbf rate RATE burst BURST limit LIMIT
    tc qdisc add dev VETH handle ffff: ingress
    tc filter add dev VETH parent ffff: protocol all prio 1 u32 match u32 0 0 \
        action mirred egress redirect dev IFB

A queue holds back only what goes out of an interface; what a Pod sends comes in by the host's end,
so it takes a way round by an interface of its own (an ifb), whose way out has a queue.
(`man 8 tc-tbf`, `man 8 tc-mirred`; kernel `include/uapi/linux/{pkt_sched,pkt_cls}.h`.)
"""

from __future__ import annotations

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
    u32,
)

DEVICE, OTHER = "DEVICE", "OTHER"  # in a command: the interface, and the one redirected to

_NEWQDISC, _DELQDISC, _GETQDISC = 36, 37, 38
_NEWTFILTER, _GETTFILTER = 44, 46
_TC = struct.Struct("=BxxxiIII")  # family, interface, handle, parent, info
_KIND, _OPTIONS = 1, 2
_ROOT, _INGRESS = 0xFFFFFFFF, 0xFFFFFFF1  # parents
_FIRST, _INGRESS_HANDLE = 0x00010000, 0xFFFF0000  # handles 1: and ffff:

_TBF_PARAMETERS, _TBF_RATE64, _TBF_BURST = 1, 4, 6
_RATE = struct.Struct("=BBHhHI")  # cell log, link layer, overhead, cell align, mpu, bytes/s
_ETHERNET = 1  # link layer: the kernel then needs no table of rates
_MAX_RATE32 = 0xFFFFFFFF

_U32_SELECTOR, _U32_ACTIONS = 5, 7
_SELECTOR = struct.Struct("=BBBxHHhhI")  # flags, offshift, keys, offmask, off, offoff, hoff, hmask
_KEY = struct.Struct("=IIii")  # mask, value, offset, mask of the offset
_TERMINAL = 1
_EVERY_PROTOCOL = 0x0003  # ETH_P_ALL
_ACTION_KIND, _ACTION_OPTIONS = 1, 2
_MIRRED_PARAMETERS = 2
_MIRRED = struct.Struct("=IIiiiiI")  # index, capab, action, refcnt, bindcnt, eaction, interface
_STOLEN, _EGRESS_REDIRECT = 4, 1

# A bucket that is full gives this long a burst at once; too small a one loses speed whenever the
# kernel comes late to refill it. The queue then holds as much again, and a few large segments.
BURST_S, MIN_BURST_BYTES = 0.05, 32 * 1024
MIN_QUEUE_BYTES = 256 * 1024
_MAX_BURST_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Queue:
    """A queueing discipline as the kernel has it; `rate_bytes` 0 for one without a rate."""

    kind: str
    parent: int
    rate_bytes: int


def put_rate(interface: int, bits_per_s: int) -> Request:
    """Everything that goes out there, at most so fast. Safe to repeat, and with another rate."""
    rate = max(bits_per_s // 8, 1)
    burst = min(max(int(rate * BURST_S), MIN_BURST_BYTES), _MAX_BURST_BYTES)
    limit = min(burst + max(burst, MIN_QUEUE_BYTES), _MAX_BURST_BYTES)
    spec = _RATE.pack(0, _ETHERNET, 0, 0, 0, min(rate, _MAX_RATE32))
    parameters = spec + bytes(_RATE.size) + struct.pack("=III", limit, 0, 0)
    options = [attribute(_TBF_PARAMETERS, parameters), u32(_TBF_BURST, burst)]
    if rate > _MAX_RATE32:
        options.append(attribute(_TBF_RATE64, struct.pack("=Q", rate)))
    body = _TC.pack(0, interface, _FIRST, _ROOT, 0) + text(_KIND, "tbf")
    says = f"limit interface {interface} to {bits_per_s} bit/s"
    by_hand = (
        "tc", "qdisc", "replace", "dev", DEVICE, "root", "handle", "1:", "tbf",
        "rate", f"{rate * 8}bit", "burst", str(burst), "limit", str(limit),
    )  # fmt: skip
    body += nested(_OPTIONS, *options)
    return Request(_NEWQDISC, REQUEST | CREATE | REPLACE, body, says, by_hand=by_hand)


def remove_rate(interface: int) -> Request:
    """ENOENT when there is none."""
    body = _TC.pack(0, interface, _FIRST, _ROOT, 0) + text(_KIND, "tbf")
    return Request(_DELQDISC, REQUEST, body, f"lift the limit of interface {interface}")


def add_ingress(interface: int) -> Request:
    """A place for filters on what comes in; EEXIST when it is there."""
    body = _TC.pack(0, interface, _INGRESS_HANDLE, _INGRESS, 0) + text(_KIND, "ingress")
    says = f"look at what comes in by interface {interface}"
    by_hand = ("tc", "qdisc", "add", "dev", DEVICE, "handle", "ffff:", "ingress")
    return Request(_NEWQDISC, REQUEST | CREATE | EXCL, body, says, by_hand=by_hand)


def remove_ingress(interface: int) -> Request:
    """With its filters; ENOENT or EINVAL when there is none."""
    body = _TC.pack(0, interface, _INGRESS_HANDLE, _INGRESS, 0) + text(_KIND, "ingress")
    return Request(_DELQDISC, REQUEST, body, f"leave what comes in by interface {interface}")


def redirect(interface: int, to: int) -> Request:
    """All that comes in there goes out by another interface instead; EEXIST when it does."""
    parameters = _MIRRED.pack(0, 0, _STOLEN, 0, 0, _EGRESS_REDIRECT, to)
    mirred = nested(
        1,  # the first action
        text(_ACTION_KIND, "mirred"),
        nested(_ACTION_OPTIONS, attribute(_MIRRED_PARAMETERS, parameters)),
    )
    everything = _SELECTOR.pack(_TERMINAL, 0, 1, 0, 0, 0, 0, 0) + _KEY.pack(0, 0, 0, 0)
    info = 1 << 16 | socket.htons(_EVERY_PROTOCOL)  # priority and protocol
    body = _TC.pack(0, interface, 0x80000800, _INGRESS_HANDLE, info) + text(_KIND, "u32")
    options = nested(_OPTIONS, attribute(_U32_SELECTOR, everything), nested(_U32_ACTIONS, mirred))
    says = f"redirect what comes in by interface {interface} to {to}"
    by_hand = (
        "tc", "filter", "add", "dev", DEVICE, "parent", "ffff:", "protocol", "all", "prio", "1",
        "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", OTHER,
    )  # fmt: skip
    return Request(_NEWTFILTER, REQUEST | CREATE | EXCL, body + options, says, by_hand=by_hand)


# ---- what is there ----


def queues(kernel: Netlink, interface: int) -> list[Queue]:
    """Of one interface, the kernel's own default left out."""
    body = _TC.pack(0, interface, 0, 0, 0)
    found = kernel.dump(Request(_GETQDISC, REQUEST, body, "list queues"))
    return [read_queue(one) for one in found if _TC.unpack_from(one)[1] == interface]


def read_queue(body: bytes) -> Queue:
    said = read_attributes(body[_TC.size :])
    kind = read_text(said.get(_KIND))
    rate = 0
    if kind == "tbf":
        options = read_attributes(said[_OPTIONS])
        rate = _RATE.unpack_from(options[_TBF_PARAMETERS])[5]
        if _TBF_RATE64 in options:
            rate = struct.unpack("=Q", options[_TBF_RATE64])[0]
    return Queue(kind, _TC.unpack_from(body)[3], rate)


def redirections(kernel: Netlink, interface: int) -> list[int]:
    """The interfaces by which what comes in there goes out."""
    body = _TC.pack(0, interface, 0, _INGRESS_HANDLE, 0)
    found = []
    for one in kernel.dump(Request(_GETTFILTER, REQUEST, body, "list filters")):
        options = read_attributes(read_attributes(one[_TC.size :]).get(_OPTIONS, b""))
        for action in read_attributes(options.get(_U32_ACTIONS, b"")).values():
            inner = read_attributes(read_attributes(action).get(_ACTION_OPTIONS, b""))
            found.append(_MIRRED.unpack_from(inner[_MIRRED_PARAMETERS])[6])
    return found
