"""Room podium/cli: `podium trace deployment/web` shows what came of an object's last change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from podium.api.meta import parse_time
from podium.cli.options import api_options
from podium.cli.targets import parse_one

if TYPE_CHECKING:
    from podium.cli.connection import Connection

FOLLOW_EVERY_S = 0.5  # spans come in batches; nothing is known sooner
TOLD_WITHIN_S, AGAIN_S = 1.5, 0.25  # what a component has done, and how often to look for it


@click.command()
@click.argument("words", nargs=-1, metavar="KIND/NAME")
@click.option("-f", "--follow", is_flag=True, help="Go on telling what happens, as it does.")
@click.option("--revision", metavar="R", help="Of an earlier change of the object.")
@click.option("-a", "--all", "show_all", is_flag=True, help="Every step; fold nothing.")
@click.option("-o", "--output", type=click.Choice(["json", "otlp"]),
              help="The API's answer as it is, or OTLP/JSON for a collector.")  # fmt: skip
@api_options
def command(
    *,
    api: Connection,
    words: tuple[str, ...],
    follow: bool,
    revision: str | None,
    show_all: bool,
    output: str | None,
) -> None:
    """Show what an object's last change has led to, down to each process, in milliseconds.

    A Pod's trace is that of its creation, up to the change that it came of.
    """
    target = parse_one(words)
    namespace = api.namespace_of(target.resource) or "-"
    path = f"/podium/v1/trace/{target.resource.key}/{namespace}/{target.name}"
    query = {"revision": revision}
    if follow and output:
        raise click.UsageError("--follow tells in plain text; leave out -o")
    if output == "json":
        click.echo(api.open("GET", path, query=query).read())
    elif output == "otlp":
        _print_otlp(api.request("GET", path, query=query))
    elif follow:
        _follow(api, path, query)
    else:
        from podium.cli.trace_text import lines

        for line in lines(_all_told(api, path, query), show_all=show_all):
            click.echo(line)


def _all_told(api: Connection, path: str, query: dict[str, Any]) -> dict[str, Any]:
    """The trace, also of what has been done just now: a span comes later than the change that it
    wrote. One whose process was killed never comes; of what is long past nothing is awaited."""
    until = time.monotonic() + TOLD_WITHIN_S
    while True:
        answer = api.request("GET", path, query=query)
        ended = parse_time(answer["began"]).timestamp() + answer["durationMs"] / 1000
        is_fresh = time.time() - ended < TOLD_WITHIN_S
        if not answer["unfinished"] or not is_fresh or time.monotonic() > until:
            return answer
        time.sleep(AGAIN_S)


def _print_otlp(answer: dict[str, Any]) -> None:
    import orjson

    from podium.api.otlp import to_otlp

    click.echo(orjson.dumps(to_otlp(answer["spans"], answer["traceId"])))


def _follow(api: Connection, path: str, query: dict[str, Any]) -> None:
    """Until interrupted, or the object is gone (which is told as an error)."""
    from podium.cli.trace_text import headline, one_line

    told: set[str] = set()
    while True:
        answer = api.request("GET", path, query=query)
        if not told:
            for line in headline(answer):
                click.echo(line)
        if query["revision"] is None:
            query = {"revision": str(answer["revision"])}  # a later change is another trace
        new = [one for one in answer["spans"] if one["isFinished"] and one["spanId"] not in told]
        for one in sorted(new, key=lambda one: float(one["startMs"] + one["durationMs"])):
            told.add(one["spanId"])
            click.echo(one_line(one, 0))
        time.sleep(FOLLOW_EVERY_S)
