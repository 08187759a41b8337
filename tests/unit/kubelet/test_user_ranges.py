"""Ranges of ids: unique, kept, free again, found after a crash."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kubelet import user_ranges
from kubelet.user_ranges import NoUserRange, UserRanges


def test_a_pod_keeps_its_range_over_restarts_and_nobody_else_has_it(tmp_path: Path) -> None:
    ranges = UserRanges(tmp_path, "c", 0)
    firsts = {uid: ranges.take(uid).first_host_id for uid in ("a", "b", "c")}
    assert len(set(firsts.values())) == 3
    assert all(first % 65_536 == 0 for first in firsts.values())
    again = UserRanges(tmp_path, "c", 0)
    assert {uid: again.take(uid).first_host_id for uid in firsts} == firsts


def test_a_range_is_free_once_its_pods_directory_is_gone(tmp_path: Path) -> None:
    ranges = UserRanges(tmp_path, "c", 0)
    first = ranges.take("a")
    ranges.take("b")
    shutil.rmtree(tmp_path / "a")
    assert ranges.take("d") == first


def test_nodes_of_a_cluster_have_different_ranges(tmp_path: Path) -> None:
    nodes = [UserRanges(tmp_path / str(index), "c", index) for index in range(3)]
    assert len({ranges.take("a").first_host_id for ranges in nodes}) == 3


def test_what_a_crash_has_left_half_written_is_taken_anew(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "userns").write_text("")
    ranges = UserRanges(tmp_path, "c", 0)
    assert ranges.take("a") == UserRanges(tmp_path, "c", 0).take("a")


def test_a_node_without_a_free_range_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_ranges, "_PER_NODE", 1)
    ranges = UserRanges(tmp_path, "c", 0)
    ranges.take("a")
    with pytest.raises(NoUserRange):
        ranges.take("b")


def test_no_range_is_beyond_what_the_kernel_takes_for_an_id(tmp_path: Path) -> None:
    for index in range(30):
        ids = UserRanges(tmp_path / str(index), "c", index).take("a")
        assert 1 << 28 <= ids.first_host_id <= (1 << 31) - 65_536
