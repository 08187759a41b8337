"""Room podium/cli: `podium describe` shows one object with what belongs to it, and its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from podium.api.scheme import Resource
from podium.cli.options import api_options
from podium.cli.targets import Target, parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection


@click.command()
@click.argument("words", nargs=-1, metavar="KIND[/NAME] [NAME…]")
@click.option("-l", "--selector", metavar="LABELS", help="All with these labels.")
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace.")
@click.option("--show-events/--no-show-events", default=True, help="With its events (default).")
@api_options
def command(
    *,
    api: Connection,
    words: tuple[str, ...],
    selector: str | None,
    all_namespaces: bool,
    show_events: bool,
) -> None:
    """Show one object (or each of a kind) with what belongs to it, and its events."""
    from podium.cli.descriptions import describe

    failed = printed = False
    for target in parse_targets(words):
        found = _find(api, target, selector, all_namespaces)
        failed = failed or found is None
        for obj in found or ():
            if printed:
                click.echo("\n")
            events = _events(api, target.resource, obj) if show_events else None
            related, start = _related(api, target.resource, obj), _start(api, target.resource, obj)
            click.echo(describe(target.resource, obj, related, events, start))
            printed = True
    if not printed and not failed:
        click.echo("No resources found", err=True)
    if failed:
        raise SystemExit(1)


def _find(
    api: Connection, target: Target, selector: str | None, everywhere: bool
) -> list[dict[str, Any]] | None:
    """The objects; None (told on stderr) if the one that was named is not there."""
    from podium.cli.refusal import told
    from podium.client.errors import NotFound

    resource = target.resource
    try:
        if target.name:
            return [api.get(resource, target.name)]
    except NotFound as error:
        click.echo(told(error), err=True)
        return None
    namespace = None if everywhere else api.namespace_of(resource)
    listed = api.request("GET", resource.path(namespace), query={"labelSelector": selector})
    head = {"apiVersion": resource.api_version, "kind": resource.kind}
    return [{**head, **item} for item in listed["items"]]


def _events(api: Connection, resource: Resource, obj: dict[str, Any]) -> list[dict[str, Any]]:
    metadata = obj["metadata"]
    # A node's events lie in "default" and name it by its name in place of a uid.
    fields = {"involvedObject.kind": resource.kind, "involvedObject.name": metadata["name"]}
    if resource.namespaced:
        fields["involvedObject.uid"] = metadata["uid"]
    selector = ",".join(f"{key}={value}" for key, value in fields.items())
    path = f"/api/v1/namespaces/{metadata.get('namespace', 'default')}/events"
    items: list[dict[str, Any]] = api.request("GET", path, query={"fieldSelector": selector})[
        "items"
    ]
    return items


def _related(api: Connection, resource: Resource, obj: dict[str, Any]) -> list[dict[str, Any]]:
    """What a description speaks of beside the object: a Deployment's ReplicaSets, a node's Pods."""
    metadata = obj["metadata"]
    if resource.key == "nodes":
        query = {"fieldSelector": f"spec.nodeName={metadata['name']}"}
        found = api.request("GET", "/api/v1/pods", query=query)["items"]
        return [p for p in found if p["status"].get("phase") not in ("Succeeded", "Failed")]
    if resource.key == "deployments.apps":
        path = f"/apis/apps/v1/namespaces/{metadata['namespace']}/replicasets"
        return _owned(api.request("GET", path)["items"], metadata["uid"])
    if resource.key == "replicasets.apps":
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods"
        return _owned(api.request("GET", path)["items"], metadata["uid"])
    return []


def _start(api: Connection, resource: Resource, obj: dict[str, Any]) -> list[str]:
    """How a Pod's start went, if that is still kept (another API server knows nothing of it)."""
    from podium.cli.budget_text import budget_lines
    from podium.client.errors import ApiError

    if resource.key != "pods":
        return []
    about = obj["metadata"]
    try:
        path = f"/podium/v1/budget/pods/{about['namespace']}/{about['name']}"
        return list(budget_lines(api.request("GET", path)))
    except ApiError as error:
        if error.code in (403, 404):
            return []
        raise


def _owned(objects: list[dict[str, Any]], uid: str) -> list[dict[str, Any]]:
    return [
        obj
        for obj in objects
        if any(owner["uid"] == uid for owner in obj["metadata"].get("ownerReferences") or ())
    ]
