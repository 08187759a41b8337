"""Room podium/cli: a PodInspection as text that teaches: spec field → kernel file = live value.

Used by `podium inspect`. Pure. A cgroup's path is said once and its files by their names alone, so
that a line fits into 100 columns.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

WIDTH = 100
V1_NO_LIMIT = 1 << 62  # v1's "no limit": the highest multiple of the page size


def lines(answer: Object) -> Iterator[str]:
    about, kernel = answer["metadata"], answer["kernel"]
    yield (
        f"Pod {about['namespace']}/{about['name']} on {answer['node']}: Linux {kernel['release']}, "
        f"cgroup {kernel['cgroup']}, read in {answer['durationMs']:.1f} ms"
    )
    pod = answer["pod"]
    if pod["rows"]:
        yield ""
        yield f"POD   uid {about['uid']}, shim {pod.get('shimPid', 'none')}"
        yield from _rows(pod["rows"])
    if pod.get("network"):
        yield ""
        yield from _network(pod["network"])
    for container in answer["containers"]:
        yield ""
        yield from _container(container)


def _container(container: Object) -> Iterator[str]:
    if "rows" not in container:
        yield f"CONTAINER {container['name']}   {container['state']}: {container['message']}"
        return
    yield f"CONTAINER {container['name']}   process {container['pid']}   {container['id'][:30]}…"
    yield from _rows(container["rows"])
    yield "  namespaces"
    for one in container["namespaces"]:
        with_whom = ", ".join(one["sharedWith"]) or "its own"
        who = with_whom if not one["sharedWith"] else f"shared with {with_whom}"
        yield from _wrapped(f"    {one['kind']:<7} {one['inode']}   ", who)
    yield from _processes(container)
    yield from _root(container)


def _rows(rows: list[Object]) -> Iterator[str]:
    cgroups = [row["file"].rpartition("/")[0] for row in rows if row["hierarchy"]]
    for directory in dict.fromkeys(cgroups):
        yield from _broken(f"  {directory}/")
        for row in rows:
            if row["hierarchy"] and row["file"].rpartition("/")[0] == directory:
                yield from _cgroup_row(row)
    for row in rows:
        if not row["hierarchy"]:
            asked = f" {_short(row['asked'])}" if row["asked"] else ""
            where = f" ({row['call']})" if row.get("call") else ""
            live = _with_usage(row["live"], row)
            yield from _wrapped(f"  {_field(row['field'])}{asked} → {row['file']}{where} = ", live)


def _cgroup_row(row: Object) -> Iterator[str]:
    name = row["file"].rpartition("/")[2]
    if not row["field"]:
        yield from _pressure(name, row)
        return
    asked = f" {_short(row['asked'])}" if row["asked"] else ""
    live = " ".join(row["live"].split()) or "nothing set"
    if row["hierarchy"] == "v1" and live.isdigit() and int(live) >= V1_NO_LIMIT:
        live = f"{live} (no limit)"
    head = f"    {_field(row['field'])}{asked} → {name} = "
    yield from _wrapped(head, _with_usage(live, row))


def _pressure(name: str, row: Object) -> Iterator[str]:
    for kind, values in row["usage"]["pressure"].items():
        shares = " ".join(f"{key[3:]} s {values[key]:g} %" for key in values if key != "total")
        yield f"    {name} {kind} waited {shares}, {values['total'] / 1e6:.3f} s in all"


def _field(path: str) -> str:
    """Without "spec.containers[web]", which stands above."""
    return path.partition("].")[2] if path.startswith("spec.") and "]." in path else path


def _with_usage(live: str, row: Object) -> str:
    used = _usage(row["usage"]) if row.get("usage") else ""
    return f"{live}   ({used})" if used else live


def _usage(usage: Object) -> str:
    if "usedNs" in usage:
        text = f"used {(usage['usedNs'] or 0) / 1e9:.3f} s"
        if usage["periods"]:
            throttled = f"{usage['throttledPeriods']} of {usage['periods']} periods"
            text += f", throttled in {throttled} for {usage['throttledNs'] / 1e9:.3f} s"
        return text
    if "oomKills" in usage:
        peak = f", at most {_bytes(usage['peakBytes'])}" if usage["peakBytes"] else ""
        return (
            f"uses {_bytes(usage['usedBytes'])}{peak}; at the limit {usage['limitHits']} times, "
            f"{usage['oomKills']} killed"
        )
    if "usedBytes" in usage:
        return f"uses {_bytes(usage['usedBytes'])}" if usage["usedBytes"] is not None else ""
    if "used" in usage:
        return f"{usage['used']} now"
    if "oomScore" in usage:
        return f"oom_score {usage['oomScore']}"
    if "packets" in usage:
        return _passed(usage)
    return "; ".join(usage.get("devices", ()))


def _passed(usage: Object) -> str:
    """By a queue, or by a rule, which sees the first packet of each connection."""
    text = f"{usage['packets']} packets, {_bytes(usage['bytes'])}"
    if "drops" in usage:
        text += f"; {usage['drops']} dropped, held back {usage['overLimits']} times"
    return text


def _processes(container: Object) -> Iterator[str]:
    yield f"  processes   {container['processCount']}: pid on the host, pid inside, user, memory"
    found = container["processes"]
    known = {one["pid"] for one in found}
    for one in found:
        if one["parent"] not in known:
            yield from _process(one, found, 0)
    if container["processCount"] > len(found):
        yield f"    … and {container['processCount'] - len(found)} more"


def _process(one: Object, everyone: list[Object], depth: int) -> Iterator[str]:
    inside = one["pids"][-1] if len(one["pids"]) > 1 else "same"
    words = " ".join(one["command"]) or f"[{one['name']}]"
    head = f"    {one['pid']:<8} {inside!s:<6} {one['uid']:<7} {_bytes(one['residentBytes']):>8}   "
    line = head + "  " * depth + " ".join(words.split())
    yield line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
    for child in everyone:
        if child["parent"] == one["pid"]:
            yield from _process(child, everyone, depth + 1)


def _root(container: Object) -> Iterator[str]:
    if layers := container.get("layers"):
        count = len(layers["lower"])
        yield f"  overlay   {count} read-only {'layer' if count == 1 else 'layers'}, lowest first"
        for layer in layers["lower"]:
            yield from _broken(
                f"    {layer['digest'][:19] or 'no digest':<19} {layer['directory']}"
            )
        yield f"    {'its own, on top':<19}"
        yield from _broken(f"      {layers['upper']}")
    yield f"  mounts   {len(container['mounts'])}"
    for one in container["mounts"]:
        yield from _mount(one)


def _mount(one: Object) -> Iterator[str]:
    words = ",".join(one["options"])
    spread = "" if one["propagation"] == "private" else f", {one['propagation']}"
    source = "" if one["source"] == one["type"] else f" of {one['source']}"
    where = "" if one["root"] == "/" else f", its {one['root']}"
    yield from _wrapped(f"    {one['target']}   ", f"{one['type']}{source} {words}{spread}{where}")


def _network(network: Object) -> Iterator[str]:
    yield "NETWORK"
    ends = {one["index"]: one for one in network["hostInterfaces"]}
    for one in network["interfaces"]:
        addresses = " ".join(one["addresses"]) or "no address"
        yield from _interface(one, addresses)
        if end := ends.get(one["peerIndex"]) if one["kind"] == "veth" else None:
            bridge = f" on bridge {end['bridge']}" if end["bridge"] else ""
            yield f"    its other end: {end['name']} (index {end['index']}) on the host{bridge}"
    for route in network["routes"]:
        by = f" by {route['gateway']}" if route["gateway"] else ""
        yield f"  route {route['destination']}{by}, {route['interface']}"
    for queue in network["queues"]:
        if queue["kind"] == "noqueue":
            continue
        rate = f" {queue['rateBitsPerSecond']} bit/s" if queue["rateBitsPerSecond"] else ""
        yield from _wrapped(
            f"  queue {queue['kind']}{rate} on {queue['interface']} = ",
            f"{queue['packets']} packets, {_bytes(queue['bytes'])}; {queue['drops']} dropped, "
            f"{queue['waitingPackets']} waiting, held back {queue['overLimits']} times",
        )
    for rule in network["rules"]:
        yield (
            f"  nft {rule['table']} {rule['chain']}: hostPort {rule['hostPort']} → {rule['to']} = "
            f"{rule['packets']} connections"
        )


def _interface(one: Object, addresses: str) -> Iterator[str]:
    counters = one["counters"]
    state = "up" if one["isUp"] else "down"
    text = f"{addresses}, {state}, mtu {one['mtu']}"
    if counters:
        text += f", in {_bytes(counters['rxBytes'])}, out {_bytes(counters['txBytes'])}"
    yield from _wrapped(f"  {one['name']} (index {one['index']}, {one['mac']})   ", text)


def _bytes(number: int | None) -> str:
    if number is None:
        return "?"
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def _broken(text: str) -> Iterator[str]:
    """A line with a path, in several where it is long, each broken behind a slash."""
    indent = " " * (len(text) - len(text.lstrip()) + 4)
    while len(text) > WIDTH and (end := text.rfind("/", len(indent), WIDTH)) > 0:
        yield text[: end + 1]
        text = indent + text[end + 1 :]
    yield text


def _short(asked: str) -> str:
    text = " ".join(asked.split())
    return f'"{text}"' if len(text) <= 40 else f'"{text[:39]}…"'


def _wrapped(head: str, text: str) -> Iterator[str]:
    """`head` and as much of `text` as fits; the rest below it, further in."""
    indent = " " * (len(head) - len(head.lstrip()) + 4)
    wrapped = textwrap.wrap(
        head + text, WIDTH, subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip
    for line in wrapped or [head]:
        yield from _broken(line)
