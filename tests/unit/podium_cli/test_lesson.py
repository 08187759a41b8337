"""`podium lesson` where there is no cluster, and what it says to a word it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from podium.cli.main import podium


def lesson(tmp_path: Path, *words: str) -> Result:
    return CliRunner().invoke(podium, ["--data-dir", str(tmp_path), "lesson", *words])


def test_a_lesson_is_shown_without_a_cluster(tmp_path: Path) -> None:
    done = lesson(tmp_path, "1")
    assert done.exit_code == 0
    assert done.output.startswith("1. A process\n")
    assert "\n  $ kubectl create namespace lesson-1\n" in done.output


def test_the_list_is_shown_without_a_cluster(tmp_path: Path) -> None:
    done = lesson(tmp_path)
    assert done.exit_code == 0
    assert "1     A process" in done.output
    assert "there is no cluster here" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("99",), "there is no lesson 99; the lessons are 1 to"),
        (("check", "0"), "there is no lesson 0; the lessons are 1 to"),
        (("check", "one"), 'told by its number, 1 to 10, not "one"'),
        (("chekc", "1"), '"chekc" is neither a lesson\'s number nor show, predict, check, clean'),
        (("predict", "1", "z"), 'lesson 1 takes a, b or c, not "z"'),
        (("check", "1"), "there is no cluster here"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    done = lesson(tmp_path, *words)
    assert done.exit_code != 0
    assert message in done.output
