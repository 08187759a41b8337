"""What `podium cp` lets out of a container, and which words name a place in one."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from podium.cli import cp
from podium.cli.cp import Place, parse_place


class TarOf:
    """As a container's tar would answer."""

    def __init__(self, *members: tuple[str, bytes | str]) -> None:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            for name, content in members:
                info = tarfile.TarInfo(name)
                if isinstance(content, str):
                    info.type, info.linkname = tarfile.SYMTYPE, content
                    archive.addfile(info)
                else:
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        self.data = file.getvalue()

    def run(self, argv: list[str], *, stdin_fd: int | None = None, stdout_fd: int = 1) -> int:
        with open(stdout_fd, "wb", closefd=False) as out:
            out.write(self.data)
        return 0


def download(tar: Any, target: Path) -> None:
    cp.download(tar, PurePosixPath("/srv/site"), target)


@pytest.mark.parametrize(
    ("word", "place"),
    [
        ("web:/tmp/x", Place("web", "", "/tmp/x")),
        ("prod/web:data", Place("web", "prod", "data")),
        ("./web:x", Place("", "", "./web:x")),
        ("/a:b", Place("", "", "/a:b")),
        ("plain", Place("", "", "plain")),
    ],
)
def test_a_colon_makes_it_a_pods_place(word: str, place: Place) -> None:
    assert parse_place(word) == place


def test_a_file_gets_the_name_that_was_said_or_a_directory_gets_it(tmp_path: Path) -> None:
    tar = TarOf(("site", b"hello"))
    download(tar, tmp_path / "named")
    download(tar, tmp_path)
    assert (tmp_path / "named").read_bytes() == (tmp_path / "site").read_bytes() == b"hello"


def test_nothing_is_written_outside_of_the_target(tmp_path: Path) -> None:
    tar = TarOf(("site/good", b"1"), ("site/../evil", b"2"), ("/evil", b"3"), ("other/evil", b"4"))
    download(tar, tmp_path / "copy")
    found = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    assert found == ["copy", "copy/good"]


def test_links_are_left_out_and_not_followed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "site").mkdir()
    (copy / "site" / "out").symlink_to(outside)
    download(TarOf(("site/link", "/etc/passwd"), ("site/out/evil", b"x")), copy)
    assert list(outside.iterdir()) == []
    assert not (copy / "site" / "link").exists()
    warnings = capsys.readouterr().err
    assert "site/link is no file and no directory" in warnings
    assert "leads out of" in warnings
