"""Bridge, veth pairs, firewall: real ones, in a network namespace that stands in for the node."""

from __future__ import annotations

import errno
import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pyroute2 import IPRoute
from pyroute2.nftables.main import NFTables

from kubelet.network import NetworkError, PodNetwork, SubnetClash
from tests.node.network.conftest import a_network
from tests.node.network.netns import SILENCE_S, Netns, speaks


def a_uid() -> str:
    return str(uuid.uuid4())


def nft_tables() -> set[str]:
    with NFTables(nfgen_family=0) as nft:
        return {str(table.get_attr("NFTA_TABLE_NAME")) for table in nft.get_tables()}


def test_a_pod_gets_an_interface_an_address_and_a_way_out(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid = a_uid()
    address = network.attach(uid, pods[0].path)
    assert address.ip == "10.244.0.2"
    assert pods[0].addresses() == {"lo": "127.0.0.1/8", "eth0": "10.244.0.2/24"}
    assert pods[0].default_gateway() == address.gateway == "10.244.0.1"
    assert node.addresses()["podium-a1b2c3"] == "10.244.0.1/24"
    with IPRoute() as ip:
        (ours,) = ip.get_links(ifname=address.host_interface)
        assert ours.get_attr("IFLA_IFALIAS") == uid
        assert ours.get_attr("IFLA_OPERSTATE") == "UP"
    with pods[0].inside(), IPRoute() as ip:
        (theirs,) = ip.get_links(ifname="eth0")
        assert theirs.get_attr("IFLA_ADDRESS") == address.mac


def test_pods_hear_each_other_and_the_node(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    one, two = (network.attach(a_uid(), netns.path).ip for netns in pods[:2])
    with pods[0].udp() as a, pods[1].udp() as b, node.udp() as host:
        assert speaks(a, b, to=two) == one
        assert speaks(b, a, to=one) == two
        assert speaks(a, host, to="10.244.0.1") == one
        assert speaks(host, a, to=one) == "10.244.0.1"


def test_a_pod_hears_itself_through_its_own_address(network: PodNetwork, pods: list[Netns]) -> None:
    own = network.attach(a_uid(), pods[0].path).ip
    with pods[0].udp() as a, pods[0].udp() as b:
        assert speaks(a, b, to=own) == own


def test_attaching_again_changes_nothing(network: PodNetwork, pods: list[Netns]) -> None:
    uid = a_uid()
    first = network.attach(uid, pods[0].path)
    with IPRoute() as ip:
        (before,) = ip.link_lookup(ifname=first.host_interface)
        assert network.attach(uid, pods[0].path) == first
        assert ip.link_lookup(ifname=first.host_interface) == [before]


def test_a_kubelet_that_comes_back_finds_its_pods_and_does_not_disturb_them(
    network: PodNetwork, pods: list[Netns], tmp_path: Path
) -> None:
    uid, other = a_uid(), a_uid()
    first = network.attach(uid, pods[0].path)
    again = a_network(tmp_path)
    again.ensure_bridge()
    assert again.attached() == {uid: first}
    with IPRoute() as ip:
        before = ip.link_lookup(ifname=first.host_interface)
        assert again.attach(uid, pods[0].path) == first
        assert ip.link_lookup(ifname=first.host_interface) == before
    assert again.attach(other, pods[1].path).ip != first.ip


def test_what_a_crash_left_half_done_is_finished(
    network: PodNetwork, pods: list[Netns], tmp_path: Path
) -> None:
    uid = a_uid()
    address = network.attach(uid, pods[0].path)
    with pods[0].inside(), IPRoute() as ip:  # as if killed right after the pair was made
        ip.flush_addr(index=ip.link_lookup(ifname="eth0")[0])
        ip.link("set", index=ip.link_lookup(ifname="eth0")[0], state="down")
        ip.link("set", index=1, state="down")
    again = a_network(tmp_path)
    again.ensure_bridge()
    assert again.attach(uid, pods[0].path) == address
    assert pods[0].addresses() == {"lo": "127.0.0.1/8", "eth0": f"{address.ip}/24"}
    assert pods[0].default_gateway() == "10.244.0.1"


def test_a_pod_whose_sandbox_was_lost_keeps_its_address_in_the_next(
    network: PodNetwork, pods: list[Netns]
) -> None:
    uid = a_uid()
    first = network.attach(uid, pods[0].path)
    assert network.attach(uid, pods[1].path) == first
    assert pods[1].addresses()["eth0"] == f"{first.ip}/24"
    assert pods[0].interfaces() == {"lo"}


def test_detaching_removes_the_pair_and_frees_the_address(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    uid = a_uid()
    address = network.attach(uid, pods[0].path)
    network.detach(uid)
    network.detach(uid)
    assert network.attached() == {}
    assert pods[0].interfaces() == {"lo"}
    assert address.host_interface not in node.interfaces()


def test_a_pod_whose_namespace_has_gone_can_be_detached(network: PodNetwork, node: Netns) -> None:
    uid, netns = a_uid(), Netns.fresh()
    network.attach(uid, netns.path)
    netns.close()
    network.detach(uid)
    assert network.attached() == {}
    assert not {name for name in node.interfaces() if name.startswith("pod") and "-" not in name}


def test_many_threads_attach_and_detach_many_pods(network: PodNetwork, node: Netns) -> None:
    uids = [a_uid() for _ in range(40)]
    spaces = [Netns.fresh() for _ in uids]
    try:
        with ThreadPoolExecutor(8) as threads:
            given = list(threads.map(network.attach, uids, [netns.path for netns in spaces]))
            assert len({address.ip for address in given}) == 40
            assert [netns.addresses()["eth0"] for netns in spaces] == [f"{a.ip}/24" for a in given]
            list(threads.map(network.detach, uids))
        assert network.attached() == {}
        assert node.interfaces() == {"lo", "podium-a1b2c3"}
    finally:
        for netns in spaces:
            netns.close()


def test_the_nodes_own_namespace_is_never_taken_for_a_pods(
    network: PodNetwork, node: Netns
) -> None:
    with pytest.raises(NetworkError, match="own network namespace"):
        network.attach(a_uid(), node.path)
    assert network.attached() == {}


def test_a_namespace_that_has_gone_is_a_clear_error(network: PodNetwork) -> None:
    with pytest.raises(NetworkError, match="/proc/4194999/ns/net is gone"):
        network.attach(a_uid(), "/proc/4194999/ns/net")


def test_a_foreign_eth0_is_not_touched(network: PodNetwork, pods: list[Netns]) -> None:
    with pods[0].inside(), IPRoute() as ip:
        ip.link("add", ifname="eth0", kind="bridge")
    with pytest.raises(NetworkError, match="not ours"):
        network.attach(a_uid(), pods[0].path)


def test_a_failed_attach_gives_its_address_back(
    network: PodNetwork, pods: list[Netns], monkeypatch: pytest.MonkeyPatch
) -> None:
    from kubelet.network import links

    real = links.put_default_route
    monkeypatch.setattr(links, "put_default_route", lambda index, _: real(index, "203.0.113.1"))
    with pytest.raises(NetworkError, match=r"route by 203.0.113.1: Network is unreachable"):
        network.attach(a_uid(), pods[0].path)
    assert network.attached() == {}
    assert pods[0].interfaces() == {"lo"}


def test_a_bridge_that_somebody_deleted_comes_back_with_its_pods(
    network: PodNetwork, pods: list[Netns]
) -> None:
    one = network.attach(a_uid(), pods[0].path).ip
    with IPRoute() as ip:
        ip.link("del", index=ip.link_lookup(ifname="podium-a1b2c3")[0])
    two = network.attach(a_uid(), pods[1].path).ip
    with pods[0].udp() as a, pods[1].udp() as b:
        assert speaks(a, b, to=two) == one


def test_what_leaves_the_node_leaves_as_the_node(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    world = pods[2]
    join(node, world)
    network.attach(a_uid(), pods[0].path)
    with pods[0].udp() as pod, world.udp() as server:
        assert speaks(pod, server, to="198.51.100.2") == "198.51.100.1"


def join(node: Netns, world: Netns) -> None:
    """A cable from the node to a namespace that stands in for the world, which knows no Pods."""
    with IPRoute() as ip:
        ip.link("add", ifname="uplink", kind="veth", peer={"ifname": "up", "net_ns_fd": world.fd})
        index = ip.link_lookup(ifname="uplink")[0]
        ip.addr("add", index=index, address="198.51.100.1", prefixlen=24)
        ip.link("set", index=index, state="up")
    with world.inside(), IPRoute() as ip:
        index = ip.link_lookup(ifname="up")[0]
        ip.addr("add", index=index, address="198.51.100.2", prefixlen=24)
        ip.link("set", index=index, state="up")
        ip.route("add", dst="10.244.0.0/24", gateway="198.51.100.1")


def test_a_pod_cannot_speak_under_an_address_that_is_no_pods(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    network.attach(a_uid(), pods[0].path)
    with pods[0].inside(), IPRoute() as ip:
        ip.addr("add", index=ip.link_lookup(ifname="eth0")[0], address="172.31.9.9", prefixlen=32)
    with IPRoute() as ip:  # so that it is our rule that drops, not the kernel's own filter
        ip.route("add", dst="172.31.9.9/32", oif=ip.link_lookup(ifname="podium-a1b2c3")[0])
    with node.udp() as server, pods[0].udp("172.31.9.9") as liar, pods[0].udp() as honest:
        assert speaks(honest, server, to="10.244.0.1") is not None
        server.settimeout(SILENCE_S)
        assert speaks(liar, server, to="10.244.0.1") is None


def test_the_world_cannot_speak_under_a_pods_address(
    network: PodNetwork, pods: list[Netns], node: Netns
) -> None:
    world = pods[2]
    join(node, world)
    with world.inside(), IPRoute() as ip:
        ip.addr("add", index=ip.link_lookup(ifname="up")[0], address="10.244.0.99", prefixlen=32)
    Path("/proc/sys/net/ipv4/conf/uplink/rp_filter").write_text("0")
    Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
    with node.udp() as server, world.udp("10.244.0.99") as liar, world.udp() as honest:
        assert speaks(honest, server, to="198.51.100.1") == "198.51.100.2"
        server.settimeout(SILENCE_S)
        assert speaks(liar, server, to="198.51.100.1") is None


def test_two_clusters_side_by_side_do_not_disturb_each_other(
    node: Netns, pods: list[Netns], tmp_path: Path
) -> None:
    one = a_network(tmp_path)
    two = a_network(tmp_path, "d4e5f6", "10.245.0.0/24")
    one.ensure_bridge()
    two.ensure_bridge()
    one.attach(a_uid(), pods[0].path)
    kept = two.attach(a_uid(), pods[1].path)
    one.remove()
    assert node.interfaces() == {"lo", "podium-d4e5f6", kept.host_interface}
    assert nft_tables() == {"podium-d4e5f6"}
    with pods[1].udp() as pod, node.udp() as host:
        assert speaks(pod, host, to="10.245.0.1") == kept.ip


def test_a_subnet_that_is_somebody_elses_is_refused_by_name(node: Netns, tmp_path: Path) -> None:
    a_network(tmp_path).ensure_bridge()
    other = a_network(tmp_path, "d4e5f6", "10.244.0.128/25")
    with pytest.raises(
        SubnetClash, match=r"10.244.0.128/25 overlaps 10.244.0.0/24.* podium-a1b2c3"
    ):
        other.ensure_bridge()
    assert node.interfaces() == {"lo", "podium-a1b2c3"}
    assert nft_tables() == {"podium-a1b2c3"}


def test_an_interface_of_our_name_that_is_no_bridge_is_refused(node: Netns, tmp_path: Path) -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="podium-a1b2c3", kind="veth", peer="x")
    with pytest.raises(NetworkError, match="exists and is no bridge but veth"):
        a_network(tmp_path).ensure_bridge()


def test_removing_leaves_nothing_whoever_does_it(
    network: PodNetwork, pods: list[Netns], node: Netns, tmp_path: Path
) -> None:
    for netns in pods:
        network.attach(a_uid(), netns.path)
    teardown = a_network(tmp_path)
    teardown.remove()
    teardown.remove()
    assert node.interfaces() == {"lo"}
    assert nft_tables() == set()
    assert os.listdir(tmp_path / "a1b2c3" / "addresses") == []


def test_removing_finds_ends_that_are_on_no_bridge(
    network: PodNetwork, pods: list[Netns], node: Netns, tmp_path: Path
) -> None:
    network.attach(a_uid(), pods[0].path)
    with IPRoute() as ip:
        ip.link("del", index=ip.link_lookup(ifname="podium-a1b2c3")[0])
    a_network(tmp_path).remove()
    assert node.interfaces() == {"lo"}


def test_making_the_bridge_again_leaves_one_of_everything(network: PodNetwork) -> None:
    network.ensure_bridge()
    assert nft_tables() == {"podium-a1b2c3"}
    with NFTables(nfgen_family=2) as nft:
        assert len(list(nft.get_rules())) == 8


def test_pods_do_not_send_more_than_the_way_out_can_carry(
    node: Netns, pods: list[Netns], tmp_path: Path
) -> None:
    join(node, pods[2])
    with IPRoute() as ip:
        ip.link("set", index=ip.link_lookup(ifname="uplink")[0], mtu=1380)
        ip.route("add", dst="default", gateway="198.51.100.2")
    network = a_network(tmp_path)
    network.ensure_bridge()
    address = network.attach(a_uid(), pods[0].path)
    with IPRoute() as ip:
        names = ["podium-a1b2c3", address.host_interface]
        assert [ip.get_links(ifname=n)[0].get_attr("IFLA_MTU") for n in names] == [1380, 1380]


def test_the_node_forwards(network: PodNetwork) -> None:
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"


def test_the_thread_is_back_home_whatever_happens(network: PodNetwork, pods: list[Netns]) -> None:
    before = os.readlink("/proc/thread-self/ns/net")
    network.attach(a_uid(), pods[0].path)
    with pytest.raises(NetworkError):
        network.attach(a_uid(), "/proc/self/status")  # no namespace at all
    assert os.readlink("/proc/thread-self/ns/net") == before
    assert re.fullmatch(r"net:\[\d+\]", before)


def test_a_kernel_without_nftables_is_warned_about_and_pods_still_hear_each_other(
    node: Netns,
    pods: list[Netns],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def unsupported(_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "begin an nft batch: Operation not supported")

    monkeypatch.setattr("kubelet.network.nftables.apply_batch", unsupported)
    network = a_network(tmp_path)
    network.ensure_bridge()
    one, two = (network.attach(a_uid(), netns.path).ip for netns in pods[:2])
    with pods[0].udp() as a, pods[1].udp() as b:
        assert speaks(a, b, to=two) == one
    assert "no masquerade" in caplog.text
    network.remove()
