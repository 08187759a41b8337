"""Room podium/cli: `podium exec` runs a command in a container, with its streams and exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import click

from podium.cli.options import api_options
from podium.cli.pods_of import choose_container, find_pod

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@click.command()
@click.argument("pod", metavar="POD|KIND/NAME")
@click.argument("argv", nargs=-1, type=click.UNPROCESSED, metavar="-- COMMAND [ARGS…]")
@click.option("-i", "--stdin", is_flag=True, help="Pass standard input to the command.")
@click.option("-t", "--tty", is_flag=True, help="Give the command a terminal.")
@click.option("-c", "--container", help="Which container (default: the first).")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but what the command prints.")
@api_options
def command(
    *,
    api: Connection,
    pod: str,
    argv: tuple[str, ...],
    stdin: bool,
    tty: bool,
    container: str | None,
    quiet: bool,
) -> None:
    """Run a command in a container: podium exec -it web -- sh. Exits with the command's code."""
    if not argv:
        raise click.UsageError("say what to run, after --: podium exec web -- date")
    found = find_pod(api, pod)
    if found.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        phase = found["status"]["phase"]
        raise click.ClickException(
            f"cannot exec into a container in a completed pod; current phase is {phase}"
        )
    name = choose_container(found, container, quiet=quiet)
    from podium.cli.exec_stream import run_stream

    is_terminal = tty and stdin and os.isatty(0)
    if tty and not is_terminal and not quiet:
        click.echo("Unable to use a TTY - input is not a terminal or the right kind of file",
                   err=True)  # fmt: skip
    query = [
        *(("command", word) for word in argv),
        ("container", name),
        ("stdin", "true" if stdin else "false"),
        ("stdout", "true"),
        ("stderr", "false" if tty else "true"),
        ("tty", "true" if tty else "false"),
    ]
    metadata = found["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/exec"
    target = f"{path}?{urlencode(query)}"
    sys.stdout.flush()
    raise SystemExit(run_stream(api, target, stdin=stdin, is_terminal=is_terminal))
