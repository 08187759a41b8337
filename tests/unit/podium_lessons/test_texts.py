"""The lessons' texts: complete, narrow enough for a terminal, and true about the command."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from podium.cli.main import VERBS
from podium.lessons.path import TEXTS, Lesson, UnknownLesson, lesson, lessons
from podium.lessons.terminal import COLUMNS, render

HOUSE = Path(__file__).parents[3]
each_lesson = pytest.mark.parametrize("lesson", lessons(), ids=lambda one: one.file)


@each_lesson
def test_a_lesson_asks_shows_checks_and_cleans(lesson: Lesson) -> None:
    assert lesson.text.startswith(f"# {lesson.number}. {lesson.title}\n")
    assert lesson.answers == ["a", "b", "c"]
    commands = "\n".join(lesson.commands)
    assert f"podium lesson predict {lesson.number} a    # or b, or c" in commands
    last = f"podium lesson check {lesson.number}\npodium lesson clean {lesson.number}\n"
    assert lesson.commands[-1] == last
    assert "## Questions to go on with" in lesson.text


@each_lesson
def test_a_lesson_has_its_checks(lesson: Lesson) -> None:
    assert callable(lesson.checks().check)
    assert callable(lesson.checks().outcome)


@each_lesson
def test_a_lesson_fits_a_terminal(lesson: Lesson) -> None:
    lines = list(render(lesson.text, is_bold=False))
    assert [line for line in lines if len(line) > COLUMNS] == []
    prose = "\n".join(line for line in lines if not line.startswith(("  $", "  >")))
    assert [mark for mark in ("**", "](", "```", "`") if mark in prose] == []


@each_lesson
def test_a_lesson_names_only_verbs_that_there_are(lesson: Lesson) -> None:
    used = re.findall(r"\bpodium (?:-n \S+ )?([a-z][a-z-]+)", "\n".join(lesson.commands))
    assert set(used) <= set(VERBS)


def test_every_text_is_on_the_path_and_in_the_readme() -> None:
    on_the_path = {one.file for one in lessons()}
    assert {path.name for path in TEXTS.glob("[0-9]*.md")} == on_the_path
    readme = (TEXTS / "README.md").read_text()
    assert re.findall(r"\((\d\d-[a-z-]+\.md)\)", readme) == [one.file for one in lessons()]


def test_the_texts_are_packed_into_a_wheel() -> None:
    project = tomllib.loads((HOUSE / "pyproject.toml").read_text())
    assert "lessons/texts/*" in project["tool"]["setuptools"]["package-data"]["podium"]
    assert TEXTS.resolve() == HOUSE / "docs" / "lessons"


@pytest.mark.parametrize("number", [-1, 0, len(lessons()) + 1])
def test_an_unknown_number_is_told_with_those_there_are(number: int) -> None:
    with pytest.raises(UnknownLesson, match=f"lessons are 1 to {len(lessons())}"):
        lesson(number)


def test_commands_have_prompts_and_here_documents_go_on() -> None:
    text = "```sh\ncat <<'END' | wc\na:\n  b\nEND\necho a \\\n  b\n```\n"
    assert list(render(text, is_bold=False)) == [
        "  $ cat <<'END' | wc",
        "  > a:",
        "  >   b",
        "  > END",
        "  $ echo a \\",
        "  >   b",
        "",
    ]


def test_paragraphs_are_filled_and_links_are_written_out() -> None:
    text = "One *two*\n**three** [four](five.md) `six`.\n"
    assert list(render(text, is_bold=False)) == ["One two three four (five.md) six.", ""]
