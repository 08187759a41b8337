"""Room podium/cli: waiting for an object to become what was asked for, by watching it.

Used by `apply --wait`, `rollout status`, `delete` and the first lesson. Every wait has a bound.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click

from podium.api.meta import condition, is_pod_ready
from podium.api.scheme import Resource
from podium.cli.connection import Connection

Object = dict[str, Any]
WATCH_S = 300  # the server ends a watch after this; we begin a new one


class TimedOut(click.ClickException):
    """The bound of a wait was reached."""

    def show(self, file: Any = None) -> None:
        """In kubectl's words."""
        click.echo(f"error: timed out waiting for {self.message}", err=True)


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far an object is. `message` is for people; `failed` means that waiting is of no use."""

    done: bool
    message: str
    failed: bool = False


def follow(
    api: Connection, resource: Resource, namespace: str | None, name: str, timeout_s: float
) -> Iterator[Object | None]:
    """The object as it is, then as it is after each change; None whenever there is none.

    Raises TimedOut after `timeout_s`. Close it (leave the loop) when enough was seen.
    """
    deadline = time.monotonic() + timeout_s
    path = resource.path(namespace)
    only = {"fieldSelector": f"metadata.name={name}"}
    while time.monotonic() < deadline:
        listed = api.request("GET", path, query=only)
        yield listed["items"][0] if listed["items"] else None
        left = min(WATCH_S, max(1, round(deadline - time.monotonic())))
        rv = listed["metadata"]["resourceVersion"]
        query = {**only, "resourceVersion": rv, "timeoutSeconds": left}
        for event in api.watch(path, query):
            if event["type"] == "ERROR":
                break  # the history is gone: list anew
            yield None if event["type"] == "DELETED" else event["object"]
    raise TimedOut(f"{resource.key} {name}")


def wait_ready(
    api: Connection, resource: Resource, namespace: str | None, name: str, timeout_s: float
) -> Object:
    """Wait until an object is ready, whatever that means for its kind; gives it back."""
    for obj in follow(api, resource, namespace, name, timeout_s):
        if obj is None:
            raise click.ClickException(f'{resource.key} "{name}" is gone')
        progressed = readiness(resource, obj)
        if progressed.failed:
            raise click.ClickException(f"{resource.singular} {name}: {progressed.message}")
        if progressed.done:
            return obj
    raise AssertionError("follow() ends by raising")


def wait_gone(
    api: Connection,
    resource: Resource,
    namespace: str | None,
    name: str,
    *,
    uid: str,
    timeout_s: float,
) -> None:
    """Wait until the very object that was deleted is gone (not a new one of its name)."""
    for obj in follow(api, resource, namespace, name, timeout_s):
        if obj is None or obj["metadata"]["uid"] != uid:
            return


def readiness(resource: Resource, obj: Object) -> Progressed:
    """How far an object is on its way to being ready."""
    if resource.key == "pods":
        return _pod(obj)
    if resource.key == "deployments.apps":
        return deployment_progress(obj)
    if resource.key == "replicasets.apps":
        return _replicaset(obj)
    return Progressed(True, "there")


def _pod(pod: Object) -> Progressed:
    phase = (pod.get("status") or {}).get("phase", "Pending")
    if phase == "Failed":
        message = (pod["status"].get("message") or pod["status"].get("reason")) or "it failed"
        return Progressed(False, message, failed=True)
    return Progressed(phase == "Succeeded" or is_pod_ready(pod), phase)


def _replicaset(obj: Object) -> Progressed:
    status, wanted = obj.get("status") or {}, obj["spec"].get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    seen = status.get("observedGeneration", 0) >= obj["metadata"].get("generation", 0)
    return Progressed(seen and ready == wanted, f"{ready} of {wanted} are ready")


def deployment_progress(obj: Object) -> Progressed:
    """How far a rollout is, in the words of `kubectl rollout status`."""
    name, spec, status = obj["metadata"]["name"], obj["spec"], obj.get("status") or {}
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return Progressed(False, "Waiting for deployment spec update to be observed...")
    progressing = condition(obj, "Progressing")
    if progressing and progressing.get("reason") == "ProgressDeadlineExceeded":
        return Progressed(False, f'deployment "{name}" exceeded its progress deadline', failed=True)
    wanted, replicas = spec.get("replicas", 1), status.get("replicas", 0)
    updated, available = status.get("updatedReplicas", 0), status.get("availableReplicas", 0)
    waiting = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return Progressed(
            False, f"{waiting}{updated} out of {wanted} new replicas have been updated..."
        )
    if replicas > updated:
        return Progressed(
            False, f"{waiting}{replicas - updated} old replicas are pending termination..."
        )
    if available < updated:
        return Progressed(
            False, f"{waiting}{available} of {updated} updated replicas are available..."
        )
    return Progressed(True, f'deployment "{name}" successfully rolled out')
