"""Unpacked layers under a real overlay mount, and layouts that other tools made."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.images import Image, ImageStore
from tests.support.images import (
    OciLayout,
    a_directory,
    a_symlink,
    an_entry,
    busybox_image_tar,
    tar_of,
)

_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def mounted(image: Image, tmp_path: Path) -> Iterator[Path]:
    """The image's root as a container would see it."""
    upper, work, merged = (tmp_path / name for name in ("upper", "work", "merged"))
    for directory in (upper, work, merged):
        directory.mkdir()
    layers = ":".join(reversed(image.layers))
    options = f"lowerdir={layers},upperdir={upper},workdir={work}"
    words = [word.encode() for word in ("overlay", str(merged), "overlay")]
    if _libc.mount(*words, 0, options.encode()) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mount overlay: {os.strerror(code)}")
    try:
        yield merged
    finally:
        _libc.umount2(str(merged).encode(), _MNT_DETACH)


def an_image(store: ImageStore, *layers: bytes) -> Image:
    layout = OciLayout()
    layout.image("web:1", list(layers))
    (image,) = store.load(io.BytesIO(layout.tar()))
    return image


def run_inside(root: Path, *command: str) -> str:
    done = subprocess.run(
        ["chroot", root, *command], check=True, capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(str(tmp_path / "images"))


def test_what_a_layer_deletes_is_gone_and_what_it_makes_opaque_is_empty(
    store: ImageStore, tmp_path: Path
) -> None:
    below = tar_of(
        an_entry("etc/keep", b"1"),
        an_entry("etc/delete", b"1"),
        an_entry("var/old/file", b"1"),
        an_entry("gone/with/all", b"1"),
        an_entry("again/old", b"1"),
    )
    above = tar_of(
        an_entry("etc/.wh.delete"),
        an_entry("var/old/.wh..wh..opq"),
        an_entry("var/old/new", b"2"),
        an_entry(".wh.gone"),
        an_entry(".wh.again"),
        an_entry("again/new", b"2"),
    )
    with mounted(an_image(store, below, above), tmp_path) as root:
        assert sorted(os.listdir(root)) == ["again", "etc", "var"]
        assert os.listdir(root / "etc") == ["keep"]
        assert os.listdir(root / "var/old") == ["new"]
        assert os.listdir(root / "again") == ["new"]


def test_what_one_layer_deletes_the_next_can_bring_back(store: ImageStore, tmp_path: Path) -> None:
    image = an_image(
        store,
        tar_of(an_entry("f", b"1")),
        tar_of(an_entry(".wh.f")),
        tar_of(an_entry("f", b"3")),
    )
    with mounted(image, tmp_path) as root:
        assert (root / "f").read_bytes() == b"3"


def test_a_layer_without_its_directories_changes_none_of_them(
    store: ImageStore, tmp_path: Path
) -> None:
    below = tar_of(
        a_directory("tmp", 0o1777),
        a_directory("usr/lib", 0o711),
        a_symlink("lib", "usr/lib"),
        an_entry("usr/lib/ld.so", b"1"),
    )
    above = tar_of(an_entry("tmp/f", b"2"), an_entry("lib/mine.so", b"2"))
    with mounted(an_image(store, below, above), tmp_path) as root:
        assert stat.filemode((root / "tmp").stat().st_mode) == "drwxrwxrwt"
        assert os.readlink(root / "lib") == "usr/lib"
        assert sorted(os.listdir(root / "lib")) == ["ld.so", "mine.so"]


def test_a_file_capability_survives(store: ImageStore, tmp_path: Path) -> None:
    """cap_net_bind_service=ep, as `setcap` writes it: revision 2, effective."""
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    text = capability.decode("utf-8", "surrogateescape")
    entry = an_entry("ping", b"x", pax_headers={"SCHILY.xattr.security.capability": text})
    with mounted(an_image(store, tar_of(entry)), tmp_path) as root:
        assert os.getxattr(root / "ping", "security.capability") == capability


def test_busybox_runs_from_its_image(store: ImageStore, tmp_path: Path) -> None:
    (image,) = store.load(busybox_image_tar(tmp_path / "busybox.tar"))
    assert store.get("busybox:1.0") == image
    with mounted(image, tmp_path) as root:
        assert run_inside(root, "/bin/echo", "it", "runs") == "it runs"


def test_the_stand_in_for_busybox_runs_too(
    store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    real = shutil.which
    monkeypatch.setattr("shutil.which", lambda name: None if name == "busybox" else real(name))
    (image,) = store.load(busybox_image_tar(tmp_path / "small.tar"))
    with mounted(image, tmp_path) as root:
        assert run_inside(root, "/bin/echo", "it", "runs") == "it runs"


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs Debian's skopeo")
@pytest.mark.parametrize(
    "form", ["oci:{}:busybox:1.0", "oci-archive:{}:busybox:1.0", "docker-archive:{}:busybox:1.0"]
)
def test_what_skopeo_writes_is_the_same_image(store: ImageStore, tmp_path: Path, form: str) -> None:
    (ours,) = store.load(busybox_image_tar(tmp_path / "busybox.tar"))
    made = tmp_path / "made"
    source = f"oci-archive:{tmp_path / 'busybox.tar'}:busybox:1.0"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", "--quiet", source, form.format(made)],
        check=True, timeout=60, capture_output=True,
    )  # fmt: skip
    other = ImageStore(str(tmp_path / "other"))
    (theirs,) = other.load(made)
    assert theirs.references == ["busybox:1.0"]
    assert [Path(x).name for x in theirs.layers] == [Path(x).name for x in ours.layers]
    assert theirs.config == ours.config
    if not form.startswith("docker-archive"):
        assert theirs.id == ours.id
