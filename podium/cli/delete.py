"""Room podium/cli: `podium delete` asks the server to delete, and waits until it is done."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from podium.api.scheme import Resource
from podium.cli.manifest_files import read_manifests
from podium.cli.options import api_options
from podium.cli.targets import kind_name, parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection

POLICIES = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
LONGEST_WAIT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Doomed:
    """One object to be deleted."""

    resource: Resource
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return f'{kind_name(self.resource)} "{self.name}"'


@click.command()
@click.argument("words", nargs=-1, metavar="[KIND[/NAME] [NAME…]]")
@click.option("-f", "--filename", "paths", multiple=True, metavar="FILE",
              help="What a file, directory or - names.")  # fmt: skip
@click.option("-R", "--recursive", is_flag=True, help="Look into the directories of a directory.")
@click.option("-l", "--selector", metavar="LABELS", help="All with these labels.")
@click.option("--all", "is_all", is_flag=True, help="All of this kind in the namespace.")
@click.option("--cascade", type=click.Choice(list(POLICIES)), default="background",
              help="What happens to what it owns.")  # fmt: skip
@click.option("--grace-period", type=int, default=None, metavar="SECONDS",
              help="For Pods to end; without it what each asks for.")  # fmt: skip
@click.option("--now", is_flag=True, help="The same as --grace-period 1.")
@click.option("--force", is_flag=True, help="At once, without waiting for the node (grace 0).")
@click.option("--wait", type=bool, default=True, is_flag=False, flag_value="true",
              help="Return when all are gone (default); --wait=false: at once.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), default=LONGEST_WAIT_S,
              metavar="SECONDS", help="For the wait (an hour).")  # fmt: skip
@click.option("--ignore-not-found", is_flag=True, help="What is not there is fine.")
@api_options
def command(
    *,
    api: Connection,
    words: tuple[str, ...],
    paths: tuple[str, ...],
    recursive: bool,
    selector: str | None,
    is_all: bool,
    cascade: str,
    grace_period: int | None,
    now: bool,
    force: bool,
    wait: bool,
    timeout: float,
    ignore_not_found: bool,
) -> None:
    """Delete objects by name, by label or as a manifest names them."""
    if bool(words) == bool(paths):
        raise click.UsageError("name the objects, or give a manifest with -f")
    grace_s = 0 if force and grace_period is None else 1 if now else grace_period
    if grace_s == 0 and not force:
        grace_s = 1  # as kubectl: only --force may leave processes behind on a lost node
    if force:
        click.echo(
            "Warning: Immediate deletion does not wait for confirmation that the running "
            "resource has been terminated.",
            err=True,
        )
    doomed = _from_files(api, paths, recursive) if paths else _named(api, words, selector, is_all)
    body = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": POLICIES[cascade],
        **({} if grace_s is None else {"gracePeriodSeconds": grace_s}),
    }
    deleted, failed = [], False
    for one in doomed:
        uid = _delete(api, one, body, ignore_not_found, forced=force)
        failed = failed or uid is None
        if uid:
            deleted.append((one, uid))
    if wait and not force:
        _wait(api, deleted, timeout)
    if failed:
        raise SystemExit(1)


def _from_files(api: Connection, paths: tuple[str, ...], recursive: bool) -> list[Doomed]:
    from podium.cli.apply import placed

    manifests = [placed(api, manifest) for manifest in read_manifests(paths, recursive)]
    return [Doomed(m.resource, m.object["metadata"].get("namespace"), m.name) for m in manifests]


def _named(
    api: Connection, words: tuple[str, ...], selector: str | None, is_all: bool
) -> list[Doomed]:
    found = []
    for target in parse_targets(words):
        namespace = api.namespace_of(target.resource)
        if target.name:
            if selector or is_all:
                raise click.UsageError("objects are named or selected, not both")
            found.append(Doomed(target.resource, namespace, target.name))
        elif not selector and not is_all:
            raise click.UsageError("say which: names, -l LABELS or --all")
        else:
            path = target.resource.path(namespace)
            listed = api.request("GET", path, query={"labelSelector": selector})
            names = [item["metadata"]["name"] for item in listed["items"]]
            found += [Doomed(target.resource, namespace, name) for name in names]
    if not found:
        click.echo("No resources found", err=True)
    return found


def _delete(
    api: Connection, one: Doomed, body: dict[str, Any], ignore_not_found: bool, *, forced: bool
) -> str | None:
    """Delete one; its uid ("" if it was not there and need not be), None if that failed."""
    from podium.cli.refusal import told
    from podium.client.errors import ApiError, NotFound

    try:
        path = one.resource.path(one.namespace, one.name)
        answer = api.request("DELETE", path, body=body)
    except NotFound as error:
        if ignore_not_found:
            return ""
        click.echo(told(error), err=True)
        return None
    except ApiError as error:
        click.echo(told(error), err=True)
        return None
    click.echo(f"{one} {'force deleted' if forced else 'deleted'}")
    # Some kinds answer with the object, others with a Status that names its uid.
    uid = (answer.get("metadata") or {}).get("uid") or (answer.get("details") or {}).get("uid")
    return str(uid or "")


def _wait(api: Connection, deleted: list[tuple[Doomed, str]], timeout_s: float) -> None:
    import sys

    from podium.cli.progress import Progress
    from podium.cli.waiting import wait_gone

    progress = Progress(sys.stderr)
    deadline = time.monotonic() + timeout_s
    for one, uid in deleted:
        progress.waiting_for(f"waiting for {one} to be gone")
        left = max(0.0, deadline - time.monotonic())
        wait_gone(api, one.resource, one.namespace, one.name, uid=uid, timeout_s=left)
    progress.done()
