"""Which entry of an index suits a machine, and what is no image: kubelet/images/manifest.py."""

from __future__ import annotations

from typing import Any

import pytest

from kubelet.images import InvalidImage
from kubelet.images.manifest import choose, fits, read_manifest

DIGEST = "sha256:" + "a" * 64


def an_entry(platform: str, number: int = 0) -> dict[str, Any]:
    """ "linux/arm/v7"."""
    names = ("os", "architecture", "variant")
    return {
        "digest": f"sha256:{number:064}",
        "platform": dict(zip(names, platform.split("/"), strict=False)),
    }


@pytest.mark.parametrize(
    ("machine", "there", "taken"),
    [
        ("x86_64", ["linux/arm64", "linux/amd64"], 1),
        ("x86_64", ["windows/amd64", "linux/amd64/v1"], 1),
        ("x86_64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("aarch64", ["linux/arm64/v8", "linux/amd64"], 0),
        ("aarch64", ["linux/arm64/v9", "linux/arm64"], 1),
        ("armv7l", ["linux/arm/v6", "linux/arm/v7", "linux/arm64"], 1),
        ("armv6l", ["linux/arm/v7", "linux/arm/v6"], 1),
        ("armv7l", ["linux/arm/v5", "linux/arm/v6"], 1),
    ],
)  # fmt: skip
def test_the_newest_variant_that_runs_here_is_taken(
    monkeypatch: pytest.MonkeyPatch, machine: str, there: list[str], taken: int
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    entries = [an_entry(platform, number) for number, platform in enumerate(there)]
    assert choose(entries) == entries[taken]


def test_what_there_is_instead_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "armv6l")
    proof = an_entry("unknown/unknown") | {
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"}
    }
    with pytest.raises(InvalidImage, match="it has linux/amd64, linux/arm/v7, not linux/arm"):
        choose([an_entry("linux/arm/v7"), an_entry("linux/amd64"), proof])


def test_an_entry_without_a_platform_is_for_everybody() -> None:
    assert fits({"digest": DIGEST})


def a_manifest(**changes: Any) -> dict[str, Any]:
    oci = "application/vnd.oci.image"
    config = {"mediaType": f"{oci}.config.v1+json", "digest": DIGEST, "size": 2}
    layer = {"mediaType": f"{oci}.layer.v1.tar+gzip", "digest": DIGEST, "size": 3}
    return {"config": config, "layers": [layer | changes.pop("layer", {})], **changes}


@pytest.mark.parametrize(
    "kind",
    ["application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.v1.tar+zstd",
     "application/vnd.docker.image.rootfs.diff.tar.gzip",
     "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"],
)  # fmt: skip
def test_layers_may_be_of_these_types(kind: str) -> None:
    assert read_manifest(a_manifest(layer={"mediaType": kind})).layers[0].size == 3


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"schemaVersion": 1}, "schema 1"),
        ({"config": {"mediaType": "application/vnd.x+json", "digest": DIGEST}}, "artifact"),
        ({"layer": {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"}},
         "unsupported type"),
        ({"layer": {"urls": ["https://elsewhere.example/layer"]}}, "elsewhere"),
        ({"layer": {"digest": "md5:12"}}, "unsupported digest"),
        ({"layer": {"digest": "sha256:../../etc/passwd"}}, "unsupported digest"),
        ({"layer": {"size": "3"}}, "size should be a int"),
        ({"layers": {}}, "layers should be a list"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(changes: dict[str, Any], because: str) -> None:
    with pytest.raises(InvalidImage, match=because):
        read_manifest(a_manifest(**changes))
