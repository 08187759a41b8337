"""Room podium/cli: `podium history` shows the life of one object, also after its end."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from podium.cli.options import api_options
from podium.cli.output import columns
from podium.cli.targets import parse_one

if TYPE_CHECKING:
    from podium.cli.connection import Connection

WIDTH = 100


@click.command()
@click.argument("words", nargs=-1, metavar="KIND/NAME")
@click.option("--diff", "with_diffs", is_flag=True, help="Show what each change changed.")
@click.option("--size", type=click.IntRange(1, 1000), default=100, help="How many (100).")
@click.option("-o", "--output", type=click.Choice(["json"]), help="The API's answer.")
@api_options
def command(
    *, api: Connection, words: tuple[str, ...], with_diffs: bool, size: int, output: str | None
) -> None:
    """Show an object's changes, newest first: podium history deploy/web."""
    target = parse_one(words)
    namespace = api.namespace_of(target.resource) or "-"
    path = f"/podium/v1/history/{target.resource.key}/{namespace}/{target.name}"
    query = {"size": size, "diffs": "true" if with_diffs else None}
    found = api.request("GET", path, query=query)
    if output == "json":
        click.echo(json.dumps(found, indent=4, ensure_ascii=False))
        return
    for line in told(found):
        click.echo(line)


def told(found: dict[str, Any]) -> Iterator[str]:
    """The answer as lines; each change's own difference below it, where there is one."""
    rows = [["REVISION", "TIME", "TYPE", "BY", "CHANGED"], *map(_row, found["items"])]
    lines = columns(rows)
    yield lines[0][:WIDTH]
    for line, item in zip(lines[1:], found["items"], strict=True):
        yield line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"
        yield from item.get("diff", "").splitlines()
    if not found["items"]:
        yield f"nothing since revision {found['oldest']['revision']}"
    if found["more"]:
        yield f"{found['more']} older ones: --size"


def _row(item: dict[str, Any]) -> list[str]:
    time = (item["time"] or "").replace("T", " ")[:23]
    by = item["manager"] or item["by"] or "<unknown>"
    return [
        str(item["revision"]),
        time or "<unknown>",
        item["type"],
        by,
        ", ".join(item["changed"]),
    ]
