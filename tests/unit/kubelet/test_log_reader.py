"""Logs: tail, since, limits, rotated files, and following without polling."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kubelet.log_follower import Exits, LogFollower
from kubelet.log_reader import BLOCK, LogOptions, options_from, read_log
from kubelet.log_rotation import rotate_logs
from tests.support.fake_runtime import FakeRuntime
from tests.support.waiting import eventually
from tests.unit.kubelet.containers import a_status

MAX_FILES = 5


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "0.log"


def append(path: Path, *lines: str, second: int = 0, tag: str = "F") -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(
            f"2026-11-24T01:02:{second:02}.123456789Z stdout {tag} {line}\n" for line in lines
        )


def text(path: Path, **options: str) -> str:
    return b"".join(read_log(path, options_from(options))).decode()


def test_a_log_is_read_as_it_was_written(log: Path) -> None:
    append(log, "one", "", "two  words")
    assert text(log) == "one\n\ntwo  words\n"


def test_parts_of_a_long_line_are_joined(log: Path) -> None:
    append(log, "a" * 10, tag="P")
    append(log, "b")
    assert text(log) == "aaaaaaaaaab\n"
    assert text(log, timestamps="true") == f"2026-11-24T01:02:00.123456789Z {'a' * 10}b\n"


@pytest.mark.parametrize("wanted", [0, 1, 3, 5000])
def test_the_last_lines_are_found_from_the_end(log: Path, wanted: int) -> None:
    lines = [f"line {number}" for number in range(3 * BLOCK // 50)]
    append(log, *lines)
    expected = lines[-wanted:] if wanted else []
    assert text(log, tailLines=str(wanted)).splitlines() == expected


def test_the_tail_goes_back_into_rotated_files(log: Path) -> None:
    append(log.with_name("0.log.20261124-010203.000001"), "a", "b")
    append(log.with_name("0.log.20261124-020304.000001"), "c")
    append(log, "d")
    assert text(log, tailLines="3") == "b\nc\nd\n"
    assert text(log) == "a\nb\nc\nd\n"


def test_since_leaves_out_what_is_older(log: Path) -> None:
    append(log, "old", second=10)
    append(log, "new", second=20)
    assert text(log, sinceTime="2026-11-24T01:02:15Z") == "new\n"
    assert text(log, sinceTime="2026-11-24T02:02:15+01:00") == "new\n"
    assert text(log, sinceSeconds="1000000000") == "old\nnew\n"


def test_a_limit_cuts_in_the_middle_of_a_line(log: Path) -> None:
    append(log, "abcdef", "ghi")
    assert text(log, limitBytes="8") == "abcdef\ng"


def test_a_line_that_is_being_written_is_left_for_later(log: Path) -> None:
    append(log, "whole")
    with open(log, "a", encoding="utf-8") as file:
        file.write("2026-11-24T01:02:00.123456789Z stdout F ha")
    assert text(log) == "whole\n"


def test_a_log_that_is_not_there_is_empty(log: Path) -> None:
    assert text(log) == ""


def test_a_number_that_is_none_is_refused(log: Path) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        options_from({"tailLines": "many"})


# ---- following ----------------------------------------------------------------------------------


class Followed:
    """A log that is read in a thread while the test goes on."""

    def __init__(self, path: Path, reader_fd: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self.exits = Exits()
        self.is_over = False
        self._path, self._reader_fd = path, reader_fd
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        with LogFollower(
            self._path.parent, "id", lambda: self.is_over, self.exits, self._reader_fd
        ) as follower:
            self.pieces.extend(read_log(self._path, LogOptions(), follower))

    @property
    def text(self) -> str:
        return b"".join(self.pieces).decode()

    def end(self) -> None:
        self.is_over = True
        self.exits.tell("id")
        self.join()

    def join(self) -> None:
        self._thread.join(5)
        assert not self._thread.is_alive()


@pytest.fixture
def followed(log: Path) -> Iterator[Followed]:
    append(log, "first")
    found = Followed(log)
    yield found
    found.end()


def test_what_comes_is_read_as_it_comes(log: Path, followed: Followed) -> None:
    eventually(lambda: followed.text == "first\n")
    append(log, "second")
    eventually(lambda: followed.text == "first\nsecond\n")


def test_a_followed_log_goes_on_in_the_file_after_its_rotation(
    log: Path, followed: Followed
) -> None:
    eventually(lambda: followed.text)
    log.rename(f"{log}.20261124-010203.000001")
    append(log, "second")
    eventually(lambda: followed.text == "first\nsecond\n")


def test_following_ends_at_once_when_the_container_has_ended(log: Path, followed: Followed) -> None:
    eventually(lambda: followed.text)
    began = time.monotonic()
    append(log, "last words")
    followed.end()
    assert followed.text == "first\nlast words\n"
    assert time.monotonic() - began < 2


def test_following_ends_when_the_reader_has_gone(log: Path) -> None:
    ours, theirs = os.pipe()
    found = Followed(log, reader_fd=ours)
    os.close(theirs)
    found.join()
    os.close(ours)


# ---- rotation -----------------------------------------------------------------------------------


def test_large_logs_are_rotated_and_the_oldest_go(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = FakeRuntime()
    reopened: list[str] = []
    monkeypatch.setattr(runtime, "list_containers", lambda: [a_status(log_path=str(log))])
    monkeypatch.setattr(runtime, "reopen_log", reopened.append)
    for number in range(MAX_FILES + 2):
        append(log, f"line {number}")
        assert rotate_logs(runtime, 10, MAX_FILES) == 1
    append(log, "now")
    assert len(reopened) == MAX_FILES + 2
    packed = [path.suffix for path in log.parent.iterdir()].count(".gz")
    assert (len(list(log.parent.iterdir())), packed) == (MAX_FILES, MAX_FILES - 2)
    kept = [f"line {number}" for number in range(3, MAX_FILES + 2)]
    assert text(log).splitlines() == [*kept, "now"]
    assert text(log, tailLines="4").splitlines() == [*kept[-3:], "now"]


def test_small_logs_and_ended_containers_are_left_alone(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = FakeRuntime()
    append(log, "a line")
    ended = a_status(log_path=str(log), state="exited")
    monkeypatch.setattr(runtime, "list_containers", lambda: [ended])
    assert rotate_logs(runtime, 1, MAX_FILES) == 0
