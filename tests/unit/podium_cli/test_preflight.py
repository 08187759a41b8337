"""What `podium up` looks at before it starts anything."""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path

import pytest

from podium.cli import cluster_config, preflight

V1 = "24 23 0:21 / /sys/fs/cgroup/{0} rw - cgroup cgroup rw,{0}\n"


def test_a_port_in_use_names_the_process_that_has_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(preflight.Unfit) as caught:
            preflight.check_port("127.0.0.1", port)
    assert f"port {port} is already in use by" in str(caught.value)
    assert f"(pid {os.getpid()})" in str(caught.value)


def test_port_0_is_any_free_port() -> None:
    assert preflight.check_port("127.0.0.1", 0) > 0


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(preflight.Unfit, match=r"192\.0\.2\.1 is not an address of this machine"):
        preflight.check_port("192.0.2.1", 0)


def test_without_root_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(preflight.Unfit, match=r"podium must run as root: .* try sudo"):
        preflight.check_root()


def test_cgroup_v1_hierarchies_are_enough() -> None:
    preflight._check_cgroups("".join(V1.format(name) for name in ("cpu", "memory", "pids")))


def test_a_switched_off_memory_cgroup_names_the_kernel_parameter() -> None:
    with pytest.raises(preflight.Unfit, match="cgroup_enable=memory"):
        preflight._check_cgroups("".join(V1.format(name) for name in ("cpu", "pids")))


def test_this_machine_is_fit() -> None:
    preflight.check_kernel()


def test_the_pod_network_avoids_existing_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = [("eth0", ipaddress.IPv4Network("10.244.0.0/15"))]
    monkeypatch.setattr(preflight, "existing_routes", lambda: iter(taken))
    default = Path(cluster_config.DEFAULT_DATA_DIR)
    assert preflight.choose_pod_cidr(None, default) == "10.246.0.0/16"
    with pytest.raises(preflight.Unfit, match=r"10\.245\.0\.0/16 meets the route"):
        preflight.choose_pod_cidr("10.245.0.0/16", default)


def test_clusters_in_two_places_choose_two_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "existing_routes", lambda: iter(()))
    places = [cluster_config.DEFAULT_DATA_DIR, "/srv/one", "/srv/two"]
    assert len({preflight.choose_pod_cidr(None, Path(place)) for place in places}) == 3


def test_a_cluster_does_not_mind_its_own_bridge() -> None:
    routes = [("podium-abc123", ipaddress.IPv4Network("10.244.0.0/24"))]
    preflight.check_pod_cidr("10.244.0.0/24", routes, ("podium-abc123",))
    with pytest.raises(preflight.Unfit):
        preflight.check_pod_cidr("10.244.0.0/24", routes, ("podium-other",))


def test_a_directory_with_somebody_elses_files_is_refused(tmp_path: Path) -> None:
    preflight.check_data_dir(tmp_path)
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(preflight.Unfit, match="is not empty and holds no cluster"):
        preflight.check_data_dir(tmp_path)


def test_what_is_written_to_cluster_json_is_read_back(tmp_path: Path) -> None:
    config = cluster_config.single_node(
        "a1b2c3", tmp_path, host="127.0.0.1", port=6443, pod_cidr="10.244.0.0/16", node_name="n"
    )
    cluster_config.write(tmp_path, config)
    assert cluster_config.read(tmp_path) == config
    assert config.nodes[0].pod_cidr == "10.244.0.0/24"
    assert cluster_config.server_url(config) == "https://127.0.0.1:6443"


def test_a_broken_cluster_json_is_named(tmp_path: Path) -> None:
    cluster_config.config_path(tmp_path).write_text("{")
    with pytest.raises(ValueError, match=r"cluster\.json is not valid JSON"):
        cluster_config.read(tmp_path)
