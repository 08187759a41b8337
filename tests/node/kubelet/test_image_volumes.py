"""Directories for the volumes that an image names: kubelet/image_volumes.py."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest

from kubelet.image_volumes import MAX_VOLUMES, TooManyVolumes, image_volumes
from kubelet.images.unpack import unpack_layer
from tests.support.images import a_directory, a_symlink, an_entry, tar_of

Entry = tuple[tarfile.TarInfo, bytes]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "pod" / "image-volumes" / "main"


def a_layer(directory: Path, *entries: Entry, lower: tuple[str, ...] = ()) -> str:
    directory.mkdir()
    unpack_layer(io.BytesIO(tar_of(*entries)), str(directory), lower=lower)
    return str(directory)


def test_a_volume_has_what_the_image_has_there_with_owners_and_modes(
    tmp_path: Path, place: Path
) -> None:
    below = a_layer(
        tmp_path / "below", a_directory("data", 0o750, uid=7, gid=8),
        an_entry("data/kept", b"1", uid=9, mode=0o4755), an_entry("data/gone", b"1"),
    )  # fmt: skip
    above = a_layer(
        tmp_path / "above", an_entry("data/.wh.gone"), a_symlink("data/link", "/etc"),
        lower=(below,),
    )  # fmt: skip
    (mount,) = image_volumes(["/data"], [below, above], [], place, 0)
    assert (mount.target, mount.readonly) == ("/data", False)
    found = os.stat(mount.source)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (7, 8, 0o750)
    assert sorted(os.listdir(mount.source)) == ["kept", "link"]
    kept = os.stat(f"{mount.source}/kept")
    assert (kept.st_uid, stat.S_IMODE(kept.st_mode)) == (9, 0o4755)
    assert os.readlink(f"{mount.source}/link") == "/etc"


def test_where_the_image_has_nothing_it_is_empty(tmp_path: Path, place: Path) -> None:
    layer = a_layer(tmp_path / "layer", an_entry("file", b"1"))
    mounts = image_volumes(["/data", "file/"], [layer], [], place, 0)
    assert [(mount.target, os.listdir(mount.source)) for mount in mounts] == [
        ("/data", []), ("/file", []),
    ]  # fmt: skip


def test_a_volume_of_the_pod_takes_its_place(tmp_path: Path, place: Path) -> None:
    layer = a_layer(tmp_path / "layer")
    assert image_volumes(["/data/"], [layer], ["/data"], place, 0) == []


def test_a_link_in_the_image_leads_nowhere_else(tmp_path: Path, place: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("of the host")
    layer = a_layer(
        tmp_path / "layer", a_symlink("data", str(tmp_path / "secret")), a_symlink("up", "../..")
    )
    mounts = image_volumes(["/data", "/up", "/../../etc"], [layer], [], place, 0)
    assert [os.listdir(m.source) for m in mounts if m.target != "/up"] == [[], []]
    assert sorted(os.listdir(next(m.source for m in mounts if m.target == "/up"))) == ["data", "up"]


def test_a_container_that_starts_anew_gets_new_ones_and_old_ones_go(
    tmp_path: Path, place: Path
) -> None:
    layer = a_layer(tmp_path / "layer", an_entry("data/file", b"1"))
    for attempt in range(4):
        (mount,) = image_volumes(["/data"], [layer], [], place, attempt)
        assert os.listdir(mount.source) == ["file"]
        Path(mount.source, "file").unlink()
    assert sorted(name for name in os.listdir(place) if name.isdigit()) == ["2", "3"]


def test_nothing_stays_mounted(tmp_path: Path, place: Path) -> None:
    layer = a_layer(tmp_path / "layer")
    image_volumes(["/data"], [layer], [], place, 0)
    assert str(place) not in Path("/proc/self/mountinfo").read_text()


def test_more_volumes_than_any_image_needs_are_refused(place: Path) -> None:
    with pytest.raises(TooManyVolumes, match="65 volumes"):
        image_volumes([f"/{n}" for n in range(MAX_VOLUMES + 1)], [], [], place, 0)
