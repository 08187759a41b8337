"""The path of lessons, as the page lists it. Room apiserver/ui; called by page.py.

A lesson is done in a shell on the cluster's machine; the page says how it is begun.
"""

from __future__ import annotations

import re
from functools import cache

from podium.lessons.path import Lesson, lessons

_MARKS = re.compile(r"[*`]|\[([^]]*)\]\([^)]*\)")


@cache
def lesson_list() -> dict[str, object]:
    """{"kind": "LessonList", …, "items": [{"number": 1, "title": "A process", "about": "…"}]}"""
    items = [{"number": one.number, "title": one.title, "about": _about(one)} for one in lessons()]
    return {"kind": "LessonList", "apiVersion": "podium.dev/v1", "items": items}


def _about(lesson: Lesson) -> str:
    """The text's first paragraph, without its Markdown."""
    paragraph = lesson.text.split("\n\n", 2)[1]
    return _MARKS.sub(lambda found: found[1] or "", " ".join(paragraph.split()))
