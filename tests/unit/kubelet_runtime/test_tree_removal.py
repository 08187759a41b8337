"""A directory is removed with all that is in it, and nothing else. mount(2) needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.runtime import tree_removal
from kubelet.runtime.tree_removal import remove_tree
from kubelet.runtime.tree_walk import TreeWalk
from tests.support.deep_trees import make_deep


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tree"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", path], check=True)  # pytest's own way fails at this depth


def test_a_tree_deeper_than_any_path_is_long_goes(tree: Path) -> None:
    """Names of 16 bytes: its path has 51,000, and PATH_MAX is 4096."""
    make_deep(tree, 3000, "a-directory-here")
    fds = len(os.listdir("/proc/self/fd"))
    remove_tree(tree)
    assert not tree.exists()
    assert len(os.listdir("/proc/self/fd")) <= fds  # fewer: garbage of other tests


def test_a_link_goes_and_what_it_leads_to_stays(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("mine")
    (tree / "in").mkdir()
    (tree / "in/link").symlink_to(tmp_path / "outside")
    remove_tree(tree)
    assert (tmp_path / "outside/file").read_text() == "mine"
    (tmp_path / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(NotADirectoryError):
        remove_tree(tmp_path / "link")


def test_what_is_not_there_is_removed_already(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")


@pytest.mark.skipif(os.geteuid() != 0, reason="mount(2) needs root")
def test_what_is_mounted_inside_stays_and_is_named(tree: Path, tmp_path: Path) -> None:
    """Of the same file system: its device tells nothing."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("mine")
    (tree / "in/mount").mkdir(parents=True)
    subprocess.run(["mount", "--bind", tmp_path / "outside", tree / "in/mount"], check=True)
    try:
        with pytest.raises(OSError, match="tree/in/mount"):
            remove_tree(tree)
    finally:
        subprocess.run(["umount", tree / "in/mount"], check=True)
    assert (tmp_path / "outside/file").read_text() == "mine"


def test_a_directory_that_is_moved_away_meanwhile_does_not_lead_out(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ".." is then somewhere else."""
    (tree / "one/two").mkdir(parents=True)
    (tmp_path / "out/one").mkdir(parents=True)
    (tmp_path / "out/other").mkdir()
    as_it_is = TreeWalk._is_entered

    def move_after_entering(walk: TreeWalk, name: str) -> bool:
        is_entered = as_it_is(walk, name)
        if name == "two":
            (tree / "one/two").rename(tmp_path / "out/two")
        return is_entered

    monkeypatch.setattr(TreeWalk, "_is_entered", move_after_entering)
    remove_tree(tree)
    assert sorted(os.listdir(tmp_path)) == ["out"]
    assert sorted(os.listdir(tmp_path / "out")) == ["one", "other", "two"]


def test_a_tree_that_somebody_goes_on_filling_is_given_up_at_some_time(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tree_removal, "_empty", lambda _: (tree / "new").touch())
    with pytest.raises(OSError, match="not empty"):
        remove_tree(tree)
