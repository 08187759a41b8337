"""How a moment of the cluster's past is said: a revision, a time, or how long ago. Pure.

812     2026-11-25T23:40:00Z     2026-11-25T23:40:00.125+01:00     5m ago     1h30m ago     now
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_AGO = re.compile(r"(\S+)\s+ago")
# In a URL "+" means a blank: "…T23:40:00 01:00" was meant as "…+01:00".
_EATEN_PLUS = re.compile(r"(T\S+) (\d\d:\d\d)")
_LONGEST_S = 366 * 100 * UNITS_S["d"]


def parse_moment(text: str, now: datetime) -> int | datetime:
    """A revision, or a time with a zone; raises ValueError that says what can be said."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return int(text)
    if text == "now":
        return now
    if ago := _AGO.fullmatch(text):
        return now - timedelta(seconds=parse_duration(ago[1]))
    return _time(text)


def _time(text: str) -> datetime:
    wrong = ValueError(
        f'"{text}" is neither a revision (812), nor a time (2026-11-25T23:40:00Z), nor how long '
        f'ago (5m ago)'
    )  # fmt: skip
    try:
        moment = datetime.fromisoformat(_EATEN_PLUS.sub(r"\1+\2", text).replace("Z", "+00:00"))
    except ValueError:
        raise wrong from None
    if moment.tzinfo is None:
        raise ValueError(f'"{text}" has no time zone: write {text}Z for UTC')
    return moment.astimezone(UTC)


def parse_duration(text: str) -> float:
    """Seconds of "90s", "1h30m", "7d"; raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(f'"{text}" is no duration such as 90s, 5m, 1h30m or 7d')
    seconds = sum(float(number) * UNITS_S[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST_S:
        raise ValueError(f'"{text}" is longer than a century')
    return seconds
