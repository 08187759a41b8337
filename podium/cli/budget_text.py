"""Room podium/cli: a Pod's start-up budget as lines of `podium describe pod`. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

BAR_WIDTH = 40


def budget_lines(budget: Object) -> Iterator[str]:
    """The phases as bars from the Pod's creation to Ready, and the sum against the objective."""
    yield "Start-up:"
    whole = budget["readyMs"]
    phases = budget["phases"]
    scale = whole or max((p["startMs"] + p["durationMs"] for p in phases), default=1.0)
    for phase in phases:
        indent = "  " if "isPartOf" in phase else ""
        name = " ".join(filter(None, (indent + phase["name"], phase.get("container"))))
        yield (f"  {name:<22}{phase['startMs']:>9,.1f} +{phase['durationMs']:>8,.1f} ms  "
               f"{_bar(phase, scale)}".rstrip())  # fmt: skip
    if whole is None:
        yield "  not Ready yet"
        return
    yield f"  {'the rest':<22}{'':>9} +{budget['restMs']:>8,.1f} ms  between these"
    counted, objective = budget["countedMs"], budget["objectiveMs"]
    kept = "within" if budget["isWithinObjective"] else "beyond"
    yield (f"  Ready after {whole:,.1f} ms; {counted:,.1f} ms without images: {kept} Kubernetes' "
           f"{objective / 1000:g} s ({counted / objective:.1%})")  # fmt: skip


def _bar(phase: Object, scale: float) -> str:
    before = max(0, int(phase["startMs"] / scale * BAR_WIDTH))
    length = max(1, int(phase["durationMs"] / scale * BAR_WIDTH))
    before = min(before, BAR_WIDTH - 1)
    return " " * before + "▇" * min(length, BAR_WIDTH - before)
