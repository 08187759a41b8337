"""What leaves the Pods' subnet leaves as the node: one nftables table a cluster.

Room kubelet/network. The same by hand:

    nft add table ip podium-ID
    nft add chain ip podium-ID postrouting '{ type nat hook postrouting priority 100; }'
    nft add rule ip podium-ID postrouting ip saddr SUBNET oifname != BRIDGE masquerade

Where the kernel has no nf_tables, Pods reach this node and each other, and a warning says so.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket

from pyroute2.netlink.exceptions import NetlinkError
from pyroute2.nftables.expressions import genex, masq
from pyroute2.nftables.main import NFTables

log = logging.getLogger("pod-network")

_PRIORITY_SRCNAT = 100
_NETWORK_HEADER, _SADDR_OFFSET = 1, 12
_META_OIFNAME, _REGISTER = 7, 1
_EQUAL, _NOT_EQUAL = 0, 1
_IFNAME_BYTES = 16

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _expressions(bridge: str, subnet: Network) -> list[list[dict[str, object]]]:
    """ip saddr SUBNET oifname != BRIDGE masquerade, as the kernel's own expressions."""
    mask, zero = subnet.netmask.packed, b"\0" * 4
    load = {"dreg": _REGISTER, "base": _NETWORK_HEADER, "offset": _SADDR_OFFSET, "len": 4}
    masked = {
        "sreg": _REGISTER,
        "dreg": _REGISTER,
        "len": 4,
        "mask": {"attrs": [("NFTA_DATA_VALUE", mask)]},
        "xor": {"attrs": [("NFTA_DATA_VALUE", zero)]},
    }
    name = bridge.encode().ljust(_IFNAME_BYTES, b"\0")
    return [
        [genex("payload", load)],
        [genex("bitwise", masked)],
        [genex("cmp", _compare(_EQUAL, subnet.network_address.packed))],
        [genex("meta", {"key": _META_OIFNAME, "dreg": _REGISTER})],
        [genex("cmp", _compare(_NOT_EQUAL, name))],
        masq(),
    ]


def _compare(operator: int, value: bytes) -> dict[str, object]:
    return {"sreg": _REGISTER, "op": operator, "data": {"attrs": [("NFTA_DATA_VALUE", value)]}}


def add_masquerade(table: str, bridge: str, subnet: Network) -> None:
    """Replaces what an earlier life left."""
    remove_masquerade(table)
    try:
        with NFTables(nfgen_family=socket.AF_INET) as nft:
            nft.table("add", name=table)
            nft.chain(
                "add", table=table, name="postrouting", hook="postrouting", type="nat", policy=1,
                priority=_PRIORITY_SRCNAT,
            )  # fmt: skip
            nft.rule("add", table=table, chain="postrouting", expressions=_expressions(bridge, subnet))
    except (OSError, NetlinkError) as failure:
        log.warning("no masquerade (%s): Pods reach this node and each other only", failure)


def remove_masquerade(table: str) -> None:
    """Safe to repeat."""
    with contextlib.suppress(OSError, NetlinkError), NFTables(nfgen_family=socket.AF_INET) as nft:
        nft.table("del", name=table)
