"""Room podium/api: ids of W3C Trace Context and the time of spans, for both sides of the wire."""

from __future__ import annotations

import random
import time

SPANS = "/podium/v1/spans"  # where they are told
COMMAND = "podium-"  # so begin the names of commands' spans, as writes say them: podium-apply


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def new_trace_id() -> str:
    """32 hexadecimal digits, never all zero."""
    return f"{random.getrandbits(128) or 1:032x}"


def new_span_id() -> str:
    """16 hexadecimal digits, never all zero."""
    return f"{random.getrandbits(64) or 1:016x}"
