"""Which images are removed, and when: kubelet/image_keeper.py."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from kubelet.configuration import KubeletConfiguration
from kubelet.image_keeper import IMAGE_LABEL, ImageInUse, ImageKeeper
from kubelet.images import Image, ImageNotFound, ImageStore
from kubelet.images.store import Disk
from kubelet.runtime.protocol import ContainerConfig, SandboxConfig
from tests.support.fake_recorder import FakeRecorder
from tests.support.fake_runtime import FakeRuntime
from tests.support.images import OciLayout, layer_tar

HOUR_S = 3600.0


class Kept:
    """A store, and a keeper whose clock and disk the test moves; time goes on from 10 hours."""

    def __init__(self, directory: Path) -> None:
        self.store = ImageStore(str(directory))
        self.runtime, self.recorder = FakeRuntime(), FakeRecorder()
        self.now, self.available = 10 * HOUR_S, 1000
        self.pods: list[dict[str, object]] = []
        self.start()

    def start(self, **settings: float) -> None:
        """A new life of the kubelet."""
        self.keeper = ImageKeeper(
            self.store, self.runtime, self.recorder,
            dataclasses.replace(KubeletConfiguration(), **settings),  # type: ignore[arg-type]
            pods=lambda: self.pods, node=dict, now=lambda: self.now,
        )  # fmt: skip
        self.store.disk = lambda: Disk(1000, self.available, 0, 0)  # type: ignore[method-assign]

    def image(self, name: str, used_at: float = 0.0) -> Image:
        layout = OciLayout()
        layout.image(name, [layer_tar({name.partition(":")[0]: b"x" * 100_000})])
        (image,) = self.store.load(io.BytesIO(layout.tar()))
        self.store.touch(image.id, used_at)
        return image

    def use(self, image: Image) -> None:
        self.runtime.run_pod_sandbox(SandboxConfig("uid", "web", "kubepods"))
        config = ContainerConfig(
            "main", 0, ["sleep"], {}, "/", "/dev/null", labels={IMAGE_LABEL: image.id}
        )
        self.runtime.create_container("uid", config)

    def names(self) -> list[str]:
        return [name for image in self.store.list() for name in image.references]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "images")


def test_below_the_high_threshold_nothing_goes(kept: Kept) -> None:
    kept.image("old:1")
    kept.available = 151
    kept.keeper.collect()
    assert kept.names() == ["old:1"]


def test_above_it_the_least_recently_used_goes_first_until_there_is_room(kept: Kept) -> None:
    kept.image("newer:1", used_at=2.0)
    kept.image("older:1", used_at=1.0)
    kept.keeper.collect()  # they have been seen
    kept.now += HOUR_S
    kept.available = 150  # 85 % full; 80 % is reached with the first
    kept.keeper.collect()
    assert kept.names() == ["newer:1"]
    assert kept.recorder.events == []


def test_an_image_of_a_container_or_a_volume_stays(kept: Kept) -> None:
    kept.use(kept.image("used:1"))
    kept.image("mounted:1")
    kept.image("unused:1")
    kept.pods = [{"spec": {"volumes": [{"name": "data", "image": {"reference": "mounted:1"}}]}}]
    assert kept.keeper.remove_unused() > 100_000
    assert kept.names() == ["mounted:1", "used:1"]


def test_an_image_that_has_just_come_stays_for_two_minutes(kept: Kept) -> None:
    kept.image("new:1")
    kept.available = 0
    kept.keeper.collect()
    assert kept.names() == ["new:1"]
    kept.now += 121
    kept.keeper.collect()
    assert kept.names() == []


def test_an_image_that_was_asked_for_meanwhile_stays(kept: Kept) -> None:
    image = kept.image("old:1")
    kept.store.touch(image.id, kept.now)
    assert kept.keeper.remove_unused() == 0
    assert kept.names() == ["old:1"]


def test_what_cannot_be_freed_is_told_and_told_again_as_a_failure(kept: Kept) -> None:
    kept.available = 100
    kept.keeper.collect()
    kept.keeper.collect()
    assert kept.recorder.reasons() == [
        "FreeDiskSpaceFailed", "FreeDiskSpaceFailed", "ImageGCFailed",
    ]  # fmt: skip
    assert kept.recorder.messages("ImageGCFailed") == [
        "Failed to garbage collect required amount of images. Attempted to free 100 bytes, but "
        "only found 0 bytes eligible to free."
    ]


def test_too_old_images_go_once_the_kubelet_has_been_there_for_so_long(kept: Kept) -> None:
    kept.start(image_maximum_gc_age_s=HOUR_S)
    kept.image("old:1")
    kept.image("new:1", used_at=11 * HOUR_S)
    kept.keeper.collect()
    assert kept.names() == ["new:1", "old:1"]
    kept.now += HOUR_S + 1
    kept.keeper.collect()
    assert kept.names() == ["new:1"]


def test_an_image_in_use_is_not_removed_by_hand_but_one_of_its_names_is(kept: Kept) -> None:
    image = kept.image("web:1")
    assert kept.image("web:2").id == image.id
    kept.use(image)
    with pytest.raises(ImageInUse):
        kept.keeper.remove(image.id)
    kept.keeper.remove("web:1")
    with pytest.raises(ImageInUse, match=r'image "web:2" is in use'):
        kept.keeper.remove("web:2")
    with pytest.raises(ImageNotFound):
        kept.keeper.remove("web:3")


def test_the_disk_of_layers_is_counted_and_shared_layers_once(kept: Kept) -> None:
    kept.image("web:1")
    used = kept.keeper.image_fs_info().used_bytes
    assert 100_000 <= used <= 130_000
    layout = OciLayout()
    layout.image("also:1", [layer_tar({"web": b"x" * 100_000})], {"Cmd": ["other"]})
    kept.store.load(io.BytesIO(layout.tar()))
    assert kept.keeper.image_fs_info().used_bytes == used


def test_the_node_shows_the_largest_first_and_five_names_at_most(kept: Kept) -> None:
    layout = OciLayout()
    for number in range(4):
        layout.image(f"small:{number}", [layer_tar({"a": b"x"})])
    layout.image("large:1", [layer_tar({"a": bytes(range(256)) * 2000})])
    kept.store.load(io.BytesIO(layout.tar()))
    shown = kept.keeper.shown()
    assert [any("large" in name for name in image["names"]) for image in shown] == [True, False]
    assert [len(image["names"]) for image in shown] == [2, 5]
