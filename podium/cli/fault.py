"""Room podium/cli: `podium fault` lets things go wrong, for a while, in a cluster that was started
with `podium up --lab`. A fault is an object (faults.debug.podium.dev), so kubectl can make one too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from podium.api import scheme
from podium.api.faults import DEFAULT_S, FAULTS
from podium.cli.options import api_options

if TYPE_CHECKING:
    from podium.cli.connection import Connection

Object = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

BEGIN_S = 30  # for the fault to begin, which a slow store slows down
RESOURCE = scheme.resource(FAULTS)
_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000}


def _for(function: F) -> F:
    return click.option("--for", "time", metavar="TIME", default=f"{DEFAULT_S}s",
                        help="How long, at most 10m (30s).")(function)  # fmt: skip


def _delay(function: F) -> F:
    return click.option("--delay", metavar="TIME", default="500ms",
                        help="By how much, at most 10s (500ms).")(function)  # fmt: skip


def _output(function: F) -> F:
    return click.option("-o", "--output", type=click.Choice(["json"]),
                        help="The API's object.")(function)  # fmt: skip


@click.group()
def command() -> None:
    """Let things go wrong for a while: predict what follows, then look.

    Only in a cluster started with podium up --lab. Each fault ends by itself; undo ends it at once.
    """


@command.command()
@click.argument("component")
@_output
@api_options
def kill(*, api: Connection, component: str, output: str | None) -> None:
    """Kill a component, as kill -9 does: podium fault kill kubelet."""
    _make(api, {"type": "Kill", "target": component}, output)


@command.command("cut-off")
@click.argument("node")
@_for
@_output
@api_options
def cut_off(*, api: Connection, node: str, time: str, output: str | None) -> None:
    """Cut a node off from the API server, both ways."""
    _make(api, {"type": "CutOff", "target": node, "seconds": _seconds(time)}, output)


@command.command("drop-watch")
@click.argument("resource", required=False)
@_for
@_output
@api_options
def drop_watch(*, api: Connection, resource: str | None, time: str, output: str | None) -> None:
    """Break the components' watches (of one resource, e.g. pods) and refuse new ones."""
    _make(api, {"type": "DropWatch", "target": resource, "seconds": _seconds(time)}, output)


@command.command("delay-watch")
@click.argument("resource", required=False)
@_delay
@_for
@_output
@api_options
def delay_watch(
    *, api: Connection, resource: str | None, delay: str, time: str, output: str | None
) -> None:
    """Let the components' watches (of one resource, e.g. pods) lag."""
    spec = {"type": "DelayWatch", "target": resource, "seconds": _seconds(time)}
    _make(api, {**spec, "delayMilliseconds": _milliseconds("--delay", delay)}, output)


@command.command("slow-store")
@_delay
@_for
@_output
@api_options
def slow_store(*, api: Connection, delay: str, time: str, output: str | None) -> None:
    """Let every write of the API server take longer."""
    spec = {"type": "SlowStore", "seconds": _seconds(time)}
    _make(api, {**spec, "delayMilliseconds": _milliseconds("--delay", delay)}, output)


@command.command("slow-disk")
@click.argument("node")
@click.option("--rate", metavar="SIZE", help="Bytes a second (1Mi, unless --iops is given).")
@click.option("--iops", type=int, metavar="N", help="Operations a second.")
@_for
@_output
@api_options
def slow_disk(
    *, api: Connection, node: str, rate: str | None, iops: int | None, time: str,
    output: str | None,
) -> None:  # fmt: skip
    """Let the containers of a node read and write no faster, each direction for itself."""
    spec = {"type": "SlowDisk", "target": node, "seconds": _seconds(time)}
    _make(api, {**spec, "bytesPerSecond": rate, "operationsPerSecond": iops}, output)


@command.command("fill-memory")
@click.argument("size", metavar="SIZE")
@_for
@_output
@api_options
def fill_memory(*, api: Connection, size: str, time: str, output: str | None) -> None:
    """Hold memory of the machine: podium fault fill-memory 1Gi."""
    _make(api, {"type": "FillMemory", "memory": size, "seconds": _seconds(time)}, output)


@command.command("list")
@_output
@api_options
def list_faults(*, api: Connection, output: str | None) -> None:
    """List the faults, the last that are over too."""
    if output == "json":
        _print_json(api.request("GET", RESOURCE.path()))
        return
    from podium.cli.output import TablePrinter

    table = api.table(RESOURCE.path())
    if not table.get("rows"):
        click.echo("there are no faults", err=True)
        return
    TablePrinter(RESOURCE, wide=False, with_namespace=False).show(table)


@command.command()
@click.argument("names", nargs=-1, metavar="FAULT…")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@api_options
def undo(*, api: Connection, names: tuple[str, ...], everything: bool) -> None:
    """End faults at once."""
    if everything == bool(names):
        raise click.UsageError("name faults, or say --all")
    if everything:
        listed = api.request("GET", RESOURCE.path())["items"]
        names = tuple(found["metadata"]["name"] for found in listed)
    for name in names:
        api.request("DELETE", RESOURCE.path(name=name))
        click.echo(f"fault/{name} undone")


def _make(api: Connection, spec: Object, output: str | None) -> None:
    """Make a fault, and tell what became of it."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "-", spec["type"]).lower()
    body = {
        "apiVersion": RESOURCE.api_version,
        "kind": RESOURCE.kind,
        "metadata": {"generateName": f"{prefix}-"},
        "spec": {name: value for name, value in spec.items() if value is not None},
    }
    found = _begun(api, api.request("POST", RESOURCE.path(), body=body))
    status, name = found.get("status") or {}, found["metadata"]["name"]
    if output == "json":
        _print_json(found)
    elif status.get("phase") == "Active":
        click.echo(f"fault/{name} until {status['endTime'][11:19]} UTC; podium fault undo {name}")
    elif status.get("phase") == "Ended":
        click.echo(f"fault/{name}: {status.get('message', 'over')}")
    if status.get("phase") == "Failed":
        raise click.ClickException(str(status.get("message")))
    if not status.get("phase"):
        raise click.ClickException(f"fault/{name} has not begun in {BEGIN_S} s")


def _begun(api: Connection, found: Object) -> Object:
    """The fault once it has begun. When the API server itself was killed, that is seen too."""
    import time

    from podium.client.errors import Unreachable

    deadline = time.monotonic() + BEGIN_S
    name = found["metadata"]["name"]
    while not (found.get("status") or {}).get("phase") and time.monotonic() < deadline:
        time.sleep(0.05)
        try:
            found = api.request("GET", RESOURCE.path(name=name))
        except Unreachable:
            continue
    return found


def _print_json(obj: Object) -> None:
    from podium.cli.output import printer

    printer("json")(obj)


def _seconds(text: str) -> int:
    return -(-_milliseconds("--for", text) // 1000)


def _milliseconds(option: str, text: str) -> int:
    """ "500ms", "30s", "2m"; a number alone is of seconds."""
    match = re.fullmatch(r"(\d+)(ms|s|m|)", text)
    if match is None:
        raise click.UsageError(f'{option}: cannot read "{text}"; say e.g. 500ms, 30s or 2m')
    return int(match[1]) * _UNITS_MS[match[2] or "s"]
