"""Room podium/cli: `podium ui` asks the server for a one-time login link to the status page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from podium.cli.options import api_options

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@click.command()
@click.option("--open", "is_opened", is_flag=True, help="Open it in a browser here.")
@api_options
def command(*, api: Connection, is_opened: bool) -> None:
    """Print a one-time login link to the status page; it works once and for a few minutes."""
    link = login_link(api)
    click.echo(link)
    if is_opened and click.launch(link) != 0:
        raise click.ClickException("no browser could be opened here; use the link above")


def login_link(api: Connection) -> str:
    """A new one-time link, e.g. https://127.0.0.1:6443/ui/login?token=…"""
    return str(api.request("POST", "/ui/login-links", body={})["url"])
