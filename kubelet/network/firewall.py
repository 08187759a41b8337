r"""One nftables table a cluster: what leaves the Pods' subnet leaves as the node, and nobody lies
about who he is. Room kubelet/network. The same by hand:

    nft add table ip podium-ID
    nft add chain ip podium-ID postrouting '{ type nat hook postrouting priority srcnat; }'
    nft add rule ip podium-ID postrouting ip saddr SUBNET oifname != BRIDGE masquerade
    nft add chain ip podium-ID prerouting '{ type filter hook prerouting priority raw; }'
    nft add rule ip podium-ID prerouting iifname BRIDGE ip saddr != SUBNET counter drop
    nft add rule ip podium-ID prerouting ip saddr SUBNET iifname != BRIDGE iifname != lo \
        counter drop

Where the kernel has no nf_tables, Pods reach this node and each other, and a warning says so.
"""

from __future__ import annotations

import errno
import ipaddress
import logging

from kubelet.network import nftables as nft

log = logging.getLogger("pod-network")

_UNSUPPORTED = (errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL, errno.ENOENT)


def put_firewall(table: str, bridge: str, subnet: ipaddress.IPv4Network) -> bool:
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
    ]  # fmt: skip
    try:
        nft.apply_batch(batch)
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
        log.warning("no masquerade (%s): Pods reach this node and each other only", failure)
        return False
    return True


def remove_firewall(table: str) -> None:
    """Safe to repeat."""
    try:
        nft.apply_batch([nft.add_table(table), nft.delete_table(table)])
    except OSError as failure:
        if failure.errno not in _UNSUPPORTED:
            raise
