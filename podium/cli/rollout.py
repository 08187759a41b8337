"""Room podium/cli: `podium rollout`: what a Deployment's rollout does, and turning it back.

A Deployment's history are its ReplicaSets, numbered by an annotation.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import click

from podium.api.meta import controller_of
from podium.api.scheme import resource
from podium.cli.options import api_options
from podium.cli.targets import Target, parse_targets

if TYPE_CHECKING:
    from podium.cli.connection import Connection

REVISION = "deployment.kubernetes.io/revision"
CHANGE_CAUSE = "kubernetes.io/change-cause"
RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
TEMPLATE_HASH = "pod-template-hash"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
# What a ReplicaSet carries on behalf of its Deployment and must not be carried back by undo.
NOT_CARRIED_BACK = (
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    "deployment.kubernetes.io/revision-history",
    "deployment.kubernetes.io/desired-replicas",
    "deployment.kubernetes.io/max-replicas",
)


@click.group()
def command() -> None:
    """Watch, undo, restart, pause or resume a rollout."""


@command.command()
@click.argument("words", nargs=-1, metavar="deploy/NAME")
@click.option("-w", "--watch", type=bool, default=True, is_flag=False, flag_value="true",
              help="Wait until it is done (default); --watch=false: say how far.")  # fmt: skip
@click.option("--timeout", type=click.FloatRange(min=0), default=3600.0, metavar="SECONDS",
              help="At most so long (an hour).")  # fmt: skip
@api_options
def status(*, api: Connection, words: tuple[str, ...], watch: bool, timeout: float) -> None:
    """Wait until a rollout is done; exit code 1 if it fails."""
    from podium.cli.waiting import deployment_progress, follow

    for target in _deployments(words):
        said = ""
        namespace = api.namespace_of(target.resource)
        _get(api, target)  # a missing one is NotFound, not something to wait for
        for obj in follow(api, target.resource, namespace, str(target.name), timeout):
            if obj is None:
                raise click.ClickException(f"{target} was deleted")
            progressed = deployment_progress(obj)
            if progressed.failed:
                raise click.ClickException(progressed.message)
            if progressed.message != said:
                click.echo(progressed.message)
                said = progressed.message
            if progressed.done or not watch:
                break


@command.command()
@click.argument("words", nargs=-1, metavar="deploy/NAME")
@click.option("--revision", type=int, help="Show the Pod template of this revision.")
@api_options
def history(*, api: Connection, words: tuple[str, ...], revision: int | None) -> None:
    """List the revisions that undo can go back to."""
    from podium.api.yaml_text import to_yaml
    from podium.cli.output import columns

    for target in _deployments(words):
        revisions = _revisions(api, _get(api, target))
        if revision is not None:
            chosen = _chosen(revisions, revision)
            click.echo(f"{target} with revision #{revision}")
            click.echo(to_yaml({"template": _template(chosen)}), nl=False)
            continue
        rows = [["REVISION", "CHANGE-CAUSE"]]
        for number, replicaset in sorted(revisions.items()):
            cause = (replicaset["metadata"].get("annotations") or {}).get(CHANGE_CAUSE)
            rows.append([str(number), cause or "<none>"])
        click.echo(target)
        click.echo("\n".join(columns(rows)))


@command.command()
@click.argument("words", nargs=-1, metavar="deploy/NAME")
@click.option("--to-revision", type=int, default=0, help="Which one (0: the one before).")
@api_options
def undo(*, api: Connection, words: tuple[str, ...], to_revision: int) -> None:
    """Go back to the Pod template of an earlier revision."""
    for target in _deployments(words):
        deployment = _get(api, target)
        if deployment["spec"].get("paused"):
            raise click.ClickException(
                f"cannot undo a paused rollout; first: podium rollout resume {target}"
            )
        revisions = _revisions(api, deployment)
        number = to_revision or _one_before(revisions, deployment)
        replicaset = _chosen(revisions, number)
        if _template(replicaset) == _plain(deployment["spec"]["template"]):
            click.echo(f"{target} skipped rollback (current template already matches "
                       f"revision {number})")  # fmt: skip
            continue
        _patch(api, target, _undo_patch(deployment, replicaset), JSON_PATCH)
        click.echo(f"{target} rolled back")


@command.command()
@click.argument("words", nargs=-1, metavar="deploy/NAME")
@api_options
def restart(*, api: Connection, words: tuple[str, ...]) -> None:
    """Replace every Pod, one after the other, with one like it."""
    from podium.api.meta import now

    for target in _deployments(words):
        if _get(api, target)["spec"].get("paused"):
            raise click.ClickException(
                f"can't restart a paused rollout; first: podium rollout resume {target}"
            )
        annotations = {"metadata": {"annotations": {RESTARTED_AT: now()}}}
        _patch(api, target, {"spec": {"template": annotations}}, STRATEGIC)
        click.echo(f"{target} restarted")


@command.command()
@click.argument("words", nargs=-1, metavar="deploy/NAME")
@api_options
def pause(*, api: Connection, words: tuple[str, ...]) -> None:
    """Let changes wait until resume, so that several become one rollout."""
    _set_paused(api, words, True)


@command.command()
@click.argument("words", nargs=-1, metavar="deploy/NAME")
@api_options
def resume(*, api: Connection, words: tuple[str, ...]) -> None:
    """Go on after pause."""
    _set_paused(api, words, False)


def _set_paused(api: Connection, words: tuple[str, ...], wanted: bool) -> None:
    said = "paused" if wanted else "resumed"
    for target in _deployments(words):
        if bool(_get(api, target)["spec"].get("paused")) == wanted:
            raise click.ClickException(f"{target} is {'already' if wanted else 'not'} paused")
        _patch(api, target, {"spec": {"paused": wanted}}, STRATEGIC)
        click.echo(f"{target} {said}")


# --- what a history is made of ------------------------------------------------------------------


def _deployments(words: tuple[str, ...]) -> list[Target]:
    targets = parse_targets(words)
    for target in targets:
        if target.resource.key != "deployments.apps":
            raise click.ClickException(f"a {target.resource.singular} has no rollouts")
        if target.name is None:
            raise click.UsageError("name the deployment, e.g. deploy/web")
    return targets


def _get(api: Connection, target: Target) -> dict[str, Any]:
    return api.get(target.resource, str(target.name))


def _patch(api: Connection, target: Target, patch: Any, content_type: str) -> None:
    path = target.resource.path(api.namespace_of(target.resource), target.name)
    api.request("PATCH", path, body=patch, content_type=content_type)


def _revisions(api: Connection, deployment: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Revision → ReplicaSet, of those that belong to the Deployment."""
    path = resource("replicasets.apps").path(deployment["metadata"]["namespace"])
    found = {}
    for replicaset in api.request("GET", path)["items"]:
        owner = controller_of(replicaset)
        number = (replicaset["metadata"].get("annotations") or {}).get(REVISION, "")
        if owner and owner["uid"] == deployment["metadata"]["uid"] and number.isdecimal():
            found[int(number)] = replicaset
    return found


def _one_before(revisions: dict[int, dict[str, Any]], deployment: dict[str, Any]) -> int:
    numbers = sorted(revisions)
    if len(numbers) < 2:
        name = deployment["metadata"]["name"]
        raise click.ClickException(f'no rollout history found for deployment "{name}"')
    return numbers[-2]


def _chosen(revisions: dict[int, dict[str, Any]], number: int) -> dict[str, Any]:
    if number not in revisions:
        raise click.ClickException(f"unable to find specified revision {number} in history")
    return revisions[number]


def _template(replicaset: dict[str, Any]) -> dict[str, Any]:
    return _plain(replicaset["spec"]["template"])


def _plain(template: dict[str, Any]) -> dict[str, Any]:
    """A Pod template without the hash that the controller adds."""
    plain = copy.deepcopy(template)
    (plain.get("metadata", {}).get("labels") or {}).pop(TEMPLATE_HASH, None)
    return plain


def _undo_patch(deployment: dict[str, Any], replicaset: dict[str, Any]) -> list[dict[str, Any]]:
    """The template as it was, with the notes that belonged to it and those that belong to now."""
    then = replicaset["metadata"].get("annotations") or {}
    now = deployment["metadata"].get("annotations") or {}
    annotations = {key: now[key] for key in NOT_CARRIED_BACK if key in now}
    annotations |= {key: value for key, value in then.items() if key not in NOT_CARRIED_BACK}
    return [
        {"op": "replace", "path": "/spec/template", "value": _template(replicaset)},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]
