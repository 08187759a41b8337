"""nftables by hand: an atomic batch of tables, chains and rules.

Room kubelet/network. Everything between BATCH_BEGIN and BATCH_END takes effect at once or not at
all. A rule is a list of expressions that load into a register, change it, compare it; the first
that does not match ends the rule. (kernel `include/uapi/linux/netfilter/nf_tables.h`; `nft
--debug=netlink` shows the expressions of any rule.)
"""

from __future__ import annotations

import ipaddress
import socket
import struct

from kubelet.network.netlink import CREATE, REQUEST, Netlink, Request, attribute, nested, text

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE = (_SUBSYSTEM << 8 | kind for kind in (0, 2, 3, 6))
_BATCH_BEGIN, _BATCH_END = 16, 17
_APPEND = 0x800

# Registers, payload bases, meta keys, comparisons, verdicts
_REGISTER, _VERDICT_REGISTER = 1, 0
_NETWORK_HEADER = 1
_SOURCE_OFFSET = 12  # of an IPv4 header's saddr
_INPUT_NAME, _OUTPUT_NAME = 6, 7
_EQUAL, _NOT_EQUAL = 0, 1
_DROP = 0
_NAME_BYTES = 16
_COMMENT = 0  # what nft(8) keeps in a rule's user data

# Where a chain stands: hook, priority
PREROUTING, POSTROUTING = 0, 4
PRIORITY_RAW, PRIORITY_SOURCE_NAT = -300, 100

Expressions = list[bytes]


# ---- expressions ----


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack("!I", value & 0xFFFFFFFF))


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(1, value))


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", _number(1, _REGISTER), _number(2, operator), _data(3, value))


def _interface(key: int, name: str, operator: int) -> Expressions:
    load = _expression("meta", _number(1, _REGISTER), _number(2, key))
    return [load, _compare(operator, name.encode().ljust(_NAME_BYTES, b"\0"))]


def coming_in_by(name: str) -> Expressions:
    return _interface(_INPUT_NAME, name, _EQUAL)


def not_coming_in_by(name: str) -> Expressions:
    return _interface(_INPUT_NAME, name, _NOT_EQUAL)


def not_going_out_by(name: str) -> Expressions:
    return _interface(_OUTPUT_NAME, name, _NOT_EQUAL)


def _source(subnet: ipaddress.IPv4Network, operator: int) -> Expressions:
    load = _expression(
        "payload",
        _number(1, _REGISTER),
        _number(2, _NETWORK_HEADER),
        _number(3, _SOURCE_OFFSET),
        _number(4, 4),
    )
    mask = _expression(
        "bitwise",
        _number(1, _REGISTER), _number(2, _REGISTER), _number(3, 4),
        _data(4, subnet.netmask.packed), _data(5, bytes(4)),
    )  # fmt: skip
    return [load, mask, _compare(operator, subnet.network_address.packed)]


def from_subnet(subnet: ipaddress.IPv4Network) -> Expressions:
    return _source(subnet, _EQUAL)


def not_from_subnet(subnet: ipaddress.IPv4Network) -> Expressions:
    return _source(subnet, _NOT_EQUAL)


def count() -> Expressions:
    return [_expression("counter")]


def masquerade() -> Expressions:
    return [_expression("masq")]


def drop() -> Expressions:
    verdict = nested(2, _number(1, _DROP))
    return [_expression("immediate", _number(1, _VERDICT_REGISTER), nested(2, verdict))]


# ---- tables, chains, rules ----


def _request(kind: int, flags: int, body: bytes, says: str) -> Request:
    family = struct.pack("!BBH", socket.AF_INET, 0, 0)
    return Request(kind, REQUEST | flags, family + body, says)


def add_table(name: str) -> Request:
    return _request(_NEWTABLE, CREATE, text(1, name), f"add nft table {name}")


def delete_table(name: str) -> Request:
    return _request(_DELTABLE, 0, text(1, name), f"delete nft table {name}")


def add_chain(table: str, name: str, *, kind: str, hook: int, priority: int) -> Request:
    """A base chain that accepts what no rule drops; `kind` "filter" or "nat"."""
    stands = nested(4, _number(1, hook), _number(2, priority))
    body = text(1, table) + text(3, name) + stands + _number(5, 1) + text(7, kind)
    return _request(_NEWCHAIN, CREATE, body, f"add nft chain {table} {name}")


def add_rule(table: str, chain: str, comment: str, *parts: Expressions) -> Request:
    expressions = [expression for part in parts for expression in part]
    said = comment.encode() + b"\0"
    body = (
        text(1, table)
        + text(2, chain)
        + nested(4, *expressions)
        + attribute(7, bytes((_COMMENT, len(said))) + said)
    )
    return _request(_NEWRULE, CREATE | _APPEND, body, f"add nft rule to {table} {chain}")


def apply_batch(requests: list[Request]) -> None:
    """All or nothing. Raises OSError, EOPNOTSUPP or EPROTONOSUPPORT without nf_tables in the
    kernel."""
    edge = struct.pack("!BBH", socket.AF_UNSPEC, 0, _SUBSYSTEM)
    begin = Request(_BATCH_BEGIN, REQUEST, edge, "begin an nft batch", is_answered=False)
    end = Request(_BATCH_END, REQUEST, edge, "commit an nft batch", is_answered=False)
    with Netlink.open(_NETLINK_NETFILTER) as kernel:
        kernel.send(begin, *requests, end)
