"""Files for containers: /etc/hosts and its like, atomic volumes, host paths, request bodies."""

from __future__ import annotations

import io
import os
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from kubelet import pod_files, pod_hostname
from kubelet.dns import Dns
from kubelet.host_path import WrongHostPath, check_host_path
from kubelet.http_body import RequestBody
from kubelet.volume_files import File, write_files
from kubelet.volumes import VolumeError, Volumes
from tests.unit.kubelet.containers import a_container, a_kubelet_pod, around


def test_the_hosts_file_names_the_pod_and_its_aliases() -> None:
    pod = a_kubelet_pod(hostAliases=[{"ip": "192.0.2.1", "hostnames": ["db", "cache"]}])
    lines = pod_files.hosts(pod, "10.0.0.9").splitlines()
    assert lines[0] == "# Kubernetes-managed hosts file."
    assert "10.0.0.9\tweb" in lines
    assert lines[-1] == "192.0.2.1\tdb\tcache"


def test_a_long_name_makes_a_host_name_of_63_bytes() -> None:
    pod = a_kubelet_pod(hostname="a" * 62 + "-b")
    assert pod_hostname.hostname(pod) == "a" * 62


def test_resolv_conf_is_the_hosts_with_what_the_pod_says(tmp_path: Path) -> None:
    host = tmp_path / "resolv.conf"
    host.write_text("nameserver 192.0.2.53\nsearch lan\noptions ndots:1 rotate\n")
    dns = Dns(host_file=str(host))
    config = {"nameservers": ["1.1.1.1"], "searches": ["x"],
              "options": [{"name": "ndots", "value": "5"}]}  # fmt: skip
    merged = dns.resolv_conf(a_kubelet_pod(dnsConfig=config))
    assert merged == (
        "nameserver 192.0.2.53\nnameserver 1.1.1.1\nsearch lan x\noptions ndots:5 rotate\n"
    )
    own = dns.resolv_conf(a_kubelet_pod(dnsPolicy="None", dnsConfig=config))
    assert own == "nameserver 1.1.1.1\nsearch x\noptions ndots:5\n"


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "nameserver 10.96.0.10\nsearch default.svc.cluster.local svc.cluster.local "
             "cluster.local lan\noptions ndots:5\n"),
        ({"dnsPolicy": "Default"}, "nameserver 192.0.2.53\nsearch lan\n"),
        ({"hostNetwork": True}, "nameserver 192.0.2.53\nsearch lan\n"),
    ],
)  # fmt: skip
def test_where_the_cluster_has_dns_pods_ask_it_first(
    tmp_path: Path, spec: dict[str, Any], expected: str
) -> None:
    (tmp_path / "resolv.conf").write_text("nameserver 192.0.2.53\nsearch lan .\n")
    dns = Dns(servers=("10.96.0.10",), host_file=str(tmp_path / "resolv.conf"))
    assert dns.resolv_conf(a_kubelet_pod(**spec)) == expected


def test_without_dns_of_the_cluster_a_pod_has_the_nodes_and_that_is_said() -> None:
    said = Dns().missing_cluster_dns(a_kubelet_pod())
    assert said.endswith('using "ClusterFirst" policy. Falling back to "Default" policy.')
    assert Dns().missing_cluster_dns(a_kubelet_pod(dnsPolicy="Default")) == ""
    assert Dns(servers=("10.96.0.10",)).missing_cluster_dns(a_kubelet_pod()) == ""


def test_what_does_not_fit_into_resolv_conf_is_left_out_and_said() -> None:
    config = {"nameservers": [f"192.0.2.{n}" for n in range(4)]}
    dns, pod = Dns(host_file=""), a_kubelet_pod(dnsPolicy="None", dnsConfig=config)
    assert dns.resolv_conf(pod).count("nameserver") == 3
    (said,) = dns.warnings(pod)
    assert said.endswith("the applied nameserver line is: 192.0.2.0 192.0.2.1 192.0.2.2")


def test_a_volume_of_the_container_replaces_a_file_in_etc(tmp_path: Path) -> None:
    mounts = pod_files.etc_mounts(a_kubelet_pod(), "", tmp_path, ["/etc/hosts"], Dns())
    assert [mount.target for mount in mounts] == ["/etc/hostname", "/etc/resolv.conf"]


def test_last_words_are_read_up_to_4096_bytes(tmp_path: Path) -> None:
    mount = pod_files.termination_mount(a_container(), tmp_path, 0)
    Path(mount.source).write_text("x" * 5000)
    assert mount.target == "/dev/termination-log"
    assert pod_files.termination_message(a_container(), tmp_path, 0) == "x" * 4096
    assert pod_files.termination_message(a_container(), tmp_path, 1) == ""


# ---- files that are replaced together -----------------------------------------------------------


def test_files_are_links_into_a_directory_that_is_replaced_as_a_whole(tmp_path: Path) -> None:
    assert write_files(tmp_path, {"a": File(b"1", 0o644), "dir/b": File(b"2", 0o600)})
    assert os.readlink(tmp_path / "a") == "..data/a"
    assert (tmp_path / "dir" / "b").read_bytes() == b"2"
    assert (tmp_path / "dir" / "b").stat().st_mode & 0o777 == 0o600
    before = os.readlink(tmp_path / "..data")
    assert write_files(tmp_path, {"a": File(b"new", 0o644)})
    assert os.readlink(tmp_path / "..data") != before
    assert sorted(p.name for p in tmp_path.iterdir() if not p.name.startswith("..")) == ["a"]
    assert (
        len([p for p in tmp_path.iterdir() if p.name.startswith("..2") or len(p.name) == 18]) == 1
    )


def test_writing_the_same_files_again_changes_nothing(tmp_path: Path) -> None:
    files = {"a": File(b"1", 0o644)}
    write_files(tmp_path, files)
    before = os.readlink(tmp_path / "..data")
    assert not write_files(tmp_path, files)
    assert os.readlink(tmp_path / "..data") == before
    assert write_files(tmp_path, {"a": File(b"1", 0o600)})


# ---- volumes that need no root ------------------------------------------------------------------


def prepared(tmp_path: Path, volume: dict[str, object], **objects: dict[str, object]) -> Path:
    pod, surroundings = a_kubelet_pod(volumes=[{"name": "v"} | volume]), around(**objects)
    volumes = Volumes(str(tmp_path), surroundings.fetch)
    return Path(volumes.prepare(pod, surroundings)["v"])


def test_a_config_map_becomes_files(tmp_path: Path) -> None:
    config = {"data": {"a.txt": "1"}, "binaryData": {"b": "AP8="}}
    path = prepared(tmp_path, {"configMap": {"name": "c"}}, configmaps_c=config)
    assert (path / "a.txt").read_text() == "1"
    assert (path / "b").read_bytes() == b"\x00\xff"


def test_items_choose_keys_paths_and_modes(tmp_path: Path) -> None:
    source = {"name": "c", "items": [{"key": "k", "path": "x/y", "mode": 0o400}]}
    path = prepared(tmp_path, {"configMap": source}, configmaps_c={"data": {"k": "1", "z": "2"}})
    assert (path / "x" / "y").stat().st_mode & 0o777 == 0o400
    assert not (path / "z").exists()


def test_a_missing_config_map_is_told_in_kubernetes_words(tmp_path: Path) -> None:
    with pytest.raises(VolumeError) as told:
        prepared(tmp_path, {"configMap": {"name": "c"}})
    assert str(told.value) == 'MountVolume.SetUp failed for volume "v" : configmap "c" not found'
    source = {"name": "c", "items": [{"key": "k", "path": "p"}]}
    with pytest.raises(VolumeError, match="references non-existent config key: k"):
        prepared(tmp_path, {"configMap": source}, configmaps_c={"data": {}})


def test_an_optional_config_map_may_be_missing(tmp_path: Path) -> None:
    path = prepared(tmp_path, {"configMap": {"name": "c", "optional": True}})
    assert [p.name for p in path.iterdir() if not p.name.startswith("..")] == []


def test_an_empty_dir_is_everybodys(tmp_path: Path) -> None:
    assert prepared(tmp_path, {"emptyDir": {}}).stat().st_mode & 0o777 == 0o777


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [("Directory", "f", "a directory"), ("File", "d", "a file"), ("Socket", "f", "a socket file"),
     ("CharDevice", "f", "a character device"), ("Directory", "gone", "a directory")],
)  # fmt: skip
def test_host_paths_are_what_they_are_said_to_be(
    tmp_path: Path, kind: str, name: str, words: str
) -> None:
    (tmp_path / "f").touch()
    (tmp_path / "d").mkdir()
    path = str(tmp_path / name)
    with pytest.raises(WrongHostPath, match=f"^hostPath type check failed: {path} is not {words}$"):
        check_host_path({"path": path, "type": kind})


def test_host_paths_are_made_if_their_type_says_so(tmp_path: Path) -> None:
    check_host_path({"path": str(tmp_path / "d"), "type": "DirectoryOrCreate"})
    check_host_path({"path": str(tmp_path / "f"), "type": "FileOrCreate"})
    assert (tmp_path / "d").is_dir()
    assert (tmp_path / "f").is_file()


# ---- request bodies -----------------------------------------------------------------------------


def body(data: bytes, **headers: str) -> RequestBody:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return RequestBody(io.BytesIO(data), message)


def test_a_body_is_read_up_to_its_length() -> None:
    found = body(b"abcdefNEXT", Content_Length="6")
    assert (found.read(4), found.read(4), found.read(4)) == (b"abcd", b"ef", b"")


def test_chunks_are_joined() -> None:
    found = body(b"3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\nNEXT", Transfer_Encoding="chunked")
    assert (found.read(5), found.read()) == (b"abcde", b"fg")


@pytest.mark.parametrize(
    ("data", "headers"),
    [(b"abc", {"Content_Length": "6"}), (b"5\r\nab", {"Transfer_Encoding": "chunked"})],
)
def test_a_body_that_was_cut_short_is_no_body(data: bytes, headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cut short"):
        body(data, **headers).read()
