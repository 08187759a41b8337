"""What the objects of a LIST were last changed by, behind its items, for who asks for it.

Room apiserver; called by verbs.py. A client that lists anew after a crash so learns what to react
to; it asks with a header, in a LIST and in a WATCH, and everybody else gets what they always got,
byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apiserver import cause_log
from apiserver.storage import Page, Store


def are_wanted(environ: dict[str, Any]) -> bool:
    """`Podium-Causes: true`"""
    return environ.get("HTTP_PODIUM_CAUSES") == "true"


class ListedCauses:
    """The pages of one LIST, remembering which revisions went by."""

    def __init__(self, store: Store, pages: Iterator[Page]) -> None:
        self._store, self._pages = store, pages
        self._revisions: list[int] = []

    def __iter__(self) -> Iterator[Page]:
        return self

    def __next__(self) -> Page:
        page = next(self._pages)
        self._revisions += [record.rv for record in page.records]
        return page

    def behind(self, body: bytes | Iterator[bytes]) -> bytes | Iterator[bytes]:
        """The LIST's JSON object with a member more: "causes"."""
        if isinstance(body, bytes):
            return body[:-1] + self._member()
        return self._streamed(body)

    def _streamed(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        held = b""
        for piece in pieces:
            if held:
                yield held
            held = piece
        yield held[:-1] + self._member()

    def _member(self) -> bytes:
        found = self._store.read(lambda c: cause_log.of_revisions(c, self._revisions))
        return b',"causes":' + found + b"}"
