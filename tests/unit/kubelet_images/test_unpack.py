"""A layer from its tar: what is right comes out right, what is wrong stays inside."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kubelet.images.errors import InvalidImage
from kubelet.images.limits import Limits
from kubelet.images.unpack import unpack_layer
from tests.support.images import a_directory, a_hard_link, a_symlink, an_entry, tar_of

OPAQUE = "trusted.overlay.opaque"
Entry = tuple[tarfile.TarInfo, bytes]


def unpack(tmp_path: Path, *entries: Entry, name: str = "layer", **options: Any) -> Path:
    target = tmp_path / name
    target.mkdir()
    unpack_layer(io.BytesIO(tar_of(*entries)), str(target), **options)
    return target


def files_of(directory: Path) -> dict[str, str]:
    """Path → type and permissions, as `ls -l` writes them."""
    return {
        str(path.relative_to(directory)): stat.filemode(path.lstat().st_mode)
        for path in sorted(directory.rglob("*"))
    }


def is_whiteout(path: Path) -> bool:
    status = path.lstat()
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: Path) -> bool:
    return OPAQUE in os.listxattr(path) and os.getxattr(path, OPAQUE) == b"y"


# ---- what is right ----


def test_files_directories_and_links_come_out_as_they_went_in(tmp_path: Path) -> None:
    layer = unpack(
        tmp_path,
        a_directory("etc", 0o750, uid=3, gid=4),
        an_entry("etc/passwd", b"root", mode=0o640, uid=1, gid=2, mtime=1_000_000_000),
        a_symlink("etc/link", "/absolute/target"),
        a_hard_link("etc/second", "etc/passwd"),
        an_entry("etc/pipe", type=tarfile.FIFOTYPE, mode=0o600),
        an_entry("bin/su", b"x", mode=0o4755),
    )
    assert files_of(layer) == {
        "bin": "drwxr-xr-x",
        "bin/su": "-rwsr-xr-x",
        "etc": "drwxr-x---",
        "etc/link": "lrwxrwxrwx",
        "etc/passwd": "-rw-r-----",
        "etc/pipe": "prw-------",
        "etc/second": "-rw-r-----",
    }
    passwd = (layer / "etc/passwd").stat()
    assert (passwd.st_uid, passwd.st_gid, passwd.st_mtime) == (1, 2, 1_000_000_000)
    assert passwd.st_ino == (layer / "etc/second").stat().st_ino
    assert os.readlink(layer / "etc/link") == "/absolute/target"


def test_a_directory_keeps_its_time_although_it_is_filled_later(tmp_path: Path) -> None:
    layer = unpack(tmp_path, a_directory("d", mtime=1_000_000_000), an_entry("d/f", b"x"))
    assert (layer / "d").stat().st_mtime == 1_000_000_000


def test_the_root_gets_its_own_mode(tmp_path: Path) -> None:
    layer = unpack(tmp_path, a_directory("./", 0o711, uid=7), an_entry("./f", b"x"))
    assert stat.S_IMODE(layer.stat().st_mode) == 0o711
    assert layer.stat().st_uid == 7


def test_a_later_entry_replaces_an_earlier_one_of_any_kind(tmp_path: Path) -> None:
    layer = unpack(
        tmp_path,
        a_directory("a"), an_entry("a/deep/file", b"1"), an_entry("a", b"now a file"),
        an_entry("b", b"1"), a_directory("b"), an_entry("b/f", b"2"),
        a_symlink("c", "b"), an_entry("c", b"no link any more"),
    )  # fmt: skip
    assert (layer / "a").read_bytes() == b"now a file"
    assert (layer / "b/f").read_bytes() == b"2"
    assert (layer / "c").read_bytes() == b"no link any more"


def test_writing_to_a_name_that_is_a_link_replaces_the_link(tmp_path: Path) -> None:
    layer = unpack(tmp_path, an_entry("f", b"1"), a_symlink("l", "f"), an_entry("l", b"2"))
    assert ((layer / "f").read_bytes(), (layer / "l").read_bytes()) == (b"1", b"2")


def test_a_directory_that_is_a_link_is_followed_inside_the_layer(tmp_path: Path) -> None:
    layer = unpack(
        tmp_path,
        a_directory("usr/lib"), a_symlink("lib", "usr/lib"), an_entry("lib/x.so", b"1"),
        a_symlink("abs", "/usr"), an_entry("abs/y", b"2"),
        a_symlink("usr/up", "../../../.."), an_entry("usr/up/z", b"3"),
    )  # fmt: skip
    assert (layer / "usr/lib/x.so").read_bytes() == b"1"
    assert (layer / "usr/y").read_bytes() == b"2"
    assert (layer / "z").read_bytes() == b"3"


def test_file_capabilities_are_kept_and_forged_attributes_are_not(tmp_path: Path) -> None:
    forged = {
        "SCHILY.xattr.trusted.overlay.opaque": "y",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.security.selinux": "x",
        "SCHILY.xattr.user.colour": "blue",
    }
    layer = unpack(tmp_path, an_entry("f", b"x", pax_headers=forged))
    kept = set(os.listxattr(layer / "f"))
    assert kept <= {"user.colour"}  # a tmpfs has none at all


def test_names_that_are_no_utf8_are_kept_byte_for_byte(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    layer = tmp_path / "layer"
    layer.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo(name))
    buffer.seek(0)
    unpack_layer(buffer, str(layer))
    assert os.listdir(os.fsencode(layer)) == [b"caf\xe9"]


# ---- whiteouts ----


def test_a_whiteout_becomes_what_overlayfs_expects(tmp_path: Path) -> None:
    layer = unpack(tmp_path, a_directory("etc"), an_entry("etc/.wh.passwd"))
    assert is_whiteout(layer / "etc/passwd")
    assert not (layer / "etc/.wh.passwd").exists()


def test_an_opaque_directory_gets_the_attribute_before_or_after_its_files(tmp_path: Path) -> None:
    layer = unpack(
        tmp_path,
        an_entry("a/.wh..wh..opq"), an_entry("a/f", b"1"),
        an_entry("b/f", b"1"), an_entry("b/.wh..wh..opq"),
    )  # fmt: skip
    for name in ("a", "b"):
        assert is_opaque(layer / name)
        assert os.listdir(layer / name) == ["f"]


def test_a_whiteout_never_hides_what_its_own_layer_brings(tmp_path: Path) -> None:
    layer = unpack(
        tmp_path,
        an_entry("f", b"1"), an_entry(".wh.f"),
        an_entry("d/x", b"1"), an_entry(".wh.d"),
        an_entry(".wh.e"), an_entry("e/x", b"1"),
        an_entry(".wh.g"), a_directory("g"),
        an_entry(".wh.h"), an_entry("h", b"1"),
    )  # fmt: skip
    assert (layer / "f").read_bytes() == (layer / "h").read_bytes() == b"1"
    assert (layer / "d/x").read_bytes() == (layer / "e/x").read_bytes() == b"1"
    assert is_opaque(layer / "d")
    assert is_opaque(layer / "e")
    assert is_opaque(layer / "g")


@pytest.mark.parametrize("name", [".wh.", ".wh..", ".wh...", "d/.wh..", "d/.wh..."])
def test_a_whiteout_of_the_directory_itself_or_its_parent_is_refused(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidImage, match="a whiteout of nothing"):
        unpack(tmp_path, an_entry(name))
    assert (tmp_path / "layer").is_dir()


def test_notes_of_aufs_are_left_out(tmp_path: Path) -> None:
    layer = unpack(tmp_path, an_entry(".wh..wh.plnk"), an_entry(".wh..wh.aufs", b"x"))
    assert files_of(layer) == {}


def test_a_forged_whiteout_device_is_left_out_like_every_device(tmp_path: Path) -> None:
    layer = unpack(
        tmp_path,
        an_entry("passwd", type=tarfile.CHRTYPE, devmajor=0, devminor=0),
        an_entry("sda", type=tarfile.BLKTYPE, devmajor=8, devminor=0),
        an_entry("mem", type=tarfile.CHRTYPE, devmajor=1, devminor=1),
    )
    assert files_of(layer) == {}


# ---- layers below ----


def test_a_directory_that_the_layer_takes_for_granted_looks_as_it_does_below(
    tmp_path: Path,
) -> None:
    base = unpack(tmp_path, a_directory("tmp", 0o1777, uid=5, gid=6), name="base")
    layer = unpack(tmp_path, an_entry("tmp/new/f", b"x"), lower=[str(base)])
    assert files_of(layer)["tmp"] == "drwxrwxrwt"
    assert files_of(layer)["tmp/new"] == "drwxr-xr-x"
    assert ((layer / "tmp").stat().st_uid, (layer / "tmp").stat().st_gid) == (5, 6)


def test_a_link_to_a_directory_below_is_followed_not_hidden(tmp_path: Path) -> None:
    base = unpack(tmp_path, a_directory("usr/lib", 0o711), a_symlink("lib", "usr/lib"), name="base")
    layer = unpack(tmp_path, an_entry("lib/x.so", b"1"), lower=[str(base)])
    assert os.readlink(layer / "lib") == "usr/lib"
    assert (layer / "usr/lib/x.so").read_bytes() == b"1"
    assert files_of(layer)["usr/lib"] == "drwx--x--x"


def test_the_topmost_layer_below_is_right(tmp_path: Path) -> None:
    one = unpack(tmp_path, a_directory("d", 0o700), a_directory("gone", 0o700), name="one")
    two = unpack(tmp_path, a_directory("d", 0o711), an_entry(".wh.gone"), name="two")
    layer = unpack(
        tmp_path, an_entry("d/f", b"x"), an_entry("gone/f", b"x"), lower=[str(one), str(two)]
    )
    assert files_of(layer)["d"] == "drwx--x--x"
    assert files_of(layer)["gone"] == "drwxr-xr-x"  # deleted below, so new here


def test_below_an_opaque_directory_nothing_is_looked_for(tmp_path: Path) -> None:
    one = unpack(tmp_path, a_directory("d"), a_directory("d/e", 0o700), name="one")
    two = unpack(tmp_path, a_directory("d"), an_entry("d/.wh..wh..opq"), name="two")
    layer = unpack(tmp_path, an_entry("d/e/f", b"x"), lower=[str(one), str(two)])
    assert files_of(layer)["d/e"] == "drwxr-xr-x"


# ---- what is wrong ----


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Something that an evil layer would like to change."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("untouched")
    return outside


@pytest.mark.parametrize(
    "name", ["../outside/secret", "a/../../outside/secret", "/../outside/secret", "..", "a/.."]
)
def test_a_name_that_leads_out_is_refused(tmp_path: Path, outside: Path, name: str) -> None:
    with pytest.raises(InvalidImage, match="leads out of the image"):
        unpack(tmp_path, an_entry(name, b"evil"))
    assert (outside / "secret").read_text() == "untouched"


def test_an_absolute_name_is_meant_inside(tmp_path: Path) -> None:
    layer = unpack(tmp_path, an_entry("/etc/passwd", b"x"), an_entry("//x", b"y"))
    assert set(files_of(layer)) == {"etc", "etc/passwd", "x"}


@pytest.mark.parametrize("depth", ["{outside}", "../outside", "../../../../../../..{outside}"])
def test_a_link_out_is_kept_but_nothing_is_written_through_it(
    tmp_path: Path, outside: Path, depth: str
) -> None:
    link = depth.format(outside=outside)
    layer = unpack(tmp_path, a_symlink("way", link), an_entry("way/secret", b"evil"))
    assert os.readlink(layer / "way") == link
    assert (outside / "secret").read_text() == "untouched"


def test_nothing_is_deleted_or_hidden_through_a_link_out(tmp_path: Path, outside: Path) -> None:
    unpack(
        tmp_path,
        a_symlink("way", str(outside)),
        an_entry("way/.wh.secret"),
        an_entry("way/.wh..wh..opq"),
    )
    assert (outside / "secret").read_text() == "untouched"
    assert not is_opaque(outside)


def test_a_link_below_leads_no_further_than_a_link_in_the_layer(
    tmp_path: Path, outside: Path
) -> None:
    base = unpack(tmp_path, a_symlink("way", str(outside)), name="base")
    unpack(tmp_path, an_entry("way/secret", b"evil"), lower=[str(base)])
    assert (outside / "secret").read_text() == "untouched"


def test_a_hard_link_cannot_reach_out(tmp_path: Path, outside: Path) -> None:
    for number, target in enumerate(["../outside/secret", f"{outside}/secret", "way/secret", "/"]):
        with pytest.raises(InvalidImage):
            unpack(
                tmp_path,
                a_symlink("way", str(outside)),
                a_hard_link("mine", target),
                an_entry("mine", b"evil"),
                name=f"layer{number}",
            )
    assert (outside / "secret").read_text() == "untouched"
    assert (outside / "secret").stat().st_nlink == 1


def test_a_hard_link_to_a_link_is_a_link_and_is_replaced_not_followed(
    tmp_path: Path, outside: Path
) -> None:
    layer = unpack(
        tmp_path,
        a_symlink("way", f"{outside}/secret"),
        a_hard_link("mine", "way"),
        an_entry("mine", b"evil"),
    )
    assert (layer / "mine").read_bytes() == b"evil"
    assert (outside / "secret").read_text() == "untouched"


def test_a_directory_swapped_for_a_link_between_two_entries_is_not_written_through(
    tmp_path: Path, outside: Path
) -> None:
    unpack(
        tmp_path,
        an_entry("d/one", b"1"),
        a_symlink("d", str(outside)),
        an_entry("d/secret", b"evil"),
    )
    assert (outside / "secret").read_text() == "untouched"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="a link that leads nowhere"):
        unpack(tmp_path, a_symlink("a", "b"), a_symlink("b", "a"), an_entry("a/f", b"x"))


def test_a_hard_link_to_nothing_or_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="which is not there"):
        unpack(tmp_path, a_hard_link("a", "b"), name="one")
    with pytest.raises(InvalidImage, match="which is a directory"):
        unpack(tmp_path, a_directory("d"), a_hard_link("a", "d"), name="two")


def test_a_file_cannot_be_a_directory(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="its directory f is a file"):
        unpack(tmp_path, an_entry("f", b"x"), an_entry("f/g", b"x"))


def test_a_tree_deeper_than_the_bound_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="deeper than 256 directories"):
        unpack(tmp_path, an_entry("d/" * 300 + "f"))


def test_a_tree_made_deep_through_links_is_refused(tmp_path: Path) -> None:
    entries = []
    for number in range(10):
        here = f"l{number - 1}/" if number else ""
        entries += [
            a_directory(f"{here}{'d/' * 40}"),
            a_symlink(f"l{number}", f"{here}{'d/' * 40}"),
        ]
    with pytest.raises(InvalidImage, match=r"deeper than 256|leads nowhere"):
        unpack(tmp_path, *entries)


@pytest.mark.parametrize(
    "fields", [{"uid": 2**40}, {"gid": -1}, {"name": "x" * 300}, {"mtime": 1e300}, {"mtime": -5}]
)
def test_numbers_and_names_that_cannot_be_are_refused_or_bounded(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    entry = an_entry(fields.pop("name", "f"), b"x", **fields)
    with contextlib.suppress(InvalidImage):
        layer = unpack(tmp_path, entry)
        assert (layer / "f").stat().st_mtime >= 0


def test_more_entries_than_the_bound_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match="more than 10 entries"):
        unpack(tmp_path, *(an_entry(f"{n}") for n in range(11)), limits=Limits(entries=10))


def test_a_header_that_goes_on_for_ever_is_not_read_into_memory(tmp_path: Path) -> None:
    endless = an_entry("f", b"x", pax_headers={"comment": "x" * 8_000_000})
    with pytest.raises(InvalidImage, match="name or attributes are too long"):
        unpack(tmp_path, endless)


def test_a_sparse_file_counts_with_its_holes(tmp_path: Path) -> None:
    size = str(2**50)
    sparse = an_entry(
        "f",
        b"1\n0\n0\n".ljust(512, b"\0"),
        pax_headers={
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.name": "f",
            "GNU.sparse.realsize": size,
        },
    )
    with pytest.raises(InvalidImage, match="unpacks to more than"):
        unpack(tmp_path, sparse)


def a_chain_of_headers(count: int) -> bytes:
    """Long names of long names: a reader that recurses runs out of stack."""
    block = tarfile.TarInfo("././@LongLink")
    block.type, block.size = tarfile.GNUTYPE_LONGNAME, 2
    return (block.tobuf(tarfile.GNU_FORMAT) + b"n\0".ljust(512, b"\0")) * count


def test_a_chain_of_headers_does_not_end_the_stack(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    with pytest.raises(InvalidImage):
        unpack_layer(io.BytesIO(a_chain_of_headers(2000)), str(tmp_path / "layer"))


@pytest.mark.parametrize("content", [b"", b"x", b"not a tar" * 100, os.urandom(2048)])
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "layer").mkdir()
    with pytest.raises(InvalidImage, match="is no tar archive"):
        unpack_layer(io.BytesIO(content), str(tmp_path / "layer"))


def test_a_tar_that_ends_early_is_refused(tmp_path: Path) -> None:
    (tmp_path / "layer").mkdir()
    cut = tar_of(an_entry("f", b"x" * 5000))[:3000]
    with pytest.raises(InvalidImage, match="damaged"):
        unpack_layer(io.BytesIO(cut), str(tmp_path / "layer"))


# ---- hypothesis: whatever the order, nothing outside changes ----

NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/a", "b/../a", "../outside/secret", "/a", "."])
TARGETS = st.sampled_from(["a", "b", "/", "..", "../outside", "../outside/secret", "/a/b", "."])
ENTRIES = st.one_of(
    st.builds(an_entry, NAMES, st.binary(max_size=4)),
    st.builds(a_directory, NAMES),
    st.builds(a_symlink, NAMES, TARGETS),
    st.builds(a_hard_link, NAMES, st.one_of(NAMES, TARGETS)),
    st.builds(an_entry, st.sampled_from(["a/.wh.b", ".wh.a", "b/.wh..wh..opq", "a/b/.wh.a"])),
)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ENTRIES, max_size=8))
def test_no_layer_whatsoever_changes_anything_outside(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Entry]
) -> None:
    root = tmp_path_factory.mktemp("any")
    (root / "outside").mkdir()
    (root / "outside/secret").write_text("untouched")
    with contextlib.suppress(InvalidImage):
        unpack(root, *entries)
    assert files_of(root / "outside") == {"secret": "-rw-r--r--"}
    assert (root / "outside/secret").read_text() == "untouched"
    assert (root / "outside/secret").stat().st_nlink == 1
    assert sorted(os.listdir(root)) == ["layer", "outside"]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_damage_to_a_tar_raises_anything_but_invalid_image(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(
        tar_of(a_directory("d"), an_entry("d/f", b"x" * 700, pax_headers={"comment": "long" * 50}))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    target = tmp_path_factory.mktemp("damaged")
    with contextlib.suppress(InvalidImage):
        unpack_layer(io.BytesIO(bytes(whole)), str(target))
