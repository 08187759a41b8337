"""Room podium/cli: `podium apply` makes objects what a manifest says.

First of the steps of an apply: the manifest is read and understood as a whole, then each object is
created (POST) or changed (PATCH, a strategic merge). What was done is told line by line.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from podium.cli.command_trace import traced
from podium.cli.manifest_files import Manifest, read_manifests
from podium.cli.options import api_options
from podium.cli.output import OutputType, printer

if TYPE_CHECKING:
    from podium.cli.connection import Connection

STRATEGIC = "application/strategic-merge-patch+json"
ATTEMPTS = 5  # others may write between our read and our patch
DRY_RUN_NOTE = {"none": "", "client": " (dry run)", "server": " (server dry run)"}


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one manifest: "created", "configured" or "unchanged", and the object."""

    manifest: Manifest
    outcome: str
    object: dict[str, Any]


@click.command()
@click.option("-f", "--filename", "paths", multiple=True, required=True, metavar="FILE",
              help="A file, a directory or - (standard input); may be repeated.")  # fmt: skip
@click.option("-R", "--recursive", is_flag=True, help="Look into the directories of a directory.")
@click.option("--dry-run", type=click.Choice(["none", "client", "server"]), default="none",
              is_flag=False, flag_value="client", help="Only say what would be done.")  # fmt: skip
@click.option("--validate", type=click.Choice(["strict", "warn", "ignore"]), default="strict",
              help="What to do with unknown fields.")  # fmt: skip
@click.option("--wait", is_flag=True, help="Return when everything applied is ready.")
@click.option("--timeout", type=click.FloatRange(min=0), default=120.0, metavar="SECONDS",
              help="For --wait (120).")  # fmt: skip
@click.option("-o", "--output", type=OutputType(), help="Print the objects instead.")
@api_options
def command(
    *,
    api: Connection,
    paths: tuple[str, ...],
    recursive: bool,
    dry_run: str,
    validate: str,
    wait: bool,
    timeout: float,
    output: str | None,
) -> None:
    """Create or change objects as a manifest says."""
    manifests = [placed(api, m) for m in read_manifests(paths, recursive)]
    query = {
        "fieldManager": "podium-apply",
        "fieldValidation": validate.capitalize(),
        "dryRun": "All" if dry_run == "server" else None,
    }
    done = []
    with traced(api, "apply") if dry_run == "none" else nullcontext():
        for manifest in manifests:
            result = _attempt(api, manifest, query, is_pretended=dry_run == "client")
            if result is None:
                continue
            done.append(result)
            if output:
                printer(output)(result.object)
            else:
                click.echo(f"{manifest} {result.outcome}{DRY_RUN_NOTE[dry_run]}")
    if wait and dry_run == "none":
        _wait_for(api, done, timeout)
    if len(done) < len(manifests):
        raise SystemExit(1)


def placed(api: Connection, manifest: Manifest) -> Manifest:
    """The manifest with its namespace said; an error if -n says another one."""
    if not manifest.resource.namespaced:
        return manifest
    obj = copy.deepcopy(manifest.object)
    said = obj["metadata"].get("namespace")
    if said and api.given_namespace and said != api.given_namespace:
        raise click.ClickException(
            f'the namespace from the provided object "{said}" does not match the namespace '
            f"\"{api.given_namespace}\". You must pass '--namespace={said}' to perform this "
            "operation."
        )
    obj["metadata"]["namespace"] = said or api.namespace
    return Manifest(manifest.source, manifest.line, manifest.resource, obj)


def _attempt(
    api: Connection, manifest: Manifest, query: dict[str, Any], is_pretended: bool
) -> Applied | None:
    """Apply one; None (told on stderr) if the server refuses: the others may still be good."""
    from podium.cli.refusal import told
    from podium.client.errors import ApiError

    if not manifest.name:
        click.echo(f"error: {manifest.source}: cannot use generateName with apply", err=True)
        return None
    try:
        return apply_one(api, manifest, query, is_pretended)
    except ApiError as error:
        where = f"{manifest.source}, line {manifest.line}"
        click.echo(f"{told(error)}\n  ({manifest} in {where})", err=True)
        return None


def apply_one(
    api: Connection, manifest: Manifest, query: dict[str, Any], is_pretended: bool = False
) -> Applied:
    """Make one object what its manifest says. Safe to repeat; raises ApiError."""
    from podium.client.errors import AlreadyExists, Conflict, NotFound

    for attempt in range(ATTEMPTS):
        namespace = manifest.object["metadata"].get("namespace")
        try:
            current = api.get(manifest.resource, manifest.name, namespace)
        except NotFound:
            current = None
        try:
            if current is None:
                return _create(api, manifest, query, is_pretended)
            return _change(api, manifest, current, query, is_pretended)
        except (AlreadyExists, Conflict, NotFound) as error:
            # Made, changed or removed in between: look again. A missing namespace stays missing.
            if attempt == ATTEMPTS - 1 or (current is None and isinstance(error, NotFound)):
                raise
    raise AssertionError("the last attempt returns or raises")


def _create(
    api: Connection, manifest: Manifest, query: dict[str, Any], is_pretended: bool
) -> Applied:
    from podium.cli.three_way_merge import with_last_applied

    obj = with_last_applied(manifest.object)
    if not is_pretended:
        path = manifest.resource.path(obj["metadata"].get("namespace"))
        obj = api.request("POST", path, query=query, body=obj)
    return Applied(manifest, "created", obj)


def _change(
    api: Connection,
    manifest: Manifest,
    current: dict[str, Any],
    query: dict[str, Any],
    is_pretended: bool,
) -> Applied:
    from podium.cli import three_way_merge as merge

    original = merge.last_applied(current)
    if original is None:
        click.echo(
            f"Warning: {manifest} was not made by apply; from now on it is "
            f"({merge.LAST_APPLIED} was missing)",
            err=True,
        )
    modified = merge.with_last_applied(manifest.object)
    patch = merge.three_way_patch(original or {}, modified, current)
    if not patch:
        return Applied(manifest, "unchanged", current)
    if is_pretended:
        return Applied(manifest, "configured", current)
    path = manifest.resource.path(current["metadata"].get("namespace"), manifest.name)
    changed = api.request("PATCH", path, query=query, body=patch, content_type=STRATEGIC)
    versions = (changed["metadata"]["resourceVersion"], current["metadata"]["resourceVersion"])
    return Applied(manifest, "unchanged" if len(set(versions)) == 1 else "configured", changed)


def _wait_for(api: Connection, done: list[Applied], timeout_s: float) -> None:
    import sys
    import time

    from podium.cli.progress import Progress
    from podium.cli.waiting import wait_ready

    progress = Progress(sys.stderr)
    deadline = time.monotonic() + timeout_s
    for applied in done:
        manifest = applied.manifest
        progress.waiting_for(f"waiting for {manifest}")
        namespace = manifest.object["metadata"].get("namespace")
        left = max(1.0, deadline - time.monotonic())
        wait_ready(api, manifest.resource, namespace, manifest.name, left)
    progress.done()
