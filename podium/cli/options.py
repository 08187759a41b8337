"""Room podium/cli: the options that several verbs share, and the place they are kept.

A verb takes `@cluster_options` (where the cluster is) or `@api_options` (that, and a namespace).
Given before the verb they count too: `podium -n kube-system get pods`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from podium.cli.cluster_config import DEFAULT_DATA_DIR

Function = TypeVar("Function", bound=Callable[..., Any])


def cluster_options(function: Function) -> Function:
    """Adds --data-dir; the function gets `data_dir`, an absolute Path."""

    @click.option("--data-dir", metavar="DIR", help="The cluster's data directory.")
    @functools.wraps(function)
    def with_data_dir(*args: Any, data_dir: str | None, **kwargs: Any) -> Any:
        ctx = click.get_current_context()
        return function(*args, data_dir=resolve_data_dir(ctx, data_dir), **kwargs)

    return with_data_dir  # type: ignore[return-value]


def api_options(function: Function) -> Function:
    """Adds -n, --data-dir and --kubeconfig; the function gets `api`, a Connection."""

    @click.option("-n", "--namespace", metavar="NS", help='The namespace (default: "default").')
    @click.option("--data-dir", metavar="DIR", help="The cluster's data directory.")
    @click.option("--kubeconfig", metavar="FILE", help="Another cluster's kubeconfig.")
    @functools.wraps(function)
    def with_api(
        *args: Any,
        namespace: str | None,
        data_dir: str | None,
        kubeconfig: str | None,
        **kwargs: Any,
    ) -> Any:
        from podium.cli.connection import Connection

        ctx = click.get_current_context()
        outer = ctx.find_root().obj or {}
        path = kubeconfig or (None if data_dir else outer.get("kubeconfig"))
        given = namespace or outer.get("namespace")
        found = Path(path) if path else resolve_data_dir(ctx, data_dir) / "admin.kubeconfig"
        return function(*args, api=Connection(found, given), **kwargs)

    return with_api  # type: ignore[return-value]


def resolve_data_dir(ctx: click.Context, given: str | None) -> Path:
    """--data-dir, else the one before the verb, else PODIUM_DATA_DIR, else /var/lib/podium."""
    outer = (ctx.find_root().obj or {}).get("data_dir")
    return Path(given or outer or os.environ.get("PODIUM_DATA_DIR") or DEFAULT_DATA_DIR).absolute()
