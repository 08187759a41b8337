"""Room podium/cli: which Pod and which container are meant: `logs deploy/web`, `exec web`.

Used by `logs`, `exec`, `attach`, `cp` and `port-forward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from podium.api.meta import is_pod_ready
from podium.api.scheme import resource
from podium.cli.targets import Target, parse_one

if TYPE_CHECKING:
    from podium.cli.connection import Connection

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def find_pod(api: Connection, word: str) -> dict[str, Any]:
    """The Pod called `web` or `pod/web`, or the best of `deploy/web`: a ready one, the newest."""
    target = parse_one((word,)) if "/" in word else Target(resource("pods"), word)
    assert target.name is not None
    if target.resource.key == "pods":
        return api.get(target.resource, target.name)
    found = api.get(target.resource, target.name)
    match = (found.get("spec") or {}).get("selector", {}).get("matchLabels")
    if not match:
        raise click.ClickException(f"a {target.resource.singular} has no pods of its own")
    selector = ",".join(f"{key}={value}" for key, value in match.items())
    path = resource("pods").path(api.namespace)
    pods = api.request("GET", path, query={"labelSelector": selector})["items"]
    if not pods:
        raise click.ClickException(f"{target} has no pods")
    best = max(pods, key=lambda pod: (is_pod_ready(pod), pod["metadata"]["creationTimestamp"]))
    if len(pods) > 1:
        click.echo(f"Found {len(pods)} pods, using pod/{best['metadata']['name']}", err=True)
    return {"apiVersion": "v1", "kind": "Pod", **best}


def choose_container(pod: dict[str, Any], wanted: str | None, *, quiet: bool = False) -> str:
    """The container that was named, or the Pod's default one (told on stderr if it has several)."""
    names = container_names(pod)
    if wanted:
        if wanted not in names:
            raise click.ClickException(
                f"container {wanted} is not valid for pod {pod['metadata']['name']}; "
                f"it has: {', '.join(names)}"
            )
        return wanted
    main = [container["name"] for container in pod["spec"]["containers"]]
    chosen = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER)
    if chosen in main:
        return str(chosen)
    if len(names) > 1 and not quiet:
        listed = ", ".join([*main, *(f"{name} (init)" for name in names if name not in main)])
        click.echo(f'Defaulted container "{main[0]}" out of: {listed}', err=True)
    return str(main[0])


def container_named(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """A container of a Pod that is known to have it."""
    spec = pod["spec"]
    lists = (spec.get("initContainers"), spec["containers"], spec.get("ephemeralContainers"))
    return next(c for containers in lists for c in containers or () if c["name"] == name)


def container_names(pod: dict[str, Any]) -> list[str]:
    """Every container of a Pod, in the order they start."""
    spec = pod["spec"]
    lists = (spec.get("initContainers"), spec["containers"], spec.get("ephemeralContainers"))
    return [container["name"] for containers in lists for container in containers or ()]
