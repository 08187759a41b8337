"""Loading, finding and removing images: kubelet/images/store.py and archive.py."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import threading
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from kubelet.images import (
    ImageConfig,
    ImageNotFound,
    ImageStore,
    InvalidImage,
    Limits,
    NoRoomForImage,
)
from kubelet.images.config import chain_ids
from tests.support.images import (
    CONFIG,
    INDEX,
    LAYER,
    OciLayout,
    a_symlink,
    an_entry,
    digest,
    docker_archive_tar,
    layer_tar,
    pack,
    tar_of,
)

BASE, TOP = layer_tar({"bin/sh": b"shell"}), layer_tar({"app": b"app"})


def an_image(name: str | None = "web:1", *layers: bytes, **config: Any) -> io.BytesIO:
    layout = OciLayout()
    layout.image(name, list(layers) or [BASE, TOP], config)
    return io.BytesIO(layout.tar())


def kept(store_root: Path) -> dict[str, int]:
    """How many things of each kind lie in the store."""
    return {name: len(os.listdir(store_root / name)) for name in ("layers", "images", "scratch")}


# ---- what is right ----


def test_an_image_of_an_oci_layout_has_its_layers_lowest_first(store: ImageStore) -> None:
    (image,) = store.load(an_image())
    assert [os.listdir(layer) for layer in image.layers] == [["bin"], ["app"]]
    assert image.references == ["web:1"]
    assert image.id.startswith("sha256:")
    assert (
        store.get("web:1") == store.get("docker.io/library/web:1") == store.get(image.id) == image
    )
    assert image.repo_digests[0].startswith("web@sha256:")
    assert store.get(image.repo_digests[0]) == image


def test_a_docker_archive_is_loaded_as_well(store: ImageStore, tmp_path: Path) -> None:
    path = docker_archive_tar(tmp_path / "web.tar", "team/web:2", [BASE, TOP], {"Cmd": ["run"]})
    (image,) = store.load(path)
    assert (image.references, image.config.cmd) == (["team/web:2"], ["run"])
    assert [os.listdir(layer) for layer in image.layers] == [["bin"], ["app"]]


def test_an_oci_layout_may_be_a_directory(store: ImageStore, tmp_path: Path) -> None:
    layout = OciLayout()
    layout.image("web:1", [BASE])
    (image,) = store.load(layout.write_directory(tmp_path / "layout"))
    assert store.get("web:1") == image


def test_an_archive_may_itself_be_compressed(store: ImageStore) -> None:
    (image,) = store.load(io.BytesIO(pack(an_image().getvalue())))
    assert image.references == ["web:1"]


def test_layers_may_be_uncompressed(store: ImageStore) -> None:
    layout = OciLayout()
    layout.image("web:1", [BASE], compress=lambda layer: layer)
    (image,) = store.load(io.BytesIO(layout.tar()))
    assert os.listdir(image.layers[0]) == ["bin"]


def test_layers_may_be_zstd(store: ImageStore) -> None:
    layout = OciLayout()
    layout.image("web:1", [BASE], compress=zstandard.ZstdCompressor().compress)
    (image,) = store.load(io.BytesIO(layout.tar()))
    assert os.listdir(image.layers[0]) == ["bin"]


def test_without_a_zstd_package_the_refusal_says_what_helps(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_module(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("kubelet.images.compression.importlib.import_module", no_module)
    layout = OciLayout()
    layout.image("web:1", [BASE], compress=lambda _: b"\x28\xb5\x2f\xfd" + b"rest")
    with pytest.raises(InvalidImage, match="install the package zstandard, or save the image"):
        store.load(io.BytesIO(layout.tar()))


def test_what_an_image_says_about_running_it_is_read(store: ImageStore) -> None:
    (image,) = store.load(
        an_image(
            Entrypoint=["/app"], Cmd=["--serve"], Env=["A=1"], User="web", WorkingDir="/srv",
            StopSignal="SIGINT", ExposedPorts={"80/tcp": {}}, Volumes={"/data": {}},
        )
    )  # fmt: skip
    assert image.config == ImageConfig(
        ["/app"], ["--serve"], ["A=1"], "web", "/srv", "SIGINT", ["80/tcp"], ["/data"]
    )


def test_nulls_in_a_config_mean_nothing(store: ImageStore) -> None:
    (image,) = store.load(an_image(Entrypoint=None, Cmd=None, Env=None, Volumes=None))
    assert image.config == ImageConfig()


def test_an_image_may_have_no_layers_or_empty_ones(store: ImageStore) -> None:
    layout = OciLayout()
    layout.image("scratch:1", [])
    layout.image("empty:1", [b"\0" * 1024])
    scratch, empty = store.load(io.BytesIO(layout.tar()))
    assert scratch.layers == []
    assert os.listdir(empty.layers[0]) == []


def test_an_image_without_a_name_is_found_by_its_id_and_may_be_given_one(store: ImageStore) -> None:
    (image,) = store.load(an_image(None))
    assert image.references == []
    assert store.get(image.id) == image
    (named,) = store.load(an_image(None), name="web")
    assert named.references == ["web:latest"]
    assert store.get(image.id) == named


def test_the_manifest_for_this_machine_is_taken_of_an_index(store: ImageStore) -> None:
    from kubelet.images.manifest import our_platform

    layout = OciLayout()
    arch = our_platform().removeprefix("linux/")
    ours = layout.image(None, [TOP]) | {"platform": {"os": "linux", "architecture": arch}}
    other = layout.image(None, [BASE]) | {"platform": {"os": "linux", "architecture": "s390x"}}
    proof = layout.image(None, [BASE]) | {
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {"vnd.docker.reference.type": "attestation-manifest"},
    }
    index = layout.blob({"schemaVersion": 2, "manifests": [proof, other, ours]}, INDEX)
    named = index | {"annotations": {"io.containerd.image.name": "docker.io/library/web:3"}}
    layout.manifests = [named]
    (image,) = store.load(io.BytesIO(layout.tar()))
    assert os.listdir(image.layers[0]) == ["app"]
    assert image.references == ["web:3"]


def test_an_image_for_another_machine_says_which(store: ImageStore) -> None:
    layout = OciLayout()
    layout.image("web:1", [BASE])
    layout.manifests[0]["platform"] = {"os": "linux", "architecture": "s390x"}
    with pytest.raises(InvalidImage, match=r"it has linux/s390x, not linux/"):
        store.load(io.BytesIO(layout.tar()))


def test_equal_layers_of_a_docker_archive_may_be_links(store: ImageStore) -> None:
    diff_ids = [digest(BASE), digest(BASE)]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": diff_ids}}).encode()
    manifest = [
        {"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}
    ]
    archive = tar_of(
        an_entry("a/layer.tar", BASE),
        a_symlink("b/layer.tar", "../a/layer.tar"),
        an_entry("c.json", config),
        an_entry("manifest.json", json.dumps(manifest).encode()),
    )
    (image,) = store.load(io.BytesIO(archive))
    assert [os.listdir(layer) for layer in image.layers] == [["bin"], ["bin"]]


# ---- sharing ----


def test_a_layer_that_two_images_share_is_unpacked_once(store: ImageStore, tmp_path: Path) -> None:
    (one,) = store.load(an_image("one:1", BASE, TOP))
    inode = os.stat(one.layers[0]).st_ino
    (two,) = store.load(an_image("two:1", BASE, layer_tar({"other": b"x"})))
    assert one.layers[0] == two.layers[0]
    assert os.stat(two.layers[0]).st_ino == inode
    assert kept(tmp_path / "images") == {"layers": 3, "images": 2, "scratch": 0}


def test_the_same_layer_on_another_base_is_another_layer() -> None:
    one, two, top = digest(b"1"), digest(b"2"), digest(b"top")
    assert chain_ids([one, top])[0] == one.removeprefix("sha256:")
    assert chain_ids([one, top])[1] != chain_ids([two, top])[1]


def test_a_name_moves_to_the_newest_image(store: ImageStore) -> None:
    (old,) = store.load(an_image("web:1", BASE))
    (new,) = store.load(an_image("web:1", TOP))
    assert store.get("web:1") == new
    assert store.get(old.id).references == []


def test_an_image_loaded_under_two_names_is_one_image(store: ImageStore) -> None:
    store.load(an_image("web:1", BASE))
    (image,) = store.load(an_image("app:2", BASE))
    assert image.references == ["app:2", "web:1"]
    assert store.list() == [image]


def test_many_threads_load_the_same_image(store: ImageStore, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        loaded = list(threads.map(lambda _: store.load(an_image())[0], range(16)))
    assert {image.id for image in loaded} == {store.get("web:1").id}
    assert kept(tmp_path / "images") == {"layers": 2, "images": 1, "scratch": 0}


# ---- removing, and starting again ----


def test_removing_an_image_keeps_the_layers_that_others_have(
    store: ImageStore, tmp_path: Path
) -> None:
    store.load(an_image("one:1", BASE, TOP))
    (two,) = store.load(an_image("two:1", BASE))
    store.remove("one:1")
    assert kept(tmp_path / "images") == {"layers": 1, "images": 1, "scratch": 0}
    assert os.path.isdir(two.layers[0])
    with pytest.raises(ImageNotFound, match='image "one:1" not found'):
        store.remove("one:1")


def test_an_image_goes_with_its_last_name_or_by_its_id(store: ImageStore) -> None:
    for name in ("web:1", "web:2", "web:3"):
        (image,) = store.load(an_image(name, BASE))
    store.remove("web:1")
    assert store.get("web:2").references == ["web:2", "web:3"]
    store.remove(image.id)
    assert store.list() == []


def test_a_layer_that_is_being_loaded_is_not_collected_meanwhile(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.load(an_image("old:1", BASE))
    unpacking, removed = threading.Event(), threading.Event()
    real = ImageStore._unpack

    def slowly(self: ImageStore, *args: Any) -> None:
        unpacking.set()
        assert removed.wait(10)
        real(self, *args)

    monkeypatch.setattr(ImageStore, "_unpack", slowly)
    with ThreadPoolExecutor(1) as threads:
        loading = threads.submit(store.load, an_image("new:1", BASE, TOP))
        assert unpacking.wait(10)  # of TOP: BASE is there
        store.remove("old:1")
        removed.set()
        (image,) = loading.result(10)
    assert all(os.path.isdir(layer) for layer in image.layers)


def test_a_store_that_is_opened_again_has_the_same_images(
    store: ImageStore, tmp_path: Path
) -> None:
    store.load(an_image())
    assert ImageStore(str(tmp_path / "images")).list() == store.list()


def test_a_store_that_moved_finds_its_layers(store: ImageStore, tmp_path: Path) -> None:
    store.load(an_image())
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    (image,) = ImageStore(str(tmp_path / "elsewhere")).list()
    assert all(os.path.isdir(layer) for layer in image.layers)


def test_what_a_crash_left_is_cleaned_up_at_the_start(store: ImageStore, tmp_path: Path) -> None:
    (image,) = store.load(an_image())
    root = tmp_path / "images"
    (root / "scratch/half/layer").mkdir(parents=True)
    (root / "layers" / ("0" * 64)).mkdir()
    (root / "images/broken.json").write_text("{")
    (root / "images/half.new").write_text("{")
    shutil.rmtree(image.layers[1])
    assert ImageStore(str(root)).list() == []
    assert kept(root) == {"layers": 0, "images": 0, "scratch": 0}


# ---- what is wrong ----


def refused(store: ImageStore, archive: bytes, because: str) -> None:
    with pytest.raises(InvalidImage, match=because):
        store.load(io.BytesIO(archive))
    root = store._root
    assert kept(root) == {"layers": 0, "images": 0, "scratch": 0}


def test_a_layer_that_is_not_what_its_digest_says_is_refused(store: ImageStore) -> None:
    layout = OciLayout()
    layout.image("web:1", [BASE])
    blob = f"blobs/sha256/{digest(pack(BASE)).removeprefix('sha256:')}"
    layout.files[blob] = pack(TOP)
    refused(store, layout.tar(), "blob sha256:.* is damaged")


def test_a_layer_that_is_not_what_the_config_says_is_refused(store: ImageStore) -> None:
    layout = OciLayout()
    config = {"rootfs": {"type": "layers", "diff_ids": [digest(TOP)]}}
    manifest = {
        "config": layout.blob(config, CONFIG),
        "layers": [layout.blob(pack(BASE), LAYER)],
    }
    layout.manifests = [layout.blob(manifest, "manifest")]
    refused(store, layout.tar(), f"layer {digest(TOP)} is damaged: its content is {digest(BASE)}")


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_manifest_or_config_that_is_not_what_its_digest_says_is_refused(
    store: ImageStore, which: str
) -> None:
    layout = OciLayout()
    descriptor = layout.image("web:1", [BASE])
    manifest_name = f"blobs/sha256/{descriptor['digest'].removeprefix('sha256:')}"
    config_digest = json.loads(layout.files[manifest_name])["config"]["digest"]
    name = manifest_name if which == "manifest" else f"blobs/sha256/{config_digest[7:]}"
    layout.files[name] += b" "
    refused(store, layout.tar(), "does not have the content that its digest says")


def test_a_layer_with_something_after_its_end_is_covered_by_its_digest(store: ImageStore) -> None:
    layer = BASE + b"\0" * 10_240 + b"tail"
    (image,) = store.load(an_image("web:1", layer))
    assert os.listdir(image.layers[0]) == ["bin"]


@pytest.mark.parametrize(
    ("files", "because"),
    [
        ({}, "neither an OCI layout"),
        ({"index.json": b"{"}, "index.json is not valid JSON|is not valid JSON"),
        ({"index.json": b"[]"}, "an entry should be a dict"),
        ({"index.json": b"{}"}, "has no image in it"),
        ({"index.json": b'{"manifests": [7]}'}, "should be a dict"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:../../x"}]}'}, "unsupported digest"),
        ({"index.json": b'{"manifests": [{"digest": "md5:12"}]}'}, "unsupported digest"),
        ({"index.json": b'{"manifests": [{"digest": "sha256:%s"}]}' % (b"a" * 64)}, "has no file"),
        ({"index.json": b"[" * 100_000}, "is not valid JSON"),
        ({"manifest.json": b"[]"}, "has no image in it"),
        ({"manifest.json": b"[{}]"}, "an entry lacks 'Config'"),
        ({"manifest.json": b'[{"Config": "../../etc/passwd"}]'}, "has no file"),
        (
            {"manifest.json": b'[{"Config": "manifest.json", "Layers": []}]'},
            "config cannot be read",
        ),
        ({"index.json": b" " * (5 * 1024 * 1024)}, "more than"),
    ],
)
def test_an_archive_that_makes_no_sense_is_refused(
    store: ImageStore, files: dict[str, bytes], because: str
) -> None:
    refused(store, layer_tar(files), because)


def test_what_is_no_tar_is_refused(store: ImageStore) -> None:
    for archive in (b"", b"junk" * 1000, b"\x1f\x8b" + b"junk" * 100, pack(b"junk" * 1000)):
        refused(store, archive, "the image archive|damaged")


def test_an_archive_that_ends_early_is_refused(store: ImageStore) -> None:
    whole = an_image().getvalue()
    refused(store, whole[: len(whole) // 2], "damaged|has no file|no tar|neither")
    packed = pack(whole)
    refused(store, packed[: len(packed) // 2], "damaged|no tar")


def test_a_layer_that_escapes_takes_the_whole_image_with_it(store: ImageStore) -> None:
    evil = layer_tar({"../../../../evil": b"x"})
    refused(store, an_image("web:1", BASE, evil).getvalue(), "leads out of the image")


def test_names_in_an_archive_lead_nowhere(store: ImageStore, tmp_path: Path) -> None:
    archive = tar_of(
        an_entry("../../evil", b"x"),
        an_entry("/tmp/wire-evil", b"x"),
        a_symlink("blobs", "/etc"),
        an_entry("blobs/passwd", b"evil"),
        an_entry("index.json", b"{}"),
    )
    refused(store, archive, "has no image in it")
    assert not list(tmp_path.rglob("*evil*"))
    assert not Path("/tmp/wire-evil").exists()


def test_a_layout_directory_with_links_out_of_it_is_refused(
    store: ImageStore, tmp_path: Path
) -> None:
    layout = OciLayout()
    layout.image("web:1", [BASE])
    directory = layout.write_directory(tmp_path / "layout")
    blob = directory / f"blobs/sha256/{digest(pack(BASE))[7:]}"
    blob.rename(tmp_path / "elsewhere")
    blob.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidImage, match="has no file"):
        store.load(directory)


def test_a_name_that_is_none_is_refused(store: ImageStore) -> None:
    refused(store, an_image("Not A Name").getvalue(), "couldn't parse image name")


def test_one_name_for_two_images_is_refused(store: ImageStore) -> None:
    layout = OciLayout()
    layout.image("one:1", [BASE])
    layout.image("two:1", [TOP])
    with pytest.raises(InvalidImage, match="2 images in one archive, and one name"):
        store.load(io.BytesIO(layout.tar()), name="web")


def test_more_layers_than_the_config_names_are_refused(store: ImageStore) -> None:
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": []}}).encode()
    manifest = [{"Config": "c.json", "RepoTags": ["web:1"], "Layers": ["l.tar"]}]
    files = {"c.json": config, "l.tar": BASE, "manifest.json": json.dumps(manifest).encode()}
    refused(store, layer_tar(files), "1 layers, but the config names 0")


# ---- bombs, full disks ----


def test_a_layer_that_unpacks_to_more_than_the_bound_is_refused(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"), Limits(bytes=100_000))
    layout = OciLayout()
    layout.image("web:1", [layer_tar({"f": bytes(200_000)})])
    refused(store, layout.tar(), "unpacks to more than 100000 bytes")


def test_a_layer_that_unpacks_to_too_many_times_its_size_is_refused(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"), Limits(ratio_from_bytes=1_000_000))
    layout = OciLayout()
    layout.image("web:1", [layer_tar({"f": bytes(8_000_000)})])
    refused(store, layout.tar(), "unpacks .* bytes to more than 200 times as many")


def test_zeros_after_the_end_of_a_layer_are_a_bomb_as_well(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"), Limits(bytes=4_000_000))
    layout = OciLayout()
    layout.image("web:1", [BASE + bytes(8_000_000)])
    refused(store, layout.tar(), "unpacks to more than")


def test_an_archive_that_is_itself_a_bomb_is_refused(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"), Limits(bytes=4_000_000))
    refused(store, pack(layer_tar({"f": bytes(8_000_000)})), "unpacks to more than")


def test_an_archive_of_too_many_files_is_refused(store: ImageStore) -> None:
    entries = [an_entry(f"blobs/{number}") for number in range(10_001)]
    refused(store, tar_of(*entries), "more than 10000 entries")


def test_the_disk_is_never_filled_to_the_brim(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"), Limits(reserve_bytes=2**60))
    with pytest.raises(NoRoomForImage, match="no room on the disk"):
        store.load(an_image())
    assert kept(tmp_path / "images") == {"layers": 0, "images": 0, "scratch": 0}


def test_a_disk_is_not_left_without_inodes(tmp_path: Path) -> None:
    store = ImageStore(str(tmp_path / "images"), Limits(reserve_inodes=2**60))
    files = layer_tar({f"{number}": b"" for number in range(1001)})
    with pytest.raises(NoRoomForImage, match="files may be made"):
        store.load(an_image("web:1", files))


def test_a_disk_that_is_full_is_told_from_a_bad_image(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = namedtuple("disk", "f_bavail f_frsize f_files", defaults=[0])
    looks = iter([disk(2**40, 4096)])
    monkeypatch.setattr("os.statvfs", lambda _: next(looks, disk(0, 4096)))
    with pytest.raises(NoRoomForImage):
        store.load(an_image())
    monkeypatch.undo()
    assert store.load(an_image())[0].references == ["web:1"]


# ---- hypothesis ----


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_damage_to_an_archive_raises_anything_but_invalid_image(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(an_image(None, layer_tar({"f": b"x"})).getvalue())
    used = len(bytes(whole).rstrip(b"\0"))
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, used - 1))] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.mktemp("damaged")
    with contextlib.suppress(InvalidImage):
        ImageStore(str(root)).load(io.BytesIO(bytes(whole)))
    assert os.listdir(root / "scratch") == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["manifests", "digest", "platform", "annotations", "Config", "Layers",
                         "RepoTags", "rootfs", "diff_ids", "config", "layers"]), inner, max_size=4,
    ),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(index=JSON, manifest=JSON, config=JSON)
def test_no_json_whatsoever_raises_anything_but_invalid_image(
    tmp_path_factory: pytest.TempPathFactory, index: Any, manifest: Any, config: Any
) -> None:
    store = ImageStore(str(tmp_path_factory.mktemp("json")))
    layout = OciLayout()
    good = {"config": layout.blob(json.dumps(config).encode(), CONFIG), "layers": []}
    layout.manifests = [
        layout.blob(json.dumps(content).encode(), "m") for content in (good, manifest)
    ]
    for archive in (layout.tar(), layer_tar({"index.json": json.dumps(index).encode()}),
                    layer_tar({"manifest.json": json.dumps(manifest).encode()})):  # fmt: skip
        with contextlib.suppress(InvalidImage):
            store.load(io.BytesIO(archive))
