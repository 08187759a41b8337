"""Prometheus' text format, as every `/metrics` page is written. Pure; used by all that serve one.

    family("up", "gauge", "Whether it is.", [({"pod": "web"}, 1)])
    # HELP up Whether it is.
    # TYPE up gauge
    up{pod="web"} 1

Source: Prometheus docs, "Exposition formats".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
Labels = Mapping[str, str]
Sample = tuple[Labels, float]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def family(
    name: str, kind: Kind, words: str, samples: Iterable[Sample], at_ms: int | None = None
) -> str:
    """One metric with its samples; "" without any. `at_ms`: when they were taken."""
    when = "" if at_ms is None else f" {at_ms}"
    lines = [f"{name}{_braced(labels)} {_number(value)}{when}\n" for labels, value in samples]
    return head(name, kind, words) + "".join(lines) if lines else ""


def head(name: str, kind: Kind, words: str) -> str:
    return f"# HELP {name} {words}\n# TYPE {name} {kind}\n"


def _braced(labels: Labels) -> str:
    pairs = [f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()]
    return f"{{{','.join(pairs)}}}" if pairs else ""


def _number(value: float) -> str:
    """Whole numbers without a point, so that counters of bytes stay exact."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))


class Histogram:
    """Observations of one metric, apart by labels. Not locked: an observation may be lost to
    another thread's, never the page."""

    def __init__(self, name: str, words: str, bounds: tuple[float, ...]) -> None:
        self._name, self._words, self._bounds = name, words, bounds
        self._counts: dict[tuple[tuple[str, str], ...], list[int]] = {}
        self._sums: dict[tuple[tuple[str, str], ...], float] = {}

    def observe(self, value: float, **labels: str) -> None:
        key = tuple(labels.items())
        counts = self._counts.setdefault(key, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[key] = self._sums.get(key, 0.0) + value

    def text(self) -> str:
        """The family; "" before the first observation."""
        lines = [line for key in sorted(self._counts) for line in self._lines(key)]
        return head(self._name, "histogram", self._words) + "".join(lines) if lines else ""

    def _lines(self, key: tuple[tuple[str, str], ...]) -> Iterable[str]:
        labels, total = dict(key), 0
        bounds = [*(repr(bound) for bound in self._bounds), "+Inf"]
        for bound, count in zip(bounds, list(self._counts[key]), strict=True):
            total += count
            yield f"{self._name}_bucket{_braced({**labels, 'le': bound})} {total}\n"
        yield f"{self._name}_sum{_braced(labels)} {_number(self._sums[key])}\n"
        yield f"{self._name}_count{_braced(labels)} {total}\n"


class Counter:
    """A metric that only grows, apart by labels; safe for many threads as Histogram is."""

    def __init__(self, name: str, words: str) -> None:
        self._name, self._words = name, words
        self._counts: dict[tuple[tuple[str, str], ...], float] = {}

    def add(self, amount: float = 1, **labels: str) -> None:
        key = tuple(labels.items())
        self._counts[key] = self._counts.get(key, 0) + amount

    def forget(self, **labels: str) -> None:
        """Drop what has these labels, among others."""
        gone = set(labels.items())
        for key in [key for key in list(self._counts) if gone <= set(key)]:
            del self._counts[key]

    def text(self) -> str:
        """The family; "" before anything was counted."""
        samples = [(dict(key), count) for key, count in sorted(list(self._counts.items()))]
        return family(self._name, "counter", self._words, samples)
