"""Lesson 7: a rollout is two ReplicaSets whose numbers move, within bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator

from podium.api.meta import is_pod_active, is_pod_ready
from podium.lessons.world import Finding, Missing, Object, Outcome, World

REPLICAS = 4
REVISION = "deployment.kubernetes.io/revision"
BROKEN = "no-such-program"


def check(world: World) -> Iterator[Finding]:
    """Three templates, what is left of them, and the environment of what runs."""
    deployment = world.get("deployments.apps", "web")
    sets = world.all("replicasets.apps")
    broken = [one for one in sets if _container(one).get("command") == [BROKEN]]
    yield Finding(
        "the version that cannot start has a ReplicaSet, with no Pods now",
        len(broken) == 1 and broken[0]["spec"]["replicas"] == 0,
        "roll it out, look, and undo it",
    )
    revision = int(deployment["metadata"].get("annotations", {}).get(REVISION, "0"))
    yield Finding(
        f"the Deployment is at revision {revision}, and has {len(sets)} ReplicaSets",
        revision >= 4 and len(sets) == 3,
        "first version, broken one, undone, second version: that is revision 4",
    )
    pods = [pod for pod in world.all("pods") if is_pod_active(pod)]
    yield Finding(
        f"{len(pods)} Pods are there, and Ready",
        len(pods) == REPLICAS and all(is_pod_ready(pod) for pod in pods),
        "kubectl -n lesson-7 rollout status deploy/web",
    )
    versions = [world.process(pod).environment.get("VERSION") for pod in pods]
    yield Finding(
        f"their processes have VERSION={', '.join(sorted(set(map(str, versions))))}",
        versions == ["two"] * REPLICAS,
        "kubectl -n lesson-7 set env deploy/web VERSION=two",
    )


def outcome(world: World) -> Outcome:
    """How few Pods of the first version there were while the broken one was rolled out."""
    least = _least_of_first_version(world)
    return Outcome(
        "c" if least >= REPLICAS else "a" if least == 0 else "b",
        f"the first ReplicaSet never had fewer than {least} Pods then. One may be missing, so the "
        "Deployment took one away; one may be too many, so it started two new ones. They never "
        "became available, and taking another old one away would have broken the bound. It stops "
        "there and leaves the rest to you: only you know which version is right.",
    )


def _least_of_first_version(world: World) -> int:
    """From the events: the first "scaled down" that there was is the broken rollout's."""
    sets = world.all("replicasets.apps")
    first = [one for one in sets if _value(one, "VERSION") == "one" and not _is_broken(one)]
    if not first:
        raise Missing("the first version's ReplicaSet is there", "begin the lesson anew")
    name = first[0]["metadata"]["name"]
    events = world.events("web", "ScalingReplicaSet")
    pattern = re.compile(rf"Scaled down replica set {re.escape(name)} from {REPLICAS} to (\d+)")
    found = (pattern.match(event.get("message", "")) for event in events)
    return min((int(match[1]) for match in found if match), default=REPLICAS)


def _is_broken(replica_set: Object) -> bool:
    return bool(_container(replica_set).get("command") == [BROKEN])


def _container(replica_set: Object) -> Object:
    container: Object = replica_set["spec"]["template"]["spec"]["containers"][0]
    return container


def _value(replica_set: Object, name: str) -> str | None:
    variables = _container(replica_set).get("env") or []
    return next((one.get("value") for one in variables if one["name"] == name), None)
