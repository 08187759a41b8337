"""Room podium/lessons: which lessons there are, in which order, and where their texts lie.

docs/lessons/index.toml is the only place that knows: a new lesson is an entry there, a Markdown
file beside it and a module in checks/.
"""

from __future__ import annotations

import functools
import importlib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

TEXTS = Path(__file__).parent / "texts"  # a link to docs/lessons, and packed as files into a wheel


class UnknownLesson(LookupError):
    """There is no lesson of this number; the message says which there are."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """One step of the path; `number` is its place in the index."""

    number: int
    file: str
    checks_name: str

    @property
    def namespace(self) -> str:
        """Where all that the learner makes lives: "lesson-3"."""
        return f"lesson-{self.number}"

    @property
    def text(self) -> str:
        """The Markdown."""
        return (TEXTS / self.file).read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        """The text's first line without its number: "A process"."""
        return re.sub(r"^# \d+\. ", "", self.text.partition("\n")[0])

    @property
    def answers(self) -> list[str]:
        """The letters that a prediction may have: ["a", "b", "c"]."""
        return re.findall(r"^- \*\*([a-z])\*\* ", self.text, re.MULTILINE)

    @property
    def commands(self) -> list[str]:
        """What is in the text's ```sh blocks, in order."""
        return re.findall(r"^```sh\n(.*?)^```$", self.text, re.MULTILINE | re.DOTALL)

    def checks(self) -> ModuleType:
        """The module with `check(world)`, `outcome(world)` and perhaps `clean(world)`."""
        return importlib.import_module(f"podium.lessons.checks.{self.checks_name}")


@functools.cache
def lessons() -> tuple[Lesson, ...]:
    """All of them, in order."""
    index = tomllib.loads((TEXTS / "index.toml").read_text(encoding="utf-8"))
    entries = enumerate(index["lesson"], start=1)
    return tuple(Lesson(number, entry["text"], entry["checks"]) for number, entry in entries)


def lesson(number: int) -> Lesson:
    """The lesson of a number; raises UnknownLesson."""
    if not 1 <= number <= len(lessons()):
        raise UnknownLesson(f"there is no lesson {number}; the lessons are 1 to {len(lessons())}")
    return lessons()[number - 1]
