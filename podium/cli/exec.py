"""Room podium/cli: `podium exec` runs a command in a container, with its streams and exit code."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
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
    raise SystemExit(_run(api, f"{path}?{urlencode(query)}", stdin, is_terminal))


def _run(api: Connection, target: str, stdin: bool, is_terminal: bool) -> int:
    from podium.cli.exec_stream import ExecStream

    sys.stdout.flush()
    sock, host = api.dial()
    with sock:
        stream = ExecStream(
            sock,
            host,
            target,
            stdin_fd=0 if stdin else None,
            terminal_size=_terminal_size if is_terminal else None,
        )
        with _raw_terminal() if is_terminal else contextlib.nullcontext():
            return stream.run()


def _terminal_size() -> tuple[int, int]:
    size = os.get_terminal_size(0)
    return size.columns, size.lines


@contextlib.contextmanager
def _raw_terminal() -> Iterator[None]:
    """Every key goes to the container; the terminal is put back whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
