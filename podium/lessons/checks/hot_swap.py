"""Lesson 10: the learner's scheduler places the Pods that name it."""

from __future__ import annotations

from collections.abc import Iterator

from podium.api.meta import is_pod_active
from podium.lessons.world import Finding, Object, Outcome, World

NAME = "mine"
HERD = 3


def check(world: World) -> Iterator[Finding]:
    """Who bound which Pod, from the histories; and that it runs."""
    pig = world.pod("guinea-pig")
    herd = [pod for pod in world.all("pods", "app=herd") if is_pod_active(pod)]
    yield Finding(
        f"guinea-pig and the {len(herd)} Pods of herd wish for the scheduler {NAME}",
        len(herd) == HERD and all(pod["spec"].get("schedulerName") == NAME for pod in [pig, *herd]),
        f"spec.schedulerName: {NAME}",
    )
    for pod in [pig, *herd]:
        name = pod["metadata"]["name"]
        writer = _binder(world, pod)
        yield Finding(
            f"{name} was placed by {writer or 'nobody'}, on {pod['spec'].get('nodeName')}",
            writer == NAME,
            f"start your scheduler; its client's user_agent is {NAME}",
        )
        yield Finding(
            f"{name} runs as process {world.process(pod).pid}",
            True,
        )


def outcome(world: World) -> Outcome:
    """What the cluster did with it before."""
    pig = world.pod("guinea-pig")
    events = world.events("guinea-pig", "FailedScheduling")
    return Outcome(
        "b" if _binder(world, pig) != NAME else "c",
        f"the API server keeps what is well-formed, and {len(events) or 'no'} events tell that "
        "anybody tried: the default scheduler does not look at Pods that name another. A wish that "
        "nobody serves is not an error here. It is a Pod that waits.",
    )


def _binder(world: World, pod: Object) -> str | None:
    """Who wrote the Pod's nodeName."""
    for change in world.history("pods", pod["metadata"]["name"]):
        if "spec.nodeName" in change["changed"]:
            return str(change["manager"])
    return None
