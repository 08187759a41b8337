"""Volumes on the node's disk. Real directories; tmpfs and bind mounts need root."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelet.environment import Surroundings
from kubelet.ownership import give_to_group
from kubelet.runtime.disk_usage import disk_usage
from kubelet.runtime.tree_walk import TreeWalk
from kubelet.volumes import VolumeError, Volumes
from tests.support.deep_trees import make_deep
from tests.unit.kubelet.containers import NODE


class Node:
    """Volumes over objects that a test can change."""

    def __init__(self, path: Path) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.around = Surroundings("", NODE, lambda kind, _, name: self.objects.get((kind, name)))
        self.volumes = Volumes(str(path), self.around.fetch)

    def put(self, kind: str, name: str, **data: str) -> None:
        if kind == "secrets":
            data = {k: base64.b64encode(v.encode()).decode() for k, v in data.items()}
        titles = {"secrets": "Secret", "configmaps": "ConfigMap"}
        self.objects[kind, name] = {"kind": titles[kind], "data": data}

    def prepare(self, volume: dict[str, Any], **spec: Any) -> Path:
        return Path(self.volumes.prepare(a_pod(volume, **spec), self.around)["v"])


def a_pod(volume: dict[str, Any], **spec: Any) -> dict[str, Any]:
    meta = {"name": "web", "namespace": "default", "uid": "u", "labels": {"a": "b"}}
    containers = [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}]
    volumes = [{"name": "v", **volume}]
    return {"metadata": meta, "spec": {"containers": containers, "volumes": volumes, **spec}}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    yield node
    node.volumes.clean_up("u")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert node.volumes.pods() == []


def test_a_configmap_is_laid_out_as_kubernetes_does(node: Node) -> None:
    node.put("configmaps", "c", colour="blue")
    path = node.prepare({"configMap": {"name": "c", "defaultMode": 0o440}})
    assert os.readlink(path / "colour") == "..data/colour"
    assert (path / "colour").read_text() == "blue"
    assert (path / "colour").stat().st_mode & 0o777 == 0o440


def test_an_update_replaces_everything_at_once_and_nothing_when_nothing_changed(node: Node) -> None:
    node.put("configmaps", "c", colour="blue", old="1")
    path = node.prepare({"configMap": {"name": "c"}})
    before = os.readlink(path / "..data")
    node.prepare({"configMap": {"name": "c"}})
    assert os.readlink(path / "..data") == before
    node.put("configmaps", "c", colour="green", new="2")
    node.prepare({"configMap": {"name": "c"}})
    assert {p.name for p in path.iterdir() if not p.name.startswith("..")} == {"colour", "new"}
    assert (path / "colour").read_text() == "green"
    assert not (path / before).exists()


def test_items_choose_keys_paths_and_modes(node: Node) -> None:
    node.put("configmaps", "c", colour="blue", other="x")
    item = {"key": "colour", "path": "deep/paint", "mode": 0o400}
    path = node.prepare({"configMap": {"name": "c", "items": [item]}})
    assert (path / "deep" / "paint").read_text() == "blue"
    assert (path / "deep" / "paint").stat().st_mode & 0o777 == 0o400
    assert not (path / "other").exists()


def test_what_is_missing_is_named_unless_it_is_optional(node: Node) -> None:
    with pytest.raises(VolumeError, match='configmap "none" not found'):
        node.prepare({"configMap": {"name": "none"}})
    path = node.prepare({"configMap": {"name": "none", "optional": True}})
    assert [p.name for p in path.iterdir() if not p.name.startswith("..")] == []


def test_a_secret_is_never_on_the_disk(node: Node) -> None:
    node.put("secrets", "s", key="s3cret")
    path = node.prepare({"secret": {"secretName": "s"}})
    assert (path / "key").read_text() == "s3cret"
    assert os.path.ismount(path)


def test_an_empty_dir_keeps_its_content_and_belongs_to_the_group(node: Node) -> None:
    path = node.prepare({"emptyDir": {}}, securityContext={"fsGroup": 4321})
    (path / "file").write_text("kept")
    assert node.prepare({"emptyDir": {}}, securityContext={"fsGroup": 4321}) == path
    assert (path / "file").read_text() == "kept"
    assert path.stat().st_gid == 4321


def test_an_empty_dir_in_memory_has_its_size(node: Node) -> None:
    path = node.prepare({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}})
    size = os.statvfs(path)
    assert size.f_blocks * size.f_frsize == 1024 * 1024


def test_a_sub_path_cannot_lead_out_of_its_volume(node: Node) -> None:
    path = node.prepare({"emptyDir": {}})
    (path / "trap").symlink_to("/etc")
    pod = a_pod({"emptyDir": {}})
    mount = pod["spec"]["containers"][0]["volumeMounts"][0]
    mount["subPath"] = "trap/deeper"
    container = pod["spec"]["containers"][0]
    with pytest.raises(VolumeError, match=r"failed to prepare subPath .*trap/deeper"):
        node.volumes.mounts(pod, container, {"v": str(path)}, {})
    (path / "etc").mkdir()  # now the link leads somewhere, inside
    (found,) = node.volumes.mounts(pod, container, {"v": str(path)}, {})
    Path(found.source, "file").touch()
    assert (path / "etc" / "deeper" / "file").exists()
    assert not Path("/etc/deeper").exists()


def test_a_sub_path_is_looked_up_again_for_the_next_container(node: Node) -> None:
    path = node.prepare({"emptyDir": {}})
    pod = a_pod({"emptyDir": {}})
    container = pod["spec"]["containers"][0]
    container["volumeMounts"][0]["subPathExpr"] = "$(WHO)/config"
    (path / "web").mkdir()
    for text in ("old", "new"):
        (path / "web" / "fresh").write_text(text)
        (path / "web" / "fresh").rename(path / "web" / "config")
        (found,) = node.volumes.mounts(pod, container, {"v": str(path)}, {"WHO": "web"})
        assert Path(found.source).read_text() == text


def test_the_downward_api_writes_files(node: Node) -> None:
    item = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    path = node.prepare({"downwardAPI": {"items": [item]}})
    assert (path / "labels").read_text() == 'a="b"'


# ---- crashes, groups, sizes ---------------------------------------------------------------------


def test_a_secret_is_never_written_to_a_disk_though_its_directory_is_there_already(
    node: Node,
) -> None:
    """As after a kill between mkdir and mount, or a reboot."""
    (node.volumes.pod_dir("u") / "volumes" / "v").mkdir(parents=True)
    node.put("secrets", "s", word="xyzzy")
    path = node.prepare({"secret": {"secretName": "s"}})
    assert (path / "word").read_text() == "xyzzy"
    assert os.path.ismount(path)


def test_memory_is_mounted_again_after_a_reboot(node: Node) -> None:
    (node.volumes.pod_dir("u") / "volumes" / "v").mkdir(parents=True)
    assert os.path.ismount(node.prepare({"emptyDir": {"medium": "Memory"}}))


def test_a_token_is_readable_by_the_one_user_or_group_that_it_is_for(
    tmp_path: Path, node: Node
) -> None:
    token = {"serviceAccountToken": {"path": "token"}}
    node.volumes = Volumes(str(tmp_path), node.around.fetch, Tokens())  # type: ignore[arg-type]
    path = node.prepare({"projected": {"sources": [token]}}, securityContext={"runAsUser": 1000})
    status = (path / "token").stat()
    assert (status.st_uid, status.st_mode & 0o777) == (1000, 0o600)
    context = {"runAsUser": 1000, "fsGroup": 2000}
    node.prepare({"projected": {"sources": [token]}}, securityContext=context)
    status = (path / "token").stat()
    assert (status.st_gid, status.st_mode & 0o777) == (2000, 0o640)


class Tokens:
    """Gives everybody the same."""

    def token(self, *_: object) -> str:
        return "ey…"

    def forget(self, _: str) -> None: ...


def test_a_volume_is_given_to_a_group_without_following_links(tmp_path: Path) -> None:
    outside, volume = tmp_path / "outside", tmp_path / "volume"
    outside.write_text("")
    outside.chmod(0o600)
    (volume / "deep").mkdir(parents=True)
    (volume / "deep" / "file").write_text("")
    (volume / "link").symlink_to(outside)
    give_to_group(str(volume), 2000)
    assert outside.stat().st_gid != 2000
    assert outside.stat().st_mode & 0o777 == 0o600
    assert (volume / "deep" / "file").stat().st_gid == 2000
    assert volume.stat().st_mode & 0o7777 == 0o2775


def test_a_volume_is_given_to_a_group_however_deep_it_is(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    make_deep(volume, 3000, "a-directory-here")
    give_to_group(str(volume), 2000)
    groups = {os.fstat(fd).st_gid for fd, _ in TreeWalk(volume)}
    subprocess.run(["rm", "-rf", volume], check=True)  # pytest's own way fails at this depth
    assert groups == {2000}


def test_on_root_mismatch_a_volume_that_is_given_already_is_left_alone(tmp_path: Path) -> None:
    give_to_group(str(tmp_path), 2000)
    (tmp_path / "late").write_text("")
    os.chown(tmp_path / "late", 0, 0)
    give_to_group(str(tmp_path), 2000, "OnRootMismatch")
    assert (tmp_path / "late").stat().st_gid == 0
    give_to_group(str(tmp_path), 2000, "Always")
    assert (tmp_path / "late").stat().st_gid == 2000


def test_disk_usage_counts_blocks_once_and_neither_links_nor_mounts(node: Node) -> None:
    path = node.prepare({"emptyDir": {}})
    empty = disk_usage(str(path)).bytes
    (path / "file").write_bytes(bytes(1 << 20))
    os.link(path / "file", path / "again")
    (path / "etc").symlink_to("/usr")
    (path / "memory").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", path / "memory"], check=True)
    (path / "memory" / "large").write_bytes(bytes(4 << 20))
    used = disk_usage(str(path)).bytes
    assert 1 << 20 <= used - empty < 2 << 20
