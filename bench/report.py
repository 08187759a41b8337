"""The rows that were measured, as a table and as a chart."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

VERDICTS = {
    "aim": "reaches the aim",
    "must": "reaches the must",
    "short": "FALLS SHORT",
    "free": "",
}
COLOURS = {"aim": "#0b7a43", "must": "#2457d6", "short": "#b42318"}
LONGEST = 100.0  # times better, of a bar: what is nothing would have no end
HEAD = ("", "unit", "Podium", "least-most", "bare", "x bare", "others", "must reach", "aims at", "")


@dataclass
class Row:
    """One line. `samples` are single runs; `bare` None where nothing bare does the same, `must` and
    `aim` where nobody has said what they should be."""

    name: str
    unit: str
    samples: list[float]
    must: float | None
    aim: float | None
    bare: float | None = None
    kubernetes: float | None = None  # recorded, the middle of what `others` says
    others: str = "-"
    more_is_better: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def podium(self) -> float:
        return statistics.median(self.samples)

    @property
    def verdict(self) -> str:
        if self.must is None:
            return "free"
        for word, bound in (("aim", self.aim), ("must", self.must)):
            if bound is not None and self.is_better_or_equal(self.podium, bound):
                return word
        return "short"

    def is_better_or_equal(self, value: float, bound: float) -> bool:
        return value >= bound if self.more_is_better else value <= bound

    def times_better_than_must(self, value: float) -> float:
        assert self.must is not None
        return value / self.must if self.more_is_better else self.must / value

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            self.unit,
            number(self.podium),
            f"{number(min(self.samples))}-{number(max(self.samples))}",
            "-" if self.bare is None else number(self.bare),
            f"{self.podium / self.bare:.2g}" if self.bare else "-",
            self.others,
            "-" if self.must is None else number(self.must),
            "-" if self.aim is None else number(self.aim),
            VERDICTS[self.verdict],
        )


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(rows: list[Row]) -> str:
    lines = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    drawn = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    notes = [f"  {row.name}: {note}" for row in rows for note in row.notes]
    return "\n".join(
        [
            *drawn,
            "",
            "K8s*: recorded, other run, same kind of machine (Kubernetes 1.20, containerd 1.6).",
            "bare: the same work without Podium, measured in this run:",
            *notes,
        ]
    )


def as_json(rows: list[Row]) -> list[dict[str, Any]]:
    return [asdict(row) | {"podium": row.podium, "verdict": row.verdict} for row in rows]


def chart(rows: list[Row], title: str, path: Path) -> None:
    """How many times better than must be, on a logarithmic scale; nothing is drawn for zero."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    rows = [row for row in rows if row.must is not None]
    if not rows:
        return
    figure, axes = plt.subplots(figsize=(10.5, 0.62 * len(rows) + 1.8))
    places = list(range(len(rows)))
    lengths = [min(row.times_better_than_must(row.podium or 1e-9), LONGEST) for row in rows]
    axes.barh(places, lengths, height=0.5, color=[COLOURS[row.verdict] for row in rows])
    marks: tuple[tuple[str, str, str, Callable[[Row], float | None]], ...] = (
        ("aims at", "D", "#14181f", lambda row: row.aim),
        ("bare", "|", "#14181f", lambda row: row.bare),
        ("Kubernetes, recorded", "X", "#8a4b08", lambda row: row.kubernetes),
    )
    for label, marker, colour, value_of in marks:
        found = [
            (row.times_better_than_must(v), at)
            for at, row in enumerate(rows)
            if (v := value_of(row))
        ]
        if found:
            across, down = zip(*found, strict=True)
            edge: dict[str, Any] = (
                {} if marker == "|" else {"edgecolors": "white", "linewidths": 0.8}
            )
            size = 190 if marker == "|" else 60
            axes.scatter(
                across, down, marker=marker, s=size, color=colour, label=label, zorder=3, **edge
            )
    axes.axvline(1, color="#14181f", linewidth=1.2, label="must reach")
    labels = [f"{row.name}\n{number(row.podium)} {row.unit}" for row in rows]
    axes.set_yticks(places, labels, fontsize=9)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("times better than must be reached (longer is better)")
    axes.set_title(title, fontsize=11)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False, fontsize=9)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(path, dpi=140, bbox_inches="tight")
