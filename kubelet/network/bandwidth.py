"""A Pod's bandwidth, brought about: a queue on the host's end of its veth for what it receives, an
ifb with a queue for what it sends. Room kubelet/network; called by pod_network.py, which holds the
Pod's lock.

The kernel is the state. The ifb's name and alias come from the Pod's uid, so it is found again
after any crash; the queues and the filter belong to interfaces and go with them.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from kubelet.network import links, traffic
from kubelet.network.errors import NetworkError
from kubelet.network.netlink import Netlink, Request

_NONE_THERE = (errno.ENOENT, errno.EINVAL)
_NO_SUCH_KIND = (errno.ENOENT, errno.EOPNOTSUPP)


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bits a second; 0 = no limit. `ingress` is what the Pod receives."""

    ingress: int = 0
    egress: int = 0


def ifb_name(uid: str) -> str:
    """At most 15 characters, from the uid's random digits."""
    return f"ifb{uid.replace('-', '')[:12]}"


def put_bandwidth(kernel: Netlink, uid: str, host_end: str, wanted: Bandwidth) -> None:
    """Limit the Pod to that and no more than that. Safe to repeat, and after any crash; raises
    NetworkError where the kernel has no such thing."""
    veth = links.find_link(kernel, host_end)
    if veth is None:
        raise NetworkError(f"interface {host_end} of {uid} is not there")
    if wanted.ingress:
        _put_rate(kernel, veth.index, wanted.ingress, "ingress")
    else:
        _try(kernel, traffic.remove_rate(veth.index), _NONE_THERE)
    if wanted.egress:
        _put_egress(kernel, uid, veth, wanted.egress)
    else:
        _try(kernel, traffic.remove_ingress(veth.index), _NONE_THERE)
        _try(kernel, links.delete_link(ifb_name(uid)), (errno.ENODEV,))


def _put_egress(kernel: Netlink, uid: str, veth: links.Link, bits_per_s: int) -> None:
    name = ifb_name(uid)
    ifb = links.find_link(kernel, name)
    if ifb is None:
        # A filter that is there leads nowhere: drop it, or it would swallow every packet.
        _try(kernel, traffic.remove_ingress(veth.index), _NONE_THERE)
        try:
            kernel.send(links.add_ifb(name, veth.mtu), links.label(name, uid))
        except OSError as failure:
            raise _explained(failure, "ifb", "egress") from failure
        ifb = links.find_link(kernel, name)
        if ifb is None:
            raise NetworkError(f"interface {name} went away while it was set up")
    _put_rate(kernel, ifb.index, bits_per_s, "egress")
    try:
        _try(kernel, traffic.add_ingress(veth.index), (errno.EEXIST,))
        _try(kernel, traffic.redirect(veth.index, ifb.index), (errno.EEXIST,))
    except OSError as failure:
        raise _explained(failure, "ingress, cls_u32 or act_mirred", "egress") from failure


def _put_rate(kernel: Netlink, interface: int, bits_per_s: int, which: str) -> None:
    try:
        kernel.send(traffic.put_rate(interface, bits_per_s))
    except OSError as failure:
        raise _explained(failure, "tbf", which) from failure


def _explained(failure: OSError, module: str, which: str) -> Exception:
    if failure.errno not in _NO_SUCH_KIND:
        return failure
    return NetworkError(f"kubernetes.io/{which}-bandwidth: the kernel has no {module} ({failure})")


def commands(kernel: Netlink, uid: str, host_end: str) -> list[tuple[str, ...]]:
    """What limits the Pod now, as the kernel has it, by hand; the interfaces by their names."""
    veth, ifb = links.find_link(kernel, host_end), links.find_link(kernel, ifb_name(uid))
    found = []
    if veth and (rate := _rate(kernel, veth.index)):
        found.append((traffic.put_rate(veth.index, rate), host_end))
    if veth and ifb and (rate := _rate(kernel, ifb.index)):
        found += [
            (links.add_ifb(ifb.name, veth.mtu), ifb.name),
            (traffic.put_rate(ifb.index, rate), ifb.name),
            (traffic.add_ingress(veth.index), host_end),
            (traffic.redirect(veth.index, ifb.index), host_end),
        ]
    names = {traffic.OTHER: ifb.name if ifb else ""}
    return [
        tuple((names | {traffic.DEVICE: name}).get(word, word) for word in request.by_hand)
        for request, name in found
    ]


def _rate(kernel: Netlink, interface: int) -> int:
    """Bits a second of its queue, 0 for none."""
    return 8 * max((one.rate_bytes for one in traffic.queues(kernel, interface)), default=0)


def _try(kernel: Netlink, request: Request, ignored: tuple[int, ...]) -> None:
    try:
        kernel.send(request)
    except OSError as failure:
        if failure.errno not in ignored:
            raise
