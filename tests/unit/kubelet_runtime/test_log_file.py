"""The CRI log format, record by record."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from kubelet.runtime.log_file import RECORD_MAX_BYTES, LogFile


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "0.log")


def records(path: str) -> list[str]:
    return [line.split(" ", 1)[1] for line in Path(path).read_text().splitlines()]


def open_log(path: str) -> LogFile:
    log = LogFile(path)
    log.open()
    return log


def test_whole_lines_are_written_at_once_and_beginnings_are_held(path: str) -> None:
    log = open_log(path)
    assert log.feed("stdout", b"one\ntw")
    assert records(path) == ["stdout F one"]
    assert not log.feed("stdout", b"o\n")
    assert records(path) == ["stdout F one", "stdout F two"]
    log.close()


def test_streams_do_not_mix_their_lines(path: str) -> None:
    log = open_log(path)
    log.feed("stdout", b"o")
    log.feed("stderr", b"e\n")
    log.feed("stdout", b"ut\n")
    assert records(path) == ["stderr F e", "stdout F out"]
    log.close()


def test_flush_writes_what_is_held_as_partial(path: str) -> None:
    log = open_log(path)
    log.feed("stdout", b"beginning ")
    log.flush()
    log.flush()
    log.feed("stdout", b"end\n")
    assert records(path) == ["stdout P beginning ", "stdout F end"]
    log.close()


@pytest.mark.parametrize("size", [RECORD_MAX_BYTES, RECORD_MAX_BYTES + 1, 3 * RECORD_MAX_BYTES + 5])
def test_long_lines_are_cut_and_add_up(path: str, size: int) -> None:
    log = open_log(path)
    log.feed("stdout", b"x" * size + b"\n")
    found = [record.split(" ", 2) for record in records(path)]
    assert "".join(text for _, _, text in found) == "x" * size
    assert [tag for _, tag, _ in found] == ["P"] * (len(found) - 1) + ["F"]
    assert max(len(text) for _, _, text in found) <= RECORD_MAX_BYTES
    log.close()


def test_empty_lines_and_odd_bytes_are_kept(path: str) -> None:
    log = open_log(path)
    log.feed("stdout", b"\n\r\n\xff\x00\n")
    texts = [line.split(b" ", 3)[3] for line in Path(path).read_bytes().split(b"\n")[:-1]]
    assert texts == [b"", b"\r", b"\xff\x00"]
    log.close()


def test_the_time_is_rfc_3339_with_nanoseconds(path: str) -> None:
    log = open_log(path)
    log.feed("stdout", b"x\n")
    first = Path(path).read_text().split(" ")[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z", first)
    log.close()


def test_reopen_goes_on_in_a_new_file(path: str) -> None:
    log = open_log(path)
    log.feed("stdout", b"old\n")
    os.rename(path, f"{path}.1")
    log.reopen()
    log.feed("stdout", b"new\n")
    assert (records(f"{path}.1"), records(path)) == (["stdout F old"], ["stdout F new"])
    log.close()


def test_what_a_full_disk_has_lost_is_told_when_there_is_room(path: str, tmp_path: Path) -> None:
    log = open_log("/dev/full")
    log.feed("stdout", b"lost\n")
    log.path = path
    log.reopen()
    log.feed("stdout", b"kept\n")
    said = records(path)
    assert re.fullmatch(r"stderr F podium: \d+ bytes of log could not be written", said[0])
    assert said[1:] == ["stdout F kept"]
    log.close()


def test_without_a_path_nothing_is_written() -> None:
    log = open_log("")
    log.feed("stdout", b"x\n")
    log.close()
