r"""One nftables table a cluster: what leaves the Pods' subnet leaves as the node, and nobody lies
about who he is. Room kubelet/network. The same by hand:

    nft add table ip podium-ID
    nft add chain ip podium-ID postrouting '{ type nat hook postrouting priority srcnat; }'
    nft add rule ip podium-ID postrouting ip saddr SUBNET oifname != BRIDGE masquerade
    nft add chain ip podium-ID prerouting '{ type filter hook prerouting priority raw; }'
    nft add rule ip podium-ID prerouting iifname BRIDGE ip saddr != SUBNET counter drop
    nft add rule ip podium-ID prerouting ip saddr SUBNET iifname != BRIDGE iifname != lo \
        counter drop

What comes to a hostPort goes to its Pod (host_ports.py keeps the rules of the chain hostports):

    nft add chain ip podium-ID hostports
    nft add rule ip podium-ID hostports fib daddr type local tcp dport 8080 \
        counter dnat to 10.244.0.5:80
    nft add chain ip podium-ID dnat-in '{ type nat hook prerouting priority dstnat; }'
    nft add rule ip podium-ID dnat-in jump hostports
    nft add chain ip podium-ID dnat-out '{ type nat hook output priority -100; }'
    nft add rule ip podium-ID dnat-out jump hostports

From the node's own 127.0.0.1 it leaves with the bridge's address, and so does what a Pod sends to
another by way of the node: else the answer would take the short way and not be recognised. For the
former the bridge has route_localnet, and so that no Pod can use that, the last rule.

    nft add rule ip podium-ID postrouting ip saddr 127.0.0.0/8 oifname BRIDGE masquerade
    nft add rule ip podium-ID postrouting ct status dnat ip saddr SUBNET oifname BRIDGE masquerade
    nft add rule ip podium-ID prerouting iifname BRIDGE ip daddr 127.0.0.0/8 counter drop

And the Service's address of the API server leads to where that listens, if on loopback alone:

    nft add rule ip podium-ID dnat-in iifname BRIDGE ip daddr 10.96.0.1 tcp dport 443 \
        dnat to 127.0.0.1:6443

Where the kernel has no nf_tables, Pods reach this node and each other, and a warning says so.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
from collections.abc import Iterable, Mapping

from kubelet.network import nftables as nft
from kubelet.network.host_ports import ANY, PROTOCOLS, Published
from kubelet.network.netlink import Request

log = logging.getLogger("pod-network")

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL, errno.ENOENT)


Services = Mapping[tuple[str, int], tuple[str, int]]
"""IPv4 address and TCP port that Pods use → where that leads."""

_LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")
_HOST_PORTS = "hostports"


def put_firewall(
    table: str,
    bridge: str,
    subnet: ipaddress.IPv4Network,
    ports: Iterable[Published],
    services: Services,
) -> bool:
    """Replaces what an earlier life left, in one step; False where the kernel cannot."""
    batch = [
        nft.add_table(table),
        nft.delete_table(table),  # there is one now in any case
        nft.add_table(table),
        nft.add_chain(
            table, "postrouting", kind="nat", hook=nft.POSTROUTING, priority=nft.PRIORITY_SOURCE_NAT
        ),
        nft.add_rule(
            table, "postrouting", "what leaves the Pods' subnet leaves as the node",
            nft.from_subnet(subnet), nft.not_going_out_by(bridge), nft.masquerade(),
        ),
        nft.add_rule(
            table, "postrouting", "the node's loopback is nobody's address outside of it",
            nft.from_subnet(_LOOPBACK), nft.going_out_by(bridge), nft.masquerade(),
        ),
        nft.add_rule(
            table, "postrouting", "answers between Pods come back by the node",
            nft.was_sent_elsewhere(), nft.from_subnet(subnet), nft.going_out_by(bridge),
            nft.masquerade(),
        ),
        nft.add_chain(
            table, "prerouting", kind="filter", hook=nft.PREROUTING, priority=nft.PRIORITY_RAW
        ),
        nft.add_rule(
            table, "prerouting", "a Pod has no other address than a Pod's",
            nft.coming_in_by(bridge), nft.not_from_subnet(subnet), nft.count(), nft.drop(),
        ),
        nft.add_rule(
            table, "prerouting", "nobody else has a Pod's address",
            nft.from_subnet(subnet), nft.not_coming_in_by(bridge), nft.not_coming_in_by("lo"),
            nft.count(), nft.drop(),
        ),
        nft.add_rule(
            table, "prerouting", "the node's loopback is not for Pods",
            nft.coming_in_by(bridge), nft.to_subnet(_LOOPBACK), nft.count(), nft.drop(),
        ),
        nft.add_plain_chain(table, _HOST_PORTS),
        *_to_host_ports(table, "dnat-in", nft.PREROUTING),
        *_to_host_ports(table, "dnat-out", nft.OUTPUT),
        *(
            nft.add_rule(
                table, "dnat-in", f"{ip}:{port} is {real_ip}:{real_port}",
                nft.coming_in_by(bridge), nft.to_subnet(_only(ip)),
                nft.to_port(PROTOCOLS["TCP"], port), nft.send_to(real_ip, real_port),
            )
            for (ip, port), (real_ip, real_port) in services.items()
        ),
        *_host_port_rules(table, ports),
    ]  # fmt: skip
    try:
        nft.apply_batch(batch)
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
        log.warning("no masquerade (%s): Pods reach this node and each other only", failure)
        return False
    return True


def _to_host_ports(table: str, chain: str, hook: int) -> list[Request]:
    priority = nft.PRIORITY_DESTINATION_NAT
    return [
        nft.add_chain(table, chain, kind="nat", hook=hook, priority=priority),
        nft.add_rule(table, chain, "what is for a hostPort", nft.jump(_HOST_PORTS)),
    ]


def put_host_ports(table: str, ports: Iterable[Published]) -> None:
    """These and no others, in one step. Raises OSError."""
    nft.apply_batch([nft.empty_chain(table, _HOST_PORTS), *_host_port_rules(table, ports)])


def _host_port_rules(table: str, ports: Iterable[Published]) -> list[Request]:
    """Those for one address before those for all."""
    ordered = sorted(ports, key=lambda one: (one.host_ip in ANY, one.host_ip, one.host_port))
    return [
        nft.add_rule(
            table, _HOST_PORTS, one.owner,
            nft.to_this_machine() if one.host_ip in ANY else nft.to_subnet(_only(one.host_ip)),
            nft.to_port(PROTOCOLS[one.protocol], one.host_port), nft.count(),
            nft.send_to(one.pod_ip, one.container_port),
        )
        for one in ordered
    ]  # fmt: skip


def host_port_match(port: Published) -> tuple[str, ...]:
    """The start of its rule, in nft's words."""
    is_any = port.host_ip in ANY
    return ("fib", "daddr", "type", "local") if is_any else ("ip", "daddr", port.host_ip)


def _only(ip: str) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"{ip}/32")


def remove_firewall(table: str) -> None:
    """Safe to repeat."""
    try:
        nft.apply_batch([nft.add_table(table), nft.delete_table(table)])
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
