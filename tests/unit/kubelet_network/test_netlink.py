"""Our bytes on the wire against pyroute2's, and what we make of the kernel's answers."""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from kubelet.network import links
from kubelet.network.netlink import (
    Netlink,
    Request,
    attribute,
    read_attributes,
    read_text,
    text,
)


def read_by_pyroute2(kind: type[nlmsg], request: Request) -> nlmsg:
    header = struct.pack("=IHHII", 16 + len(request.body), request.kind, request.flags, 1, 0)
    message = kind(header + request.body)
    message.decode()
    return message


def attributes(message: nlmsg) -> dict[str, Any]:
    return dict(message["attrs"])


def test_pyroute2_reads_our_veth_as_we_mean_it() -> None:
    request = links.add_veth("pod1", 7, 1400, peer="eth0", peer_mac="0a:58:0a:f4:00:05", netns_fd=9)
    said = read_by_pyroute2(ifinfmsg, request)
    assert said["flags"] == said["change"] == 1
    assert attributes(said)["IFLA_IFNAME"] == "pod1"
    assert attributes(said)["IFLA_MTU"] == 1400
    assert attributes(said)["IFLA_MASTER"] == 7
    info = said.get_attr("IFLA_LINKINFO")
    assert info.get_attr("IFLA_INFO_KIND") == "veth"
    peer = info.get_attr("IFLA_INFO_DATA").get_attr("VETH_INFO_PEER")
    assert peer.get_attr("IFLA_IFNAME") == "eth0"
    assert peer.get_attr("IFLA_ADDRESS") == "0a:58:0a:f4:00:05"
    assert peer.get_attr("IFLA_NET_NS_FD") == 9


def test_pyroute2_reads_our_bridge_as_we_mean_it() -> None:
    said = read_by_pyroute2(ifinfmsg, links.add_bridge("podium-a1b2c3", "0a:58:0a:f4:00:01", 1500))
    assert said.get_attr("IFLA_IFNAME") == "podium-a1b2c3"
    assert said.get_attr("IFLA_ADDRESS") == "0a:58:0a:f4:00:01"
    assert said.get_attr("IFLA_LINKINFO").get_attr("IFLA_INFO_KIND") == "bridge"


def test_pyroute2_reads_our_address_and_route_as_we_mean_them() -> None:
    address = links.put_address(3, ipaddress.IPv4Interface("10.244.0.5/24"))
    said = read_by_pyroute2(ifaddrmsg, address)
    assert (said["index"], said["prefixlen"], said["family"]) == (3, 24, socket.AF_INET)
    assert said.get_attr("IFA_LOCAL") == said.get_attr("IFA_ADDRESS") == "10.244.0.5"
    assert said.get_attr("IFA_BROADCAST") == "10.244.0.255"
    route = read_by_pyroute2(rtmsg, links.put_default_route(3, "10.244.0.1"))
    assert (route["dst_len"], route["table"], route["type"]) == (0, 254, 1)
    assert (route.get_attr("RTA_GATEWAY"), route.get_attr("RTA_OIF")) == ("10.244.0.1", 3)


def test_deleting_the_group_of_every_interface_is_refused() -> None:
    with pytest.raises(AssertionError, match="group 0"):
        links.delete_group(0)


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_are_read_as_they_were_written(said: dict[int, bytes]) -> None:
    written = b"".join(attribute(kind, payload) for kind, payload in said.items())
    assert len(written) % 4 == 0
    assert read_attributes(written) == said


@given(st.binary(max_size=64))
def test_reading_nonsense_ends_and_raises_nothing(data: bytes) -> None:
    read_attributes(data)


def test_text_ends_with_a_nul_and_is_read_without_it() -> None:
    assert read_text(read_attributes(text(1, "eth0"))[1]) == "eth0"


def test_a_refusal_carries_what_was_asked_and_the_errno() -> None:
    with (
        Netlink.open() as kernel,
        pytest.raises(OSError, match="delete interface nobody") as caught,
    ):
        kernel.send(links.delete_link("nobody-has-it"))
    assert caught.value.errno == errno.ENODEV


def test_the_first_of_several_failures_is_raised_after_all_were_tried() -> None:
    first, second = links.delete_link("nobody-1"), links.delete_link("nobody-2")
    with Netlink.open() as kernel:
        with pytest.raises(OSError, match="nobody-1"):
            kernel.send(first, second)
        assert links.find_link(kernel, "lo") is not None  # the conversation goes on


def test_an_interface_that_nobody_has_is_not_found() -> None:
    with Netlink.open() as kernel:
        assert links.find_link(kernel, "nobody-has-it") is None


def test_loopback_is_listed_and_found_alike() -> None:
    with Netlink.open() as kernel:
        listed = {link.name: link for link in links.all_links(kernel)}
        found = links.find_link(kernel, "lo")
    assert found == listed["lo"]
    assert (found.index, found.mac) == (links.LOOPBACK_INDEX, "00:00:00:00:00:00")
