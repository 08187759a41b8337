"""Lesson 6: a loop keeps three Pods, whatever is done to them."""

from __future__ import annotations

from collections.abc import Iterator

from podium.api.meta import controller_of, is_pod_active, is_pod_ready
from podium.lessons.world import Finding, Object, Outcome, World

REPLICAS = 3


def check(world: World) -> Iterator[Finding]:
    """Who owns which Pod, and that each of them is a process."""
    owner = world.get("replicasets.apps", "web")
    pods = [pod for pod in world.all("pods") if is_pod_active(pod)]
    owned = [pod for pod in pods if _is_owned(pod, owner)]
    aside = [pod for pod in pods if pod["metadata"].get("labels", {}).get("app") == "aside"]
    yield Finding(
        f"{len(owned)} Pods belong to the ReplicaSet web, and are Ready",
        len(owned) == REPLICAS and all(is_pod_ready(pod) for pod in owned),
        f"replicas: {REPLICAS}; see kubectl -n lesson-6 describe rs web",
    )
    made = sum(event.get("count", 1) for event in world.events("web", "SuccessfulCreate"))
    yield Finding(
        f"it has made {made} Pods so far: one to replace a deleted one, one for the one let go",
        made >= REPLICAS + 2,
        "delete one of its Pods, and change the label of another",
    )
    yield Finding(
        "one Pod is set aside and belongs to nobody",
        len(aside) == 1 and controller_of(aside[0]) is None,
        "kubectl -n lesson-6 label pod <one of them> app=aside --overwrite",
    )
    pids = {world.process(pod).pid for pod in owned + aside if is_pod_ready(pod)}
    yield Finding(
        f"the kernel runs {len(pids)} processes for them",
        len(pids) == REPLICAS + 1,
        "wait until they are Ready",
    )


def outcome(world: World) -> Outcome:
    """What became of the Pod with another label."""
    owner = world.get("replicasets.apps", "web")
    pods = [pod for pod in world.all("pods") if is_pod_active(pod)]
    owned = [pod for pod in pods if _is_owned(pod, owner)]
    return Outcome(
        "b" if len(pods) == REPLICAS + 1 and len(owned) == REPLICAS else "a",
        "the selector did not match any more, so the controller took its ownerReference off the "
        "Pod, counted two, and made a third. It neither knew nor cared that it was you. Labels "
        "decide what a controller may own; the reference records that it does.",
    )


def _is_owned(pod: Object, owner: Object) -> bool:
    reference = controller_of(pod)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]
