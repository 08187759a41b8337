"""Room podium/cli: a scheduler's record as text; used by `describe` and by `why`. Pure functions.

The record is what controllers/scheduler/reasons.py writes; what is missing or odd in it (anybody
who may annotate a Pod could have written it) is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from podium.cli.output import columns

Object = dict[str, Any]
Lines = Iterator[str]

DECISION = "scheduler.podium.dev/decision"
WIDTH = 98
_SHORT = {"NodeResourcesBalancedAllocation": "Balanced", "NodeResourcesFit": "ResourcesFit"}


def decision_of(pod: Object) -> Object | None:
    """What the scheduler has noted on a Pod; None when there is nothing that can be read."""
    text = (pod["metadata"].get("annotations") or {}).get(DECISION)
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def scheduling(decision: Object) -> Lines:
    """The lines of one decision."""
    try:
        yield from [*_outcome(decision), *_rejected(decision), *_fits(decision), *_scores(decision)]
    except (AttributeError, KeyError, TypeError, ValueError):
        yield "the record on this Pod is not one of the scheduler's"


def _outcome(decision: Object) -> Lines:
    nodes = int(decision["nodes"])
    rejected = sum(int(group["count"]) for group in decision.get("rejected", ()))
    if decision["result"] == "Bound":
        yield (
            f"{decision['node']}: best of {nodes - rejected} that would do, "
            f"out of {_count(nodes, 'node')}"
        )
    elif decision.get("message"):
        yield f"no node: {decision['message']}"
    else:
        yield f"no node: none of {_count(nodes, 'node')} would do"
    if room := decision.get("preempting"):
        yield f"making room on {room['node']}: {_count(room['count'], 'Pod')} of lower priority go"


def _rejected(decision: Object) -> Lines:
    groups = decision.get("rejected") or ()
    if groups:
        yield "Not on:"
    for group in groups:
        name = f"{group['filter']}: " if group["filter"] else ""
        yield f"  {_count(group['count'], 'node')}: {name}{group['reason']}"
        for node in group["nodes"]:
            yield from _wrapped(f"    {node['name']}: ", "; ".join(node["why"]))
        hidden = int(group["count"]) - len(group["nodes"])
        if hidden and group["nodes"]:
            yield f"    and {hidden} more"


def _fits(decision: Object) -> Lines:
    for fit in decision.get("fits") or ():
        yield from _wrapped(f"Would fit {fit['node']} with ", _and(fit["with"]))


def _scores(decision: Object) -> Lines:
    scores = decision.get("scores") or ()
    if not scores:
        return
    names = list(dict.fromkeys(name for one in scores for name in one.get("parts") or ()))
    rows = [["Node", "Score", *(_SHORT.get(name, name) for name in names)]]
    for one in scores:
        given = one.get("parts")
        parts = ["" if given is None else _number(given.get(name, 0)) for name in names]
        rows.append([one["node"], _number(one["total"]), *parts])
    yield "Scores:"
    for line in columns(rows):
        yield f"  {line}"
    if hidden := decision.get("scoresNotShown"):
        yield f"  and {hidden} more"


def _and(changes: list[str]) -> str:
    return " and ".join(str(change) for change in changes)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _wrapped(head: str, text: str) -> Lines:
    indent = " " * (len(head) - len(head.lstrip()) + 2)
    yield from wrap(head + text, WIDTH, subsequent_indent=indent, drop_whitespace=True)
