"""Room podium/cli: a stopped reconcile as text, for `podium debug`. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from podium.api.meta import parse_time
from podium.api.yaml_text import to_yaml

Object = dict[str, Any]
Lines = Iterator[str]

WIDTH = 98
MOST_LINES = 24  # of one section


def stop_lines(found: Object, stop: Object, now: datetime | None = None) -> Lines:
    """Everything about one stop."""
    name, controller = found["metadata"]["name"], found["spec"]["controller"]
    kind = (stop.get("object") or {}).get("kind", "")
    yield f"{controller} is stopped at {kind} {stop['key']}  (breakpoint {name})"
    moment = now or datetime.now(UTC)
    since = (moment - parse_time(stop["since"])).total_seconds()
    left = (parse_time(stop["until"]) - moment).total_seconds()
    yield f"  step {stop['step']}, for {max(since, 0):.0f} s, goes on by itself in {left:.0f} s"
    if stop.get("injected"):
        yield f"  injected: {stop['injected']}: what is observed is an older version"
    item = stop.get("item") or {}
    yield f"  queue {item.get('queue')}: {_item(item)}"
    for cause in item.get("causes") or ():
        what = "the status of " if cause.get("isStatus") else ""
        yield f"  because {what}{cause['object']} changed at {cause['resourceVersion']}"
    yield from _section("observed", stop.get("observed"))
    yield from _section("desired", stop.get("desired"))
    yield from _done(stop.get("writes") or ())
    yield from _writes(stop.get("plannedWrites") or ())


def _item(item: Object) -> str:
    words = [f"key {item.get('key')}"]
    if item.get("waitedMs") is not None:
        words.append(f"waited {item['waitedMs']:g} ms")
    if item.get("failures"):
        words.append(f"failed before: {item['failures']}")
    if item.get("waiting"):
        words.append(f"{item['waiting']} more keys wait")
    return ", ".join(words)


def _section(title: str, value: Any) -> Lines:
    if not value:
        return
    yield f"  {title}:"
    yield from _yaml(value, "    ")


def _yaml(value: Any, indent: str) -> Lines:
    lines = to_yaml(value).splitlines()
    for line in lines[:MOST_LINES]:
        yield _cut(f"{indent}{line}")
    if len(lines) > MOST_LINES:
        yield f"{indent}… {len(lines) - MOST_LINES} more lines (-o json shows all)"


def _done(writes: Any) -> Lines:
    if writes:
        yield "  written:"
    for write in writes:
        yield _cut(f"    {_words(write)}: {write.get('outcome', '')}")


def _writes(writes: Any) -> Lines:
    if not writes:
        return
    first, *rest = writes
    yield f"  next: {_words(first)}"
    if first.get("refused"):
        yield _cut(f"    the server would refuse it: {first['refused']}")
    if first.get("changes"):
        for change in first["changes"][:MOST_LINES]:
            yield _cut(f"    {change['path']}: {_value(change, 'from')} → {_value(change, 'to')}")
        hidden = len(first["changes"]) - MOST_LINES + (first.get("changesNotShown") or 0)
        if hidden > 0:
            yield f"    … {hidden} more changes"
    elif first.get("body"):
        yield from _yaml(first["body"], "    ")
    for write in rest:
        yield f"  then: {_words(write)}"


def _words(write: Object) -> str:
    name = "/".join(filter(None, (write.get("namespace"), write.get("name"))))
    resource = write.get("resource", "")
    if write.get("subresource"):
        resource += f"/{write['subresource']}"
    return " ".join(filter(None, (write.get("verb"), resource, name)))


def _value(change: Object, which: str) -> str:
    if which not in change:
        return "(nothing)"
    value = change[which]
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value, ensure_ascii=False)


def _cut(line: str) -> str:
    return line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"
