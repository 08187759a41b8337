"""How much of the past a cluster keeps: "24h,100000", by age and by the number of changes. Pure.

Said to `podium up --history`, kept in cluster.json, heeded by the API server. Whatever is said, the
last ten minutes stay: a watch that was cut off for less goes on where it was.
"""

from __future__ import annotations

from dataclasses import dataclass

from podium.api.moments import parse_duration

KEPT_FOR_WATCHES_S = 600.0
FEWEST, MOST = 1_000, 100_000_000
_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class HistoryLimit:
    """A change is kept while it is younger than `age_s` and among the newest `changes`."""

    age_s: float = 86400.0
    changes: int = 100_000

    def __str__(self) -> str:
        unit, seconds = next(u for u in _UNITS if self.age_s % u[1] == 0)
        return f"{int(self.age_s // seconds)}{unit},{self.changes}"


DEFAULT = HistoryLimit()


def parse_history_limit(text: str) -> HistoryLimit:
    """Of "24h,100000", "7d" or "50000" (the other one is the default's); raises ValueError."""
    age_s, changes = DEFAULT.age_s, DEFAULT.changes
    for part in text.split(","):
        word = part.strip()
        if word.isascii() and word.isdigit():
            changes = _checked_changes(int(word))
        else:
            age_s = _checked_age(word)
    return HistoryLimit(age_s, changes)


def _checked_changes(changes: int) -> int:
    if not FEWEST <= changes <= MOST:
        raise ValueError(f"a history of {changes} changes: must be between {FEWEST} and {MOST}")
    return changes


def _checked_age(text: str) -> float:
    age_s = float(int(parse_duration(text)))
    if age_s < KEPT_FOR_WATCHES_S:
        raise ValueError(f"a history of {text} is too short: must be at least 10m")
    return age_s
