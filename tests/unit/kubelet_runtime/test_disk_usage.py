"""What a directory takes of its disk, whatever is in it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from kubelet.runtime.disk_usage import DiskUsage, disk_usage
from kubelet.runtime.tree_walk import TreeWalk

MI = 1 << 20


def written(path: Path, size: int) -> None:
    path.write_bytes(b"x" * size)
    os.sync()  # a filesystem may allocate late


def test_files_directories_and_links_are_counted_once_each(tmp_path: Path) -> None:
    (tmp_path / "deep/er").mkdir(parents=True)
    written(tmp_path / "deep/er/file", MI)
    os.link(tmp_path / "deep/er/file", tmp_path / "again")
    found = disk_usage(str(tmp_path))
    assert MI <= found.bytes < MI + 64 * 1024
    assert found.inodes == 4


def test_a_link_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path / "out", MI)
    (tmp_path / "in/file").symlink_to(tmp_path / "out")
    (tmp_path / "in/directory").symlink_to("/usr")
    assert disk_usage(str(tmp_path / "in")).bytes < 64 * 1024


def test_depth_costs_nothing(tmp_path: Path) -> None:
    home = os.open(".", os.O_RDONLY)
    try:
        os.chdir(tmp_path)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        Path("file").write_bytes(b"x")
        os.fchdir(home)
        assert disk_usage(str(tmp_path)).inodes == 1502
    finally:
        os.fchdir(home)
        os.close(home)
        subprocess.run(["rm", "-r", tmp_path / "d"], check=True)  # too deep for pytest to remove


def test_what_is_not_there_takes_nothing(tmp_path: Path) -> None:
    assert disk_usage(str(tmp_path / "nothing")) == DiskUsage()
    assert disk_usage("") == DiskUsage()


def test_a_directory_that_is_moved_away_while_it_is_looked_at_does_not_lead_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ".." is then somewhere else."""
    (tmp_path / "in/one").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    for number in range(5):
        (tmp_path / f"out/{number}").mkdir()
    as_it_is = TreeWalk._is_entered

    def move_after_entering(walk: TreeWalk, name: str) -> bool:
        is_entered = as_it_is(walk, name)
        (tmp_path / "in/one").rename(tmp_path / "out/one")
        return is_entered

    monkeypatch.setattr(TreeWalk, "_is_entered", move_after_entering)
    assert disk_usage(str(tmp_path / "in")).inodes == 2
