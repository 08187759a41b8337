"""Room podium/lessons: a lesson's Markdown for a terminal of 80 columns.

Only what the lessons use: headings, paragraphs, lists, tables, fenced blocks, `code`, **bold** and
links. Commands get a prompt; what continues one (a here-document, a line after a backslash) gets >.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

COLUMNS = 80
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
_HERE_DOCUMENT = re.compile(r"<<-?\s*'?(\w+)'?")
_LIST_ITEM = re.compile(r"^(- |\d+\. )")


def render(markdown: str, *, is_bold: bool) -> Iterator[str]:
    """The lines to print; `is_bold`: whether the terminal may be told to print bold."""
    paragraph: list[str] = []
    fence: list[str] | None = None  # the lines of a fenced block, its language first
    for line in [*markdown.splitlines(), ""]:
        if fence is not None:
            if line == "```":
                yield from _block(fence[0], fence[1:])
                fence = None
            else:
                fence.append(line)
            continue
        starts_anew = line == "" or line.startswith(("#", "```", "|")) or _LIST_ITEM.match(line)
        if starts_anew and paragraph:
            yield from _paragraph(" ".join(paragraph), is_bold)
            paragraph = []
        if line.startswith("```"):
            fence = [line[3:]]
        elif line.startswith("#"):
            yield _bold(_inline(line.lstrip("# ")), is_bold)
        elif line.startswith("|"):
            yield from _table_row(line)
        elif line:
            paragraph.append(line.strip())
        else:
            yield ""


def _paragraph(text: str, is_bold: bool) -> Iterator[str]:
    item = _LIST_ITEM.match(text)
    hanging = " " * len(item[0]) if item else ""
    for line in textwrap.wrap(
        _inline(text),
        COLUMNS,
        subsequent_indent=hanging,
        break_long_words=False,
        break_on_hyphens=False,
    ):
        yield re.sub(r"^- ([a-z]) ", rf"- {BOLD}\1{PLAIN} ", line) if is_bold else line


def _table_row(line: str) -> Iterator[str]:
    """A row's first cell, and the others indented below it: no table fits every terminal."""
    first, *others = (_inline(cell.strip()) for cell in line.strip("|").split("|"))
    if set(first) <= {"-", ":"}:
        return
    yield first
    wrap = textwrap.wrap("  →  ".join(others), COLUMNS - 4, break_on_hyphens=False)
    yield from (f"    {piece}" for piece in wrap)


def _block(language: str, lines: list[str]) -> Iterator[str]:
    """A fenced block; with a prompt before each command if it is to be typed."""
    if language != "sh":
        yield from (f"    {line}" for line in lines)
        return
    end: str | None = None  # of the here-document that we are in
    continues = False
    for line in lines:
        if end:
            yield f"  > {line}".rstrip()
            end = None if line == end else end
            continue
        continues = continues or line.startswith(" ") or line in ("}", "done", "fi")
        yield f"  {'>' if continues else '$'} {line}".rstrip()
        opened = _HERE_DOCUMENT.search(line)
        end = opened[1] if opened else None
        continues = line.endswith("\\")


def _inline(text: str) -> str:
    text = re.sub(r"\[([^]]+)\]\(([^)]+)\)", r"\1 (\2)", text)
    text = re.sub(r"\*\*([^*]+)\*\*", r"\1", text)
    text = re.sub(r"\*([^* ][^*]*)\*", r"\1", text)
    return text.replace("`", "")


def _bold(text: str, is_bold: bool) -> str:
    return f"{BOLD}{text}{PLAIN}" if is_bold else text
