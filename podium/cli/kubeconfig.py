"""Room podium/cli: `podium kubeconfig` prints where the admin's kubeconfig is.

export KUBECONFIG=$(podium kubeconfig)
"""

from __future__ import annotations

from pathlib import Path

import click

from podium.cli.options import cluster_options


@click.command()
@cluster_options
def command(data_dir: Path) -> None:
    """Print the path of the admin's kubeconfig, for KUBECONFIG."""
    path = data_dir / "admin.kubeconfig"
    try:
        path.stat()
    except FileNotFoundError:
        raise click.ClickException(f"there is no cluster in {data_dir}; try: podium up") from None
    except PermissionError:
        raise click.ClickException(f"{path} is readable by root only; try sudo") from None
    click.echo(path)
