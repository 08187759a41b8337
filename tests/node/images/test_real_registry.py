"""Pulls from Debian's docker-registry: TLS with its own CA, a password, what skopeo pushes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kubelet.images import Image, ImageStore, RegistryUnavailable
from kubelet.images.errors import NotAuthorized
from kubelet.images.pull import Pulls
from kubelet.images.registry.credentials import Credential, Keyring
from kubelet.images.registry.hosts import Registries
from tests.support.images import INDEX, OciLayout, an_entry, digest, layer_tar, tar_of
from tests.support.registry import PASSWORD, USER, Registry, needs_registry, running_registry

pytestmark = needs_registry
ALI = Credential(USER, PASSWORD)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("registry"), password=True) as registry:
        yield registry


class Node:
    """A store of images and what it is told of registries, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.store = ImageStore(str(directory / "images"))
        self.pulls = Pulls(self.store, Registries(directory))

    def pull(self, name: str, who: Credential = ALI) -> Image:
        host = name.partition("/")[0]
        return self.pulls.start(name, Keyring([(host, who)])).wait()


@pytest.fixture
def node(tmp_path: Path, registry: Registry) -> Node:
    registry.trust(tmp_path)
    return Node(tmp_path)


def an_image(*layers: bytes, **config: Any) -> OciLayout:
    layout = OciLayout()
    layout.image("x:1", list(layers) or [layer_tar({"bin/sh": b"shell"})], config)
    return layout


def content(image: Image, name: str) -> bytes:
    return Path(image.layers[-1], name).read_bytes()


def test_what_skopeo_pushes_comes_back_by_tag_and_by_digest(node: Node, registry: Registry) -> None:
    layers = [layer_tar({"bin/sh": b"shell"}), layer_tar({"app": b"app"})]
    name = registry.push(an_image(*layers, Cmd=["run"], StopSignal="SIGINT"), "by/tag:1")
    image = node.pull(name)
    assert [os.listdir(layer) for layer in image.layers] == [["bin"], ["app"]]
    assert (image.config.cmd, image.config.stop_signal) == (["run"], "SIGINT")
    by_digest = f"{registry.host}/by/tag@{registry.digest('by/tag:1')}"
    assert image.repo_digests == [by_digest]
    assert node.pull(by_digest).id == image.id


@pytest.mark.parametrize("how", ["zstd", "gzip", "zstd:chunked"])
def test_layers_may_be_compressed_in_any_way(node: Node, registry: Registry, how: str) -> None:
    name = registry.push(
        an_image(layer_tar({"data": b"abc" * 10_000})), f"packed/{how.partition(':')[0]}:1",
        "--dest-compress-format", how, "--format", "oci",
    )  # fmt: skip
    assert content(node.pull(name), "data") == b"abc" * 10_000


def test_a_docker_schema_2_manifest_is_an_image_as_well(node: Node, registry: Registry) -> None:
    name = registry.push(an_image(), "docker/two:2", "--format", "v2s2")
    assert content(node.pull(name), "bin/sh") == b"shell"


def test_of_an_index_the_image_for_this_machine_is_taken(node: Node, registry: Registry) -> None:
    from kubelet.images.manifest import our_platform

    layout, arch = OciLayout(), our_platform().removeprefix("linux/")
    entries = [
        layout.image(None, [layer_tar({"of": name.encode()})])
        | {"platform": {"os": "linux", "architecture": name}}
        for name in ("s390x", arch)
    ]
    index = layout.blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, INDEX)
    layout.manifests = [index]
    name = registry.push(layout, "many/kinds:1", "--all")
    image = node.pull(name)
    assert content(image, "of") == arch.encode()
    assert image.repo_digests == [f"{registry.host}/many/kinds@{registry.digest('many/kinds:1')}"]


def test_a_tag_that_moved_is_another_image_and_the_old_one_has_no_name(
    node: Node, registry: Registry
) -> None:
    old = node.pull(registry.push(an_image(layer_tar({"v": b"1"})), "moving/tag:1"))
    new = node.pull(registry.push(an_image(layer_tar({"v": b"2"})), "moving/tag:1"))
    assert content(new, "v") == b"2"
    assert node.store.get(old.id).references == []
    assert node.store.get(f"{registry.host}/moving/tag:1").id == new.id


def test_a_wrong_password_is_told(node: Node, registry: Registry) -> None:
    name = registry.push(an_image(), "team/secret:1")
    with pytest.raises(NotAuthorized, match="401 Unauthorized"):
        node.pull(name, who=Credential(USER, "wrong"))


def test_an_image_that_is_here_is_not_given_to_who_may_not_pull_it(
    node: Node, registry: Registry
) -> None:
    """With pull policy Always a Pod asks the registry as itself, by tag or by digest."""
    image = node.pull(registry.push(an_image(), "team/private:1"))
    for name in (*image.references, *image.repo_digests):
        with pytest.raises(NotAuthorized):
            node.pulls.start(name, Keyring()).wait()


# ---- what hosts.toml says ----


def test_a_ca_that_nobody_named_is_not_trusted(tmp_path: Path, registry: Registry) -> None:
    hosts = tmp_path / "certs.d" / registry.host
    hosts.mkdir(parents=True)
    (hosts / "hosts.toml").write_text(f'server = "https://{registry.host}"\n')
    with pytest.raises(RegistryUnavailable, match="certificate verify failed"):
        Node(tmp_path).pull(f"{registry.host}/app:1")


def test_without_a_hosts_toml_its_directory_may_hold_the_ca(
    tmp_path: Path, registry: Registry
) -> None:
    hosts = tmp_path / "certs.d" / registry.host
    hosts.mkdir(parents=True)
    (hosts / "own.crt").write_bytes(registry.ca.read_bytes())
    name = registry.push(an_image(), "trust/crt:1")
    assert Node(tmp_path).pull(name).layers


def test_verification_can_be_switched_off(tmp_path: Path, registry: Registry) -> None:
    hosts = tmp_path / "certs.d" / registry.host
    hosts.mkdir(parents=True)
    text = f'server = "https://{registry.host}"\nskip_verify = true\n'
    (hosts / "hosts.toml").write_text(text)
    assert Node(tmp_path).pull(registry.push(an_image(), "trust/none:1")).layers


def test_a_registry_of_another_name_is_reached_through_its_mirror(
    tmp_path: Path, registry: Registry
) -> None:
    name = registry.push(an_image(), "mirrored/app:1")
    hosts = tmp_path / "certs.d" / "far.example"
    hosts.mkdir(parents=True)
    (hosts / "ca.pem").write_bytes(registry.ca.read_bytes())
    (hosts / "hosts.toml").write_text(
        f'[host."https://{registry.host}"]\ncapabilities = ["pull", "resolve"]\nca = "ca.pem"\n'
    )
    node = Node(tmp_path)
    ring = Keyring([(registry.host, ALI)])  # the mirror's own credentials
    image = node.pulls.start("far.example/mirrored/app:1", ring).wait()
    assert image.references == ["far.example/mirrored/app:1"]
    assert name not in image.references


# ---- a crash ----

_PULL_AND_DIE = """
import os, signal, sys
from pathlib import Path
from kubelet.images import ImageStore, unpack
from kubelet.images.pull import Pulls
from kubelet.images.registry.credentials import Credential, Keyring
from kubelet.images.registry.hosts import Registries
directory, name, user, password = sys.argv[1:]
put = unpack._Layer.put
def die(self, member, content):
    put(self, member, content)
    if member.name == "half":
        os.kill(os.getpid(), signal.SIGKILL)
unpack._Layer.put = die
pulls = Pulls(ImageStore(directory + "/images"), Registries(Path(directory)))
pulls.start(name, Keyring([(name.partition("/")[0], Credential(user, password))])).wait()
"""


def test_a_kill_in_the_middle_leaves_nothing_that_is_believed(
    node: Node, registry: Registry
) -> None:
    whole, half = layer_tar({"whole": b"1"}), tar_of(an_entry("half", b"1"), an_entry("rest"))
    name = registry.push(an_image(whole, half), "crash/app:1")
    done = subprocess.run(
        [sys.executable, "-c", _PULL_AND_DIE, str(node.directory), name, USER, PASSWORD],
        check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(node.directory / "images" / "layers") == [digest(whole).partition(":")[2]]
    again = Node(node.directory)
    assert again.store.list() == []
    assert os.listdir(node.directory / "images" / "layers") == []
    assert os.listdir(node.directory / "images" / "scratch") == []
    assert sorted(os.listdir(again.pull(name).layers[-1])) == ["half", "rest"]
