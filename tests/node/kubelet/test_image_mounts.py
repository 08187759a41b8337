"""An image as a read-only directory: kubelet/image_mounts.py."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.image_mounts import mount_layers
from kubelet.images.unpack import unpack_layer
from kubelet.runtime import syscalls
from tests.support.images import a_directory, an_entry, tar_of


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "target"
    place.mkdir()
    yield place
    syscalls.umount(str(place), syscalls.MNT_DETACH)


def a_layer(directory: Path, *entries: object) -> str:
    directory.mkdir()
    unpack_layer(io.BytesIO(tar_of(*entries)), str(directory))  # type: ignore[arg-type]
    return str(directory)


def test_layers_are_stacked_and_what_is_deleted_is_gone(tmp_path: Path, target: Path) -> None:
    below = a_layer(tmp_path / "below", an_entry("a", b"1"), an_entry("b", b"1"))
    above = a_layer(tmp_path / "above", an_entry("a", b"2"), an_entry(".wh.b"))
    mount_layers([below, above], str(target))
    assert {name: (target / name).read_bytes() for name in os.listdir(target)} == {"a": b"2"}


def test_one_layer_is_enough_and_nothing_in_it_can_be_written_or_run(
    tmp_path: Path, target: Path
) -> None:
    layer = a_layer(
        tmp_path / "one", a_directory("bin"), an_entry("bin/x", b"#!/bin/sh", mode=0o755)
    )
    mount_layers([layer], str(target))
    with pytest.raises(OSError, match="Read-only") as caught:
        (target / "new").touch()
    assert caught.value.errno == errno.EROFS
    with pytest.raises(PermissionError):
        os.execv(str(target / "bin" / "x"), ["x"])


def test_an_image_without_layers_is_an_empty_directory(target: Path) -> None:
    mount_layers([], str(target))
    assert os.listdir(target) == []
