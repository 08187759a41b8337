"""Room podium/cli: `podium logs` prints what a container has written, and with -f goes on."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from podium.cli.options import api_options
from podium.cli.pods_of import choose_container, container_names, find_pod

if TYPE_CHECKING:
    from podium.cli.connection import Connection

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Duration(click.ParamType[int]):
    """`5s`, `2m`, `1h30m` as whole seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Also a bare number of seconds."""
        if isinstance(value, int):
            return value
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", value)
        if value.isdecimal():
            return int(value)
        if not parts or "".join(number + unit for number, unit in parts) != value:
            self.fail(f"{value!r} is no duration such as 5s, 2m or 1h30m", param, ctx)
        return max(1, round(sum(float(number) * UNITS_S[unit] for number, unit in parts)))


@click.command()
@click.argument("pod", metavar="POD|KIND/NAME")
@click.argument("container_argument", required=False, metavar="[CONTAINER]")
@click.option("-f", "--follow", is_flag=True, help="Go on as more is written.")
@click.option("-p", "--previous", is_flag=True, help="Of the container before its last restart.")
@click.option("-c", "--container", help="Which container (default: the first).")
@click.option("--all-containers", is_flag=True, help="All of them, each line with its name.")
@click.option("--prefix", is_flag=True, help="Begin each line with pod and container.")
@click.option("--tail", type=int, default=None, metavar="LINES", help="Only the last lines.")
@click.option("--since", type=Duration(), help="Only what is newer, e.g. 5m.")
@click.option("--since-time", metavar="TIME", help="Only what is newer than an RFC 3339 time.")
@click.option("--timestamps", is_flag=True, help="Begin each line with its time.")
@click.option("--limit-bytes", type=int, help="At most so many bytes.")
@api_options
def command(
    *,
    api: Connection,
    pod: str,
    container_argument: str | None,
    container: str | None,
    all_containers: bool,
    prefix: bool,
    **options: Any,
) -> None:
    """Print the logs of a container: podium logs -f deploy/web."""
    if options["since"] and options["since_time"]:
        raise click.UsageError("--since or --since-time, not both")
    found = find_pod(api, pod)
    wanted = container or container_argument
    names = container_names(found) if all_containers else [choose_container(found, wanted)]
    with contextlib.suppress(KeyboardInterrupt):
        _print_all(api, found, names, _query(**options), prefix=prefix)


def _query(
    *,
    follow: bool,
    previous: bool,
    tail: int | None,
    since: int | None,
    since_time: str | None,
    timestamps: bool,
    limit_bytes: int | None,
) -> dict[str, Any]:
    return {
        "follow": "true" if follow else None,
        "previous": "true" if previous else None,
        "tailLines": tail if tail is not None and tail >= 0 else None,
        "sinceSeconds": since,
        "sinceTime": since_time,
        "timestamps": "true" if timestamps else None,
        "limitBytes": limit_bytes,
    }


def _print_all(
    api: Connection, pod: dict[str, Any], names: list[str], query: dict[str, Any], *, prefix: bool
) -> None:
    if len(names) == 1 or not query["follow"]:
        for name in names:
            _print(api, pod, name, query, prefix=prefix)
        return
    # Several containers are followed at once, one connection each; lines are written whole.
    threads = [
        threading.Thread(
            target=_print, args=(api, pod, name, query), kwargs={"prefix": prefix}, daemon=True
        )
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _print(
    api: Connection, pod: dict[str, Any], container: str, query: dict[str, Any], *, prefix: bool
) -> None:
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/log"
    response = api.open(
        "GET", path, query={**query, "container": container}, accept="*/*", stream=True
    )
    head = f"[pod/{metadata['name']}/{container}] ".encode() if prefix else b""
    out = sys.stdout.buffer
    try:
        if head:
            for line in response.lines():
                out.write(head + line + b"\n")
                out.flush()
            return
        for data in response.chunks():
            out.write(data)
            out.flush()
    finally:
        response.close()
