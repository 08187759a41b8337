"""The page's own files, under an address that changes with their content. Room apiserver/ui.

So a browser keeps them for good and asks for none of them twice, and never mixes two versions.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

STATIC = Path(__file__).parent / "static"
_DIGEST_LENGTH = 12


@cache
def digest() -> str:
    """Of all files; read once, when the page is first asked for."""
    found = hashlib.sha256()
    for path in sorted(STATIC.rglob("*")):
        if path.is_file():
            found.update(str(path.relative_to(STATIC)).encode() + b"\0" + path.read_bytes())
    return found.hexdigest()[:_DIGEST_LENGTH]


def static_url() -> str:
    return f"/ui/static/{digest()}"


@cache
def modules_of_first_paint() -> list[str]:
    """Scripts that the page always needs: told in its head, so that none waits for another."""
    always = ("shell", "api", "world", "widgets", "cluster")
    found = (path for room in always for path in (STATIC / room).glob("*.js"))
    return ["main.js", *sorted(str(path.relative_to(STATIC)) for path in found)]
