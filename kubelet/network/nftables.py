"""nftables by hand: an atomic batch of tables, chains and rules.

Room kubelet/network. Everything between BATCH_BEGIN and BATCH_END takes effect at once or not at
all. A rule is a list of expressions that load into a register, change it, compare it; the first
that does not match ends the rule. (kernel `include/uapi/linux/netfilter/nf_tables.h`; `nft
--debug=netlink` shows the expressions of any rule.)
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from dataclasses import dataclass

from kubelet.network.netlink import (
    CREATE,
    REQUEST,
    Netlink,
    Request,
    attribute,
    list_attributes,
    nested,
    read_attributes,
    read_text,
    text,
)

_NETLINK_NETFILTER = 12
_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
_NEWTABLE, _DELTABLE, _NEWCHAIN, _NEWRULE, _GETRULE, _DELRULE = (
    _SUBSYSTEM << 8 | kind for kind in (0, 2, 3, 6, 7, 8)
)
_BATCH_BEGIN, _BATCH_END = 16, 17
_APPEND = 0x800

# Registers, payload bases, meta keys, comparisons, verdicts
_REGISTER, _SECOND_REGISTER, _VERDICT_REGISTER = 1, 2, 0
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_SOURCE_OFFSET, _DESTINATION_OFFSET = 12, 16  # of an IPv4 header's saddr and daddr
_PORT_OFFSET = 2  # of the destination, in the headers of TCP, UDP and SCTP
_INPUT_NAME, _OUTPUT_NAME, _PROTOCOL = 6, 7, 16
_EQUAL, _NOT_EQUAL = 0, 1
_DROP, _JUMP = 0, -3
_FIB_ADDRESS_TYPE, _FIB_OF_DESTINATION, _LOCAL = 3, 2, 2
_CT_STATUS, _WAS_DNATED = 2, 1 << 5
_DESTINATION_NAT = 1
_NAME_BYTES = 16
_COMMENT = 0  # what nft(8) keeps in a rule's user data

# Where a chain stands: hook, priority
PREROUTING, OUTPUT, POSTROUTING = 0, 3, 4
PRIORITY_RAW, PRIORITY_DESTINATION_NAT, PRIORITY_SOURCE_NAT = -300, -100, 100

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


def going_out_by(name: str) -> Expressions:
    return _interface(_OUTPUT_NAME, name, _EQUAL)


def _payload(header: int, offset: int, length: int) -> bytes:
    return _expression(
        "payload",
        _number(1, _REGISTER), _number(2, header), _number(3, offset), _number(4, length),
    )  # fmt: skip


def _masked(mask: bytes) -> bytes:
    return _expression(
        "bitwise",
        _number(1, _REGISTER), _number(2, _REGISTER), _number(3, len(mask)),
        _data(4, mask), _data(5, bytes(len(mask))),
    )  # fmt: skip


def _in_subnet(offset: int, subnet: ipaddress.IPv4Network, operator: int) -> Expressions:
    load = _payload(_NETWORK_HEADER, offset, 4)
    address = subnet.network_address.packed
    return [load, _masked(subnet.netmask.packed), _compare(operator, address)]


def from_subnet(subnet: ipaddress.IPv4Network) -> Expressions:
    return _in_subnet(_SOURCE_OFFSET, subnet, _EQUAL)


def not_from_subnet(subnet: ipaddress.IPv4Network) -> Expressions:
    return _in_subnet(_SOURCE_OFFSET, subnet, _NOT_EQUAL)


def to_subnet(subnet: ipaddress.IPv4Network) -> Expressions:
    return _in_subnet(_DESTINATION_OFFSET, subnet, _EQUAL)


def to_this_machine() -> Expressions:
    """To any address of ours."""
    load = _expression(
        "fib",
        _number(1, _REGISTER), _number(2, _FIB_ADDRESS_TYPE), _number(3, _FIB_OF_DESTINATION),
    )  # fmt: skip
    return [load, _compare(_EQUAL, struct.pack("=I", _LOCAL))]


def to_port(protocol: int, port: int) -> Expressions:
    """`protocol` by its number in IP: socket.IPPROTO_TCP."""
    return [
        _expression("meta", _number(1, _REGISTER), _number(2, _PROTOCOL)),
        _compare(_EQUAL, bytes((protocol,))),
        _payload(_TRANSPORT_HEADER, _PORT_OFFSET, 2),
        _compare(_EQUAL, struct.pack("!H", port)),
    ]


def was_sent_elsewhere() -> Expressions:
    """A connection whose destination a rule has changed."""
    load = _expression("ct", _number(1, _REGISTER), _number(2, _CT_STATUS))
    mask = struct.pack("=I", _WAS_DNATED)
    return [load, _masked(mask), _compare(_NOT_EQUAL, bytes(4))]


def count() -> Expressions:
    return [_expression("counter")]


def masquerade() -> Expressions:
    return [_expression("masq")]


def send_to(ip: str, port: int) -> Expressions:
    """Destination NAT."""
    address, number = socket.inet_aton(ip), struct.pack("!H", port)
    nat = _expression(
        "nat",
        _number(1, _DESTINATION_NAT), _number(2, socket.AF_INET),
        _number(3, _REGISTER), _number(5, _SECOND_REGISTER),
    )  # fmt: skip
    return [
        _expression("immediate", _number(1, _REGISTER), _data(2, address)),
        _expression("immediate", _number(1, _SECOND_REGISTER), _data(2, number)),
        nat,
    ]


def drop() -> Expressions:
    return _verdict(_number(1, _DROP))


def jump(chain: str) -> Expressions:
    """Its rules, then back here."""
    return _verdict(_number(1, _JUMP), text(2, chain))


def _verdict(*attributes: bytes) -> Expressions:
    verdict = nested(2, *attributes)
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


def add_plain_chain(table: str, name: str) -> Request:
    """One that only a jump leads to."""
    return _request(
        _NEWCHAIN, CREATE, text(1, table) + text(3, name), f"add nft chain {table} {name}"
    )


def empty_chain(table: str, name: str) -> Request:
    """Every rule of it goes."""
    return _request(_DELRULE, 0, text(1, table) + text(2, name), f"empty nft chain {table} {name}")


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


# ---- what is there ----


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as the kernel has it: the port that it looks for and where it sends to (0 and "" where
    it does neither), and how often it was met, if it counts."""

    chain: str
    comment: str
    port: int
    to: str
    packets: int
    bytes: int


def read_rules(table: str, comment: str) -> list[Rule]:
    """Of one table, those that carry that comment; nothing where there is none, or no nf_tables."""
    request = _request(_GETRULE, 0, text(1, table), f"list the rules of nft table {table}")
    try:
        with Netlink.open(_NETLINK_NETFILTER) as kernel:
            bodies = [body for body in kernel.dump(request) if comment.encode() in body]
    except OSError as failure:
        if failure.errno in (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EINVAL):
            return []
        raise
    return [rule for body in bodies if (rule := _read_rule(body[4:])).comment == comment]


def _read_rule(body: bytes) -> Rule:
    said = read_attributes(body)
    words = [
        (read_text(one.get(1)), read_attributes(one.get(2, b"")))
        for one in map(read_attributes, list_attributes(said.get(4, b"")))
    ]
    compared = [_value(found.get(3)) for name, found in words if name == "cmp"]
    given = [_value(found.get(2)) for name, found in words if name == "immediate"]
    counted = next((found for name, found in words if name == "counter"), {})
    ports = [struct.unpack("!H", value)[0] for value in compared if len(value) == 2]
    is_nat = any(name == "nat" for name, _ in words) and len(given) == 2
    to = f"{socket.inet_ntoa(given[0])}:{struct.unpack('!H', given[1])[0]}" if is_nat else ""
    return Rule(
        chain=read_text(said.get(2)), comment=_comment(said.get(7, b"")),
        port=ports[-1] if ports else 0, to=to,
        packets=int.from_bytes(counted.get(2, b""), "big"),
        bytes=int.from_bytes(counted.get(1, b""), "big"),
    )  # fmt: skip


def _value(payload: bytes | None) -> bytes:
    return read_attributes(payload or b"").get(1, b"")


def _comment(user_data: bytes) -> str:
    is_comment = len(user_data) > 2 and user_data[0] == _COMMENT
    return read_text(user_data[2 : 2 + user_data[1]]) if is_comment else ""
