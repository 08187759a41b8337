"""Room podium/cli: a trace as text. Pure functions from the API's answer to lines.

Shown are the changes that led to processes and what led to them. Folded, and counted at the end:
events, changes of a status and what came of them, and with many Pods the steps of each, which are
in the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

WIDTH = 100
BESIDE_MAX = 10  # so many other objects of the same command are shown
FULL_PODS = 3  # up to so many the steps of each Pod are shown in the tree
NAME_WIDTH = 24
_PHASES = ("scheduled", "sandbox", "network", "volumes", "image", "create", "start")
_COLUMNS = (("CREATED", 8), ("SCHED", 6), ("SANDBOX", 8), ("NETWORK", 8), ("VOLUMES", 8),
            ("IMAGE", 6), ("CREATE", 7), ("START", 6), ("READY", 7))  # fmt: skip


def lines(answer: Object, *, show_all: bool = False) -> Iterator[str]:
    """The whole text."""
    yield from headline(answer)
    folded: Counter[str] = Counter()
    for span in answer["spans"] if show_all else _shown(answer, folded):
        yield one_line(span)
    if answer["pods"]:
        yield ""
        yield from pods_table(answer["pods"])
    yield from _footer(answer, folded)


def headline(answer: Object) -> Iterator[str]:
    about = answer["object"]
    where = f" in {about['namespace']}" if about["namespace"] else ""
    manager = f" with {answer['manager']}" if answer["manager"] else ""
    end = ", deleted" if answer["isDeleted"] else ""
    yield f"{about['resource']} {about['name']}{where}, revision {answer['revision']}{end}"
    yield f"by {answer['by'] or 'nobody known'}{manager} at {answer['began']}"
    yield f"trace {answer['traceId']}"
    yield ""
    yield f"{'AT MS':>10}{'TOOK MS':>10}  WHAT"


def one_line(span: Object, depth: int | None = None) -> str:
    """A node of the tree, at its depth or at another one."""
    indent = min(2 * (span["depth"] if depth is None else depth), 40)
    text = f"{span['startMs']:>10,.1f}{span['durationMs']:>10,.1f}  {' ' * indent}{_label(span)}"
    return text if len(text) <= WIDTH else text[: WIDTH - 1] + "…"


def _label(span: Object) -> str:
    told, kind = span["attributes"], span["kind"]
    end: str = "" if span["isFinished"] else " (unfinished: its process ended before it told)"
    if told.get("outcome"):
        end += f" → {told['outcome']}"
    if kind == "change":
        return f"{span['name']}{end}"
    if kind == "process":
        return f"process {told.get('pid')} of container {told.get('container')}"
    if kind == "phase":
        what = [str(told[name]) for name in ("container", "image", "ip") if told.get(name)]
        return " ".join((span["name"], *what)) + end
    if kind == "command":
        return f"{span['name'].replace('-', ' ', 1)}{end}"
    if kind != "reconcile":
        return f"{span['name']}{end}"
    steps = ("queue", "read", "decide", "write")
    spent = [f"{step} {told[f'{step}Us'] / 1000:.1f}" for step in steps if told.get(f"{step}Us")]
    return f"[{span['name']}] {', '.join(spent)}{end}"


def _shown(answer: Object, folded: Counter[str]) -> Iterator[Object]:
    """The spans without what is folded; `folded` counts that."""
    spans, has_many_pods = answer["spans"], len(answer["pods"]) > FULL_PODS
    hidden_below: int | None = None
    useful = _leading_to_processes(spans) | _by_the_command(answer)
    for span in spans:
        depth = span["depth"]
        if hidden_below is not None and depth > hidden_below:
            continue
        hidden_below = None
        why = _why_folded(span, has_many_pods, useful)
        if why is None:
            yield span
        else:
            folded[why] += 1
            hidden_below = depth


def _why_folded(span: Object, has_many_pods: bool, useful: set[str]) -> str | None:
    obj = span.get("object") or {}
    if obj.get("resource") == "events":
        return "events"
    if has_many_pods and obj.get("resource") == "pods" and span.get("verb") == "create":
        return "Pods' steps"
    leads_on = span["spanId"] in useful or not span["parentId"]
    if not leads_on and span["kind"] in ("change", "reconcile"):
        return "changes that led to no process"
    return None


def _by_the_command(answer: Object) -> set[str]:
    """What the command that is the root has written: some of it, and the object itself."""
    if answer["spans"][0]["kind"] != "command":
        return set()
    written = [span for span in answer["spans"] if span["depth"] == 1]
    own = [span for span in written if (span.get("object") or {}) == answer["object"]]
    return {span["spanId"] for span in written[:BESIDE_MAX] + own}


def _leading_to_processes(spans: list[Object]) -> set[str]:
    """Those with a phase or a process below them, and these."""
    parent = {span["spanId"]: span["parentId"] for span in spans}
    found: set[str] = set()
    for span in spans:
        if span["kind"] not in ("phase", "process", "command"):
            continue
        at = span["spanId"]
        while at and at not in found:
            found.add(at)
            at = parent.get(at, "")
    return found


# --- the table of Pods ----------------------------------------------------------------------------


def pods_table(pods: list[Object]) -> Iterator[str]:
    """A line a Pod: when it was created, how long each phase took, when it was Ready."""
    yield f"{'POD':<{NAME_WIDTH}}" + "".join(f"{title:>{w}}" for title, w in _COLUMNS) + "  PID"
    for pod in pods:
        ready = None if pod["readyMs"] is None else pod["createdMs"] + pod["readyMs"]
        spent = [_spent(pod, phase) for phase in _PHASES]
        cells = zip((pod["createdMs"], *spent, ready), _COLUMNS, strict=True)
        pids = ",".join(str(one["pid"]) for one in pod["processes"] if one["pid"])
        name = pod["name"]
        name = name if len(name) < NAME_WIDTH else "…" + name[-(NAME_WIDTH - 2) :]
        shown = "".join(f"{_ms(value):>{width}}" for value, (_, width) in cells)
        yield f"{name:<{NAME_WIDTH}}{shown}  {pids}"[:WIDTH]


def _spent(pod: Object, name: str) -> float | None:
    found = [phase["durationMs"] for phase in pod["phases"] if phase["name"] == name]
    return sum(found) if found else None


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _footer(answer: Object, folded: Counter[str]) -> Iterator[str]:
    pods = answer["pods"]
    ready = [pod["createdMs"] + pod["readyMs"] for pod in pods if pod["readyMs"] is not None]
    yield ""
    if pods:
        last = f", the last after {max(ready):,.0f} ms" if ready else ""
        yield f"{len(ready)} of {len(pods)} Pods Ready{last}."
        yield "CREATED and READY count from the first line; the rest is how long it took."
    if folded:
        what = ", ".join(f"{count} {name}" for name, count in folded.items())
        yield f"Folded: {what}. Every step: --all."
    if answer["unfinished"]:
        count = answer["unfinished"]
        yield f"{count} unfinished spans: what they wrote is known, not when they ended."
    if answer["orphans"]:
        yield f"{answer['orphans']} parts of this trace are not connected: it is kept no more."
    if answer["droppedSpans"]:
        yield f"{answer['droppedSpans']} spans were dropped for want of room."
    for other in answer["otherChanges"][:5]:
        yield (f"Another change: --revision {other['revision']} ({other['verb']} by {other['by']}, "
               f"{other['at']})")  # fmt: skip
