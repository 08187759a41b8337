"""Ports of the node that lead to a Pod: asked of from the node, other Pods and the world."""

from __future__ import annotations

import contextlib
import socket
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from pyroute2.nftables.main import NFTables

from kubelet.network import HostPort, PodNetwork
from tests.node.network.conftest import a_network
from tests.node.network.netns import Netns
from tests.node.network.test_pod_network import join

PATIENCE_S, SILENCE_S = 5.0, 0.5


@pytest.fixture(autouse=True)
def _loopback(node: Netns) -> None:
    """As every machine has it."""
    with IPRoute() as ip:
        ip.link("set", index=1, state="up")


def a_pod(network: PodNetwork, netns: Netns) -> tuple[str, str]:
    uid = str(uuid.uuid4())
    return uid, network.attach(uid, netns.path).ip


def leads_to(port: int, target: int = 80, ip: str = "", protocol: str = "TCP") -> HostPort:
    return HostPort(protocol, ip, port, target)


@contextlib.contextmanager
def a_server(netns: Netns, name: str, port: int = 80) -> Iterator[list[str]]:
    """Says its name to everybody; the addresses of those who asked."""
    callers: list[str] = []
    with netns.inside():
        listener = socket.create_server(("", port))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, (ip, _) = listener.accept()
                callers.append(ip)
                connection.sendall(name.encode())
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield callers
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()


def answer(netns: Netns, ip: str, port: int, timeout_s: float = PATIENCE_S) -> str:
    """Who answers there; "" for nobody."""
    with netns.inside():
        try:
            with socket.create_connection((ip, port), timeout_s) as connection:
                return connection.recv(100).decode()
        except (ConnectionRefusedError, TimeoutError):
            return ""


def test_a_host_port_leads_to_its_pod_from_everywhere(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid, own = a_pod(network, pods[0])
    _, other = a_pod(network, pods[1])
    network.publish(uid, (leads_to(8080),))
    with a_server(pods[0], "web") as callers:
        assert answer(node, "127.0.0.1", 8080) == "web"
        assert answer(node, "10.244.0.1", 8080) == "web"
        assert answer(pods[1], "10.244.0.1", 8080) == "web"
        assert answer(pods[0], "10.244.0.1", 8080) == "web"  # by way of the node to itself
    assert callers[0] == "10.244.0.1"
    assert own not in callers
    assert other not in callers


def test_the_world_is_seen_by_its_own_address(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid, _ = a_pod(network, pods[0])
    network.publish(uid, (leads_to(8080),))
    join(node, pods[2])
    with a_server(pods[0], "web") as callers:
        assert answer(pods[2], "198.51.100.1", 8080) == "web"
    assert callers == ["198.51.100.2"]


def test_an_address_of_the_node_can_have_a_port_of_its_own(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    for netns, ip in ((pods[0], "127.0.0.1"), (pods[1], "10.244.0.1")):
        uid, _ = a_pod(network, netns)
        network.publish(uid, (leads_to(8080, ip=ip),))
    with a_server(pods[0], "one"), a_server(pods[1], "two"):
        assert answer(node, "127.0.0.1", 8080) == "one"
        assert answer(node, "10.244.0.1", 8080) == "two"


def test_udp_and_tcp_have_ports_of_their_own(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid, _ = a_pod(network, pods[0])
    network.publish(uid, (leads_to(8080, target=53, protocol="UDP"),))
    with pods[0].udp(port=53) as server, node.udp() as client:
        client.sendto(b"question", ("127.0.0.1", 8080))
        _, caller = server.recvfrom(100)
        server.sendto(b"answer", caller)
        assert client.recv(100) == b"answer"
    assert answer(node, "127.0.0.1", 8080) == ""


def test_whoever_goes_on_sending_udp_reaches_the_pod_that_has_the_port_now(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    """Connection tracking would send all of one conversation to the Pod that it began with."""
    port = (leads_to(8080, target=53, protocol="UDP"),)
    first, _ = a_pod(network, pods[0])
    second, _ = a_pod(network, pods[1])
    with pods[0].udp(port=53) as old, pods[1].udp(port=53) as new, node.udp() as client:
        client.sendto(b"to nobody", ("127.0.0.1", 8080))
        network.publish(first, port)
        client.sendto(b"to the first", ("127.0.0.1", 8080))
        assert old.recv(100) == b"to the first"
        network.detach(first)
        network.publish(second, port)
        client.sendto(b"to the second", ("127.0.0.1", 8080))
        assert new.recv(100) == b"to the second"


def test_ports_of_a_pod_that_has_gone_lead_nowhere(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid, _ = a_pod(network, pods[0])
    other, _ = a_pod(network, pods[1])
    network.publish(uid, (leads_to(8080),))
    network.publish(other, (leads_to(8081),))
    network.detach(uid)
    with a_server(pods[1], "other"):
        assert answer(node, "127.0.0.1", 8080) == ""
        assert answer(node, "127.0.0.1", 8081) == "other"


def test_a_kubelet_that_comes_back_keeps_the_ports_open(
    network: PodNetwork, pods: list[Netns], node: Netns, tmp_path: Path
) -> None:
    uid, _ = a_pod(network, pods[0])
    network.publish(uid, (leads_to(8080),))
    a_network(tmp_path).ensure_bridge()
    with a_server(pods[0], "web"):
        assert answer(node, "127.0.0.1", 8080) == "web"


def test_publishing_again_leaves_one_rule(network: PodNetwork, pods: list[Netns]) -> None:
    uid, _ = a_pod(network, pods[0])
    for _ in range(2):
        network.publish(uid, (leads_to(8080),))
    with NFTables(nfgen_family=2) as nft:
        chains = [rule.get_attr("NFTA_RULE_CHAIN") for rule in nft.get_rules()]
    assert chains.count("hostports") == 1


def test_no_pod_reaches_the_nodes_loopback_through_the_bridge(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    """It sends 127.0.0.1 out by its eth0, as CVE-2020-8558 did."""
    a_pod(network, pods[0])
    with pods[0].inside(), IPRoute() as kernel:
        (eth0,) = kernel.link_lookup(ifname="eth0")
        kernel.rule("add", table=255, priority=2)  # what is local, later than
        kernel.rule("add", table=100, priority=1, dst="127.0.0.0", dst_len=8)
        kernel.rule("delete", table=255, priority=0)
        kernel.route("add", dst="127.0.0.0/8", gateway="10.244.0.1", oif=eth0, table=100)
    with a_server(node, "the node's own", 6443) as callers:
        assert answer(pods[0], "127.0.0.1", 6443, SILENCE_S) == ""
    assert callers == []
    assert dropped("the node's loopback is not for Pods") > 0


def dropped(comment: str) -> int:
    """Packets that came to a rule's counter."""
    with NFTables(nfgen_family=2) as nft:
        for rule in nft.get_rules():
            if comment in str(rule.get_attr("NFTA_RULE_USERDATA")):
                for one in rule.get_attr("NFTA_RULE_EXPRESSIONS"):
                    if one.get_attr("NFTA_EXPR_NAME") == "counter":
                        data = one.get_attr("NFTA_EXPR_DATA")
                        return int(data.get_attr("NFTA_COUNTER_PACKETS"))
    raise AssertionError(f"no rule {comment!r} with a counter")
