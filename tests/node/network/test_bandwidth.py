"""How fast a Pod may receive and send: the kernel's own view, and what TCP really gets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import uuid
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from kubelet.network import Bandwidth, NetworkError, PodNetwork, links, traffic
from kubelet.network.bandwidth import ifb_name
from kubelet.network.netlink import Netlink
from kubelet.network.pod_network import interface_name
from tests.node.network.conftest import a_network
from tests.node.network.netns import Netns

MBIT = 1_000_000
MEASURED_S, SETTLE_S = 3.0, 0.5  # the first burst is not the rate
TRIES = 3  # other work on this machine can only take speed away


def a_pod(network: PodNetwork, netns: Netns) -> str:
    uid = str(uuid.uuid4())
    network.attach(uid, netns.path)
    return uid


def rates(uid: str) -> Bandwidth:
    """What the kernel holds the Pod to."""
    with Netlink.open() as kernel:
        ends = [links.find_link(kernel, name) for name in (interface_name(uid), ifb_name(uid))]
        found = [
            sum(q.rate_bytes * 8 for q in traffic.queues(kernel, end.index)) if end else 0
            for end in ends
        ]
        if ends[0] and ends[1] and traffic.redirections(kernel, ends[0].index) != [ends[1].index]:
            found[1] = 0  # a queue through which nothing goes
    return Bandwidth(*found)


def bits_per_s(sender: Netns, receiver: Netns, ip: str) -> float:
    """What one TCP connection carries, seen by the receiver."""
    with receiver.inside():
        listener = socket.create_server((ip, 0))
    with sender.inside():
        client = socket.create_connection(listener.getsockname(), timeout=10)
    server, _ = listener.accept()
    done = threading.Event()

    def send() -> None:
        block = bytes(1 << 16)
        with contextlib.suppress(OSError):  # shut down under it
            while not done.is_set():
                client.sendall(block)

    thread = threading.Thread(target=send)
    with listener, client, server:
        thread.start()
        try:
            _receive(server, SETTLE_S)
            return _receive(server, MEASURED_S)
        finally:
            done.set()
            client.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def _receive(server: socket.socket, seconds: float) -> float:
    began, got = time.monotonic(), 0
    while (now := time.monotonic()) < began + seconds:
        got += len(server.recv(1 << 16))
    return got * 8 / (now - began)


def test_a_pod_has_the_limits_it_was_given_and_no_others(
    network: PodNetwork, pods: list[Netns]
) -> None:
    uid = a_pod(network, pods[0])
    assert rates(uid) == Bandwidth()
    network.limit(uid, Bandwidth(10 * MBIT, 20 * MBIT))
    assert rates(uid) == Bandwidth(10 * MBIT, 20 * MBIT)
    with IPRoute() as ip:
        (ifb,) = ip.get_links(ifname=ifb_name(uid))
        assert ifb.get_attr("IFLA_IFALIAS") == uid


@pytest.mark.parametrize("now", [Bandwidth(5 * MBIT, 6 * MBIT), Bandwidth(7 * MBIT), Bandwidth()])
def test_limits_can_be_changed_and_lifted(
    network: PodNetwork, pods: list[Netns], now: Bandwidth
) -> None:
    uid = a_pod(network, pods[0])
    network.limit(uid, Bandwidth(10 * MBIT, 20 * MBIT))
    for _ in range(2):
        network.limit(uid, now)
        assert rates(uid) == now


def test_a_rate_beyond_32_bits_is_kept(network: PodNetwork, pods: list[Netns]) -> None:
    uid = a_pod(network, pods[0])
    network.limit(uid, Bandwidth(100_000 * MBIT, 0))
    assert rates(uid) == Bandwidth(100_000 * MBIT, 0)


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_tcp_gets_the_bandwidth_within_a_tenth(
    network: PodNetwork, pods: list[Netns], node: Netns, direction: str
) -> None:
    uid, wanted = a_pod(network, pods[0]), 40 * MBIT
    network.limit(uid, Bandwidth(**{direction: wanted}))
    pod_ip = network.attached()[uid].ip
    way = (node, pods[0], pod_ip) if direction == "ingress" else (pods[0], node, "10.244.0.1")
    found = [0.0]
    while len(found) <= TRIES and not 0.9 * wanted < found[-1] < 1.1 * wanted:
        found.append(bits_per_s(*way))
    assert 0.9 * wanted < found[-1] < 1.1 * wanted, found


def test_a_limit_on_one_direction_leaves_the_other_free(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid = a_pod(network, pods[0])
    network.limit(uid, Bandwidth(ingress=2 * MBIT))
    assert bits_per_s(pods[0], node, "10.244.0.1") > 20 * MBIT


def test_a_kubelet_that_comes_back_finds_the_ifb_again(
    network: PodNetwork, pods: list[Netns], tmp_path: Path
) -> None:
    uid = a_pod(network, pods[0])
    network.limit(uid, Bandwidth(egress=20 * MBIT))
    again = a_network(tmp_path)
    again.limit(uid, Bandwidth(egress=20 * MBIT))
    assert rates(uid) == Bandwidth(egress=20 * MBIT)
    again.detach(uid)
    with IPRoute() as ip:
        assert not ip.link_lookup(ifname=ifb_name(uid))


def test_an_ifb_that_somebody_deleted_is_made_again(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid = a_pod(network, pods[0])
    network.limit(uid, Bandwidth(egress=20 * MBIT))
    with IPRoute() as ip:
        ip.link("del", index=ip.link_lookup(ifname=ifb_name(uid))[0])
    network.limit(uid, Bandwidth(egress=30 * MBIT))
    assert rates(uid) == Bandwidth(egress=30 * MBIT)
    assert bits_per_s(pods[0], node, "10.244.0.1") > 10 * MBIT


def test_removing_the_network_takes_the_ifbs_along(network: PodNetwork, pods: list[Netns]) -> None:
    uids = [a_pod(network, netns) for netns in pods]
    for uid in uids:
        network.limit(uid, Bandwidth(1 * MBIT, 1 * MBIT))
    network.remove()
    with IPRoute() as ip:
        assert {link.get_attr("IFLA_IFNAME") for link in ip.get_links()} == {"lo"}


def test_a_kernel_without_ifb_is_a_clear_error(
    network: PodNetwork, pods: list[Netns], monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = a_pod(network, pods[0])
    as_it_is = links.add_ifb

    def unknown_kind(name: str, mtu: int) -> links.Request:
        request = as_it_is(name, mtu)
        return links.Request(
            request.kind, request.flags, request.body.replace(b"ifb\0", b"ifx\0"), request.says
        )

    monkeypatch.setattr(links, "add_ifb", unknown_kind)
    with pytest.raises(NetworkError, match="egress-bandwidth: the kernel has no ifb"):
        network.limit(uid, Bandwidth(egress=1 * MBIT))
