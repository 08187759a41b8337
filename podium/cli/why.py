"""Room podium/cli: `podium why pod/x` says why a Pod is on its node, or on none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from podium.cli.options import api_options
from podium.cli.targets import parse_one

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@click.command()
@click.argument("words", nargs=-1, metavar="pod/NAME")
@click.option("-o", "--output", type=click.Choice(["json"]), help="The API's answer as it is.")
@api_options
def command(*, api: Connection, words: tuple[str, ...], output: str | None) -> None:
    """Say why a Pod is on its node, or on none, and what would help."""
    target = parse_one(words if any("/" in word for word in words) else ("pod", *words))
    if target.resource.key != "pods":
        what = target.resource.singular
        raise click.ClickException(f"only Pods are placed on nodes, not a {what}")
    path = f"/podium/v1/why/pods/{api.namespace}/{target.name}"
    if output == "json":
        click.echo(api.open("GET", path).read())
        return
    answer = api.request("GET", path)
    for line in _lines(answer):
        click.echo(line)


def _lines(answer: dict[str, Any]) -> list[str]:
    from podium.cli.scheduling import scheduling

    pod = f"{answer['pod']['namespace']}/{answer['pod']['name']}"
    if answer["decision"] is None:
        return [f"{pod}: {answer['message']}"]
    first, *rest = scheduling(answer["decision"])
    return [f"{pod}: {first}", *rest]
