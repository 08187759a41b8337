"""Room podium/cli: `podium attach` joins a running container's own streams."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from podium.cli.options import api_options
from podium.cli.pods_of import choose_container, container_named, find_pod

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@click.command()
@click.argument("pod", metavar="POD|KIND/NAME")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input to the container.")
@click.option("-t", "--tty", is_flag=True, help="Standard input is a terminal.")
@click.option("-c", "--container", help="Which container (default: the first).")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what the container prints.")
@api_options
def command(
    *, api: Connection, pod: str, stdin: bool, tty: bool, container: str | None, quiet: bool
) -> None:
    """See what a container prints from now on, and speak to it: podium attach -it web."""
    from podium.cli.exec_stream import run_stream

    found = find_pod(api, pod)
    name = choose_container(found, container, quiet=quiet)
    spec = container_named(found, name)
    has_tty = bool(spec.get("tty"))
    if tty and not has_tty and not quiet:
        click.echo(f"Unable to use a TTY - container {name} did not allocate one", err=True)
    if stdin and not spec.get("stdin") and not quiet:
        click.echo(f"container {name} has no stdin: only its output is shown", err=True)
    is_terminal = has_tty and stdin and os.isatty(0)
    if is_terminal and not quiet:
        click.echo("If you don't see a command prompt, try pressing enter.", err=True)
    query = {
        "container": name,
        "stdin": "true" if stdin else "false",
        "stdout": "true",
        "stderr": "false" if has_tty else "true",
        "tty": "true" if has_tty else "false",
    }
    about = found["metadata"]
    path = f"/api/v1/namespaces/{about['namespace']}/pods/{about['name']}/attach"
    target = f"{path}?{urlencode(query)}"
    raise SystemExit(run_stream(api, target, stdin=stdin, is_terminal=is_terminal))
