"""Reading logs: the end of large ones, since when, over rotation, and following."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from kubelet.log_reader import LogOptions, options_from, read_log


def line(number: int, text: str, flag: str = "F") -> str:
    return f"2026-11-24T03:00:{number:02d}.000000001Z stdout {flag} {text}\n"


def read(path: Path, **query: str) -> str:
    return b"".join(read_log(path, options_from(query), lambda: True)).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text("".join(line(n, f"line {n}") for n in range(10)))
    return path


def test_lines_come_as_they_were_written(log: Path) -> None:
    assert read(log).splitlines() == [f"line {n}" for n in range(10)]


def test_timestamps_stand_before_each_line(log: Path) -> None:
    assert read(log, timestamps="true").startswith("2026-11-24T03:00:00.000000001Z line 0\n")


@pytest.mark.parametrize("count", [0, 1, 3, 10, 50])
def test_the_last_lines_are_found_from_the_end(log: Path, count: int) -> None:
    expected = [f"line {n}" for n in range(10)][10 - min(count, 10) :]
    assert read(log, tailLines=str(count)).splitlines() == expected


def test_the_tail_reaches_back_into_rotated_files(log: Path) -> None:
    log.rename(f"{log}.20261124-030010")
    log.write_text(line(10, "line 10"))
    assert read(log, tailLines="3").splitlines() == ["line 8", "line 9", "line 10"]
    assert len(read(log).splitlines()) == 11


def test_the_tail_of_a_log_larger_than_one_block(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("".join(line(n % 60, f"{n} " + "x" * 100) for n in range(5000)))
    found = read(path, tailLines="1500").splitlines()
    assert [int(text.split()[0]) for text in found] == list(range(3500, 5000))


def test_since_a_time_and_a_limit_of_bytes(log: Path) -> None:
    assert read(log, sinceTime="2026-11-24T03:00:08Z").splitlines() == ["line 8", "line 9"]
    assert read(log, limitBytes="9") == "line 0\nli"


def test_a_line_in_parts_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text(line(1, "half ", "P") + line(2, "whole"))
    assert read(path) == "half whole\n"
    assert read(path, timestamps="true").count("Z ") == 1


def test_following_sees_new_lines_and_rotation_and_ends_with_the_container(log: Path) -> None:
    over = threading.Event()
    found: list[bytes] = []
    follower = threading.Thread(
        target=lambda: found.extend(read_log(log, LogOptions(follow=True), over.is_set))
    )
    follower.start()
    with open(log, "a") as file:
        file.write(line(11, "more"))
    log.rename(f"{log}.20261124-030010")
    log.write_text(line(12, "after rotation"))
    over.set()
    follower.join(timeout=10)
    assert not follower.is_alive()
    assert b"".join(found).decode().splitlines()[-2:] == ["more", "after rotation"]


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        options_from({"tailLines": "many"})
