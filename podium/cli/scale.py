"""Room podium/cli: `podium scale` writes the `scale` subresource, as kubectl does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from podium.cli.options import api_options
from podium.cli.targets import parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection

MERGE = "application/merge-patch+json"


@click.command()
@click.argument("words", nargs=-1, metavar="KIND/NAME…")
@click.option("--replicas", type=click.IntRange(min=0), required=True, help="How many.")
@click.option("--current-replicas", type=int, help="Only if it has so many now.")
@api_options
def command(
    *, api: Connection, words: tuple[str, ...], replicas: int, current_replicas: int | None
) -> None:
    """Set the number of replicas: podium scale deploy/web --replicas 5."""
    targets = parse_targets(words)
    for target in targets:
        if target.name is None:
            raise click.UsageError("name what to scale, e.g. deploy/web")
        if "scale" not in target.resource.subresources:
            raise click.ClickException(f"a {target.resource.singular} cannot be scaled")
    for target in targets:
        path = target.resource.path(api.namespace_of(target.resource), target.name, "scale")
        if current_replicas is not None:
            has = api.request("GET", path)["spec"].get("replicas", 0)
            if has != current_replicas:
                raise click.ClickException(
                    f"{target} has {has} replicas, not {current_replicas}; it was left alone"
                )
        api.request("PATCH", path, body={"spec": {"replicas": replicas}}, content_type=MERGE)
        click.echo(f"{target} scaled")
