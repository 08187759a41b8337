"""Images on a small disk of their own: kubelet/image_keeper.py and what the kernel says is free."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.configuration import KubeletConfiguration
from kubelet.image_keeper import ImageKeeper
from kubelet.images import ImageStore, Limits, NoRoomForImage
from kubelet.runtime import syscalls
from tests.support.fake_recorder import FakeRecorder
from tests.support.fake_runtime import FakeRuntime
from tests.support.images import OciLayout, layer_tar

MIB = 1 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """48 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    syscalls.mount("tmpfs", str(place), "tmpfs", 0, "size=48m")
    yield place
    syscalls.umount(str(place), syscalls.MNT_DETACH)


def an_image(name: str, size_bytes: int) -> io.BytesIO:
    layout = OciLayout()
    content = os.urandom(MIB) + bytes(size_bytes - MIB)
    layout.image(name, [layer_tar({"data": content})])
    return io.BytesIO(layout.tar())


def used_mib(disk: Path) -> int:
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize // MIB


def test_a_full_disk_loses_the_least_recently_used_image(disk: Path) -> None:
    store, now = ImageStore(str(disk), Limits(reserve_bytes=0, reserve_inodes=0)), 0.0
    keeper = ImageKeeper(
        store, FakeRuntime(), FakeRecorder(), KubeletConfiguration(),
        pods=list, node=dict, now=lambda: now,
    )  # fmt: skip
    for number, name in enumerate(("second:1", "first:1", "third:1")):
        (image,) = store.load(an_image(name, 14 * MIB))
        store.touch(image.id, {"first:1": 1.0, "second:1": 2.0, "third:1": 3.0}[name])
        assert used_mib(disk) >= 14 * (number + 1)
    assert keeper.image_fs_info().disk.used_percent >= 85
    assert keeper.image_fs_info().used_bytes // MIB == used_mib(disk)
    keeper.collect()
    now = 200.0
    keeper.collect()
    assert [image.references for image in store.list()] == [["second:1"], ["third:1"]]
    assert used_mib(disk) == 28


def test_an_image_that_does_not_fit_leaves_nothing(disk: Path) -> None:
    store = ImageStore(str(disk), Limits(reserve_bytes=20 * MIB, reserve_inodes=0))
    with pytest.raises(NoRoomForImage, match="are kept for the node"):
        store.load(an_image("large:1", 40 * MIB))
    assert store.list() == []
    assert used_mib(disk) == 0
