"""Room podium/cli: `podium diff` shows what is different between two moments of the cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from podium.api import scheme
from podium.cli.options import api_options
from podium.cli.targets import kind_name, parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection

PATH = "/podium/v1/diff"
DIFFERENT, FAILED = 1, 2  # exit codes, as those of kubectl diff


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND[/NAME]]")
@click.option("--from", "start", metavar="MOMENT", required=True,
              help='A revision, a time, or "5m ago".')  # fmt: skip
@click.option("--to", "end", metavar="MOMENT", default="now", help="The same; now if not given.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace, and of none.")
@click.option("--show-managed-fields", is_flag=True, help="Compare metadata.managedFields too.")
@click.option("-o", "--output", type=click.Choice(["json"]), help="The API's answer.")
@api_options
def command(*, api: Connection, words: tuple[str, ...], output: str | None, **asked: Any) -> None:
    """Show what is different between two moments: podium diff --from "5m ago" deploy/web.

    Without a KIND, all but Leases and Events. Exit code 0: nothing, 1: something, 2: an error.
    """
    from podium.cli.refusal import explain
    from podium.client.errors import ClientError

    try:
        found = api.request("GET", PATH, query=_query(api, words, asked))
    except ClientError as error:
        for line in explain(error):
            click.echo(line, err=True)
        raise SystemExit(FAILED) from None
    if output == "json":
        click.echo(json.dumps(found, indent=4, ensure_ascii=False))
    else:
        for line in told(found):
            click.secho(line, fg=_color(line))
    raise SystemExit(DIFFERENT if found["items"] else 0)


def _query(api: Connection, words: tuple[str, ...], asked: dict[str, Any]) -> dict[str, Any]:
    targets = parse_targets(words) if words else []
    named = [target for target in targets if target.name]
    if len(named) > 1:
        raise click.UsageError("name one object, or only kinds")
    is_everywhere = asked["all_namespaces"] or any(not t.resource.namespaced for t in targets)
    if named and is_everywhere and named[0].resource.namespaced:
        raise click.UsageError("an object is named in one namespace, not in all of them")
    return {
        "from": asked["start"],
        "to": asked["end"],
        "resource": ",".join(target.resource.key for target in targets) or None,
        "name": named[0].name if named else None,
        "namespace": None if is_everywhere else api.namespace,
        "managedFields": "true" if asked["show_managed_fields"] else None,
    }


def told(found: dict[str, Any]) -> Iterator[str]:
    """The answer as lines."""
    counts = [f"{count} {what}" for what, count in found["summary"].items() if count]
    span = f"{_moment(found['from'])} to {_moment(found['to'])}"
    yield f"{span}: {', '.join(counts) or 'no difference'}"
    for item in found["items"]:
        where = f" in {item['namespace']}" if item["namespace"] else ""
        kind = kind_name(scheme.resource(item["resource"]))
        writes = f"{item['changes']} write{'s' if item['changes'] != 1 else ''}"
        yield ""
        yield f"{item['type']} {kind}/{item['name']}{where} ({writes})"
        yield from item["diff"].splitlines()
    if found["more"]:
        yield ""
        yield f"{found['more']} more: name a KIND, or a namespace"


def _moment(moment: dict[str, Any]) -> str:
    """ "812 (2026-11-25 23:40:00Z)"."""
    time = (moment["time"] or "").replace("T", " ")
    return f"{moment['revision']}" + (f" ({time[:19]}Z)" if time else "")


def _color(line: str) -> str | None:
    if line.startswith(("+++", "---")):
        return None
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
