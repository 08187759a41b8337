"""What a registry asks for when it says 401: `WWW-Authenticate: Bearer realm="…",service="…"`.
Pure.

Room kubelet/images. Source: RFC 9110, section 11.6.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

_SCHEME = re.compile(r"\s*,?\s*([A-Za-z][\w-]*)(?=\s|,|$)(?!\s*=)")
_PARAMETER = re.compile(r'\s*,?\s*([A-Za-z][\w-]*)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')


@dataclass(frozen=True)
class Challenge:
    """`scheme` is in lower case: "bearer", "basic"."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


def read_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Of every WWW-Authenticate header, in order; what makes no sense is left out."""
    found = []
    for header in headers:
        place = 0
        while match := _SCHEME.match(header, place):
            place = match.end()
            parameters = {}
            while each := _PARAMETER.match(header, place):
                place = each.end()
                quoted = re.sub(r"\\(.)", r"\1", each[2]) if each[2] is not None else each[3]
                parameters[each[1].lower()] = quoted
            found.append(Challenge(match[1].lower(), parameters))
    return found
