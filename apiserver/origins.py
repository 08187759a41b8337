"""Who makes a change and what it reacts to, as its request says. Room apiserver.

Set by routes.py for each request that may write, read by storage.py when it writes. A request says
it in W3C Trace Context's two headers (https://www.w3.org/TR/trace-context/):

    traceparent: 00-<trace id>-<id of the span that writes>-01
    tracestate: podium=<loop>/<when the span began, in microseconds>/<revision>.<revision>

The second one is ours: from it alone the span can be shown although its process was killed before
it could tell of it. A request that says nothing begins a trace.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from podium.api.trace_context import now_us

ACTOR_MAX, MANAGER_MAX = 255, 128
REACTED_TO_MAX = 16  # revisions that one span may say

_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_STATE = re.compile(r"(?:^|,)\s*podium=([A-Za-z0-9_.-]{0,64})/(\d{1,17})/((?:\d{1,18}\.?)*)")
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a writer. Empty texts and 0 where nothing is."""

    actor: str
    manager: str = ""
    subresource: str = ""
    trace_id: str = ""
    parent_id: str = ""
    loop: str = ""
    began_us: int = 0  # of the span that writes
    reacted_to: str = ""  # revisions, the first is the one that counts: "812.809"
    arrived_us: int = 0  # when the request came


SERVER = Origin("system:apiserver", "apiserver")

current: ContextVar[Origin] = ContextVar("origin", default=SERVER)


def origin_of(environ: dict[str, Any], actor: str, manager: str, subresource: str) -> Origin:
    """From a request's headers; what cannot be read counts as not said."""
    manager = manager or environ.get("HTTP_USER_AGENT", "").partition("/")[0]
    trace_id = parent_id = loop = reacted_to = ""
    began_us = 0
    said = _PARENT.fullmatch(environ.get("HTTP_TRACEPARENT", ""))
    if said and said[1] != _NO_TRACE and said[2] != _NO_SPAN:
        trace_id, parent_id = said[1], said[2]
        if state := _STATE.search(environ.get("HTTP_TRACESTATE", "")):
            loop, began_us = state[1], int(state[2])
            reacted_to = ".".join(state[3].strip(".").split(".")[:REACTED_TO_MAX])
    manager = "".join(letter for letter in manager if letter.isprintable())
    return Origin(
        actor[:ACTOR_MAX], manager[:MANAGER_MAX], subresource, trace_id, parent_id,
        loop, began_us, reacted_to, now_us(),
    )  # fmt: skip
