"""Room podium/cli: `podium inspect pod/x` shows the kernel behind a Pod."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

from podium.cli.options import api_options

if TYPE_CHECKING:
    from podium.cli.connection import Connection

REFRESH_S = 2.0
CLEAR = "\033[H\033[J"  # to the corner, and nothing below it


@click.command()
@click.argument("word", metavar="pod/NAME|deployment/NAME")
@click.option("-c", "--container", metavar="NAME", help="This container alone.")
@click.option("-w", "--watch", is_flag=True, help="Again every two seconds, until interrupted.")
@click.option(
    "-o", "--output", type=click.Choice(["json", "yaml"]), help="The API's answer as it is."
)
@click.option("--as-commands", is_flag=True, help="A shell script that builds it by hand.")
@api_options
def command(
    *, api: Connection, word: str, container: str | None, watch: bool, output: str | None,
    as_commands: bool,
) -> None:  # fmt: skip
    """Show each field of a Pod's spec beside the kernel file or call that enforces it and its live
    value, its namespaces and who shares them, its processes, mounts and network."""
    from podium.cli.pods_of import choose_container, find_pod

    pod = find_pod(api, word)
    if container:
        choose_container(pod, container)
    about = pod["metadata"]
    path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/inspect"
    if as_commands:
        if watch or output:
            raise click.UsageError("--as-commands prints one script: leave out --watch and -o")
        query = {"container": choose_container(pod, container)}
        script = api.open("GET", f"{path.removesuffix('inspect')}commands", query=query).read()
        click.echo(script, nl=False)
        return
    query = {"container": container} if container else {}
    while True:
        answer = api.request("GET", path, query=query)
        if answer["metadata"]["uid"] != about["uid"]:
            raise click.ClickException(f"pod {about['name']} was replaced by another of that name")
        if watch and output is None and sys.stdout.isatty():
            click.echo(CLEAR, nl=False)
        _print(answer, output)
        if not watch:
            return
        time.sleep(REFRESH_S)


def _print(answer: dict[str, Any], output: str | None) -> None:
    if output == "json":
        import json

        click.echo(json.dumps(answer, indent=4, ensure_ascii=False))
    elif output == "yaml":
        from podium.api.yaml_text import to_yaml

        click.echo(to_yaml(answer), nl=False)
    else:
        from podium.cli.inspection_text import lines

        for line in lines(answer):
            click.echo(line)
