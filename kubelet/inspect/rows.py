"""A row that no cgroup holds: a field of the spec, what was asked, and what /proc says of it now.

Room kubelet/inspect; pure. `call` is the system call or message that brought it about.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def row(
    field: str, asked: Any, file: str, call: str, live: str, *, usage: Object | None = None
) -> Object:
    return {
        "field": field, "asked": text(asked), "file": file, "call": call, "hierarchy": "",
        "live": live, "usage": usage,
    }  # fmt: skip


def text(asked: Any) -> str:
    if asked is None or asked in ([], {}):
        return ""
    if isinstance(asked, bool):
        return "true" if asked else "false"
    if isinstance(asked, list):
        return " ".join(map(str, asked))
    if isinstance(asked, dict):
        return ", ".join(f"{name}: {text(value)}" for name, value in asked.items())
    return str(asked)
