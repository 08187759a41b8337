"""Lesson 8: a Pod is placed when there is a node for it, and told why while there is none."""

from __future__ import annotations

from collections.abc import Iterator

from podium.api.meta import condition, parse_time
from podium.lessons.world import Finding, Missing, Object, Outcome, World

LABEL, VALUE = "lesson", "eight"
AT_ONCE_S = 15.0  # a busy machine takes its time; a round of the clock would be a minute


def check(world: World) -> Iterator[Finding]:
    """One that waits with a reason, one that waited."""
    huge = world.pod("huge")
    scheduled = condition(huge, "PodScheduled") or {}
    yield Finding(
        "huge has no node, for want of CPU",
        not huge["spec"].get("nodeName") and "Insufficient cpu" in scheduled.get("message", ""),
        "it must request more CPU than any node has",
    )
    yield Finding(
        "picky was seen, and had to wait: no node had its label",
        bool(world.events("picky", "FailedScheduling")),
        "make it before you label the node",
    )
    picky = world.pod("picky")
    name = picky["spec"].get("nodeName")
    yield Finding(
        f"picky is on the node {name}, which has the label {LABEL}={VALUE}",
        bool(name) and name in _labelled(world),
        f"kubectl label node <node> {LABEL}={VALUE}",
    )
    process = world.process(picky)
    weight = process.cgroup_value("cpu.shares", "cpu.weight")
    yield Finding(
        f"the kernel gives its process {process.pid} a weight of {weight}",
        int(weight) in (51, 2, 3),  # shares on v1; v2 has 10,000 steps where v1 has 262,144
        "resources.requests.cpu: 50m",
    )


def outcome(world: World) -> Outcome:
    """How long after the label the Pod was placed, from the objects' histories."""
    waited_s = _waited_s(world)
    return Outcome(
        "b" if waited_s < AT_ONCE_S else "c",
        f"it was placed {waited_s * 1000:.0f} ms after the node had got its label (podium history "
        "pod picky shows it). The scheduler watches nodes as well as Pods. It "
        "keeps those that it could not place aside, and a change that may help brings them back "
        "into its queue.",
    )


def clean(world: World) -> None:
    """The label on the nodes is outside of the namespace."""
    for name in _labelled(world):
        world.client.patch("nodes", name, None, {"metadata": {"labels": {LABEL: None}}})


def _labelled(world: World) -> list[str]:
    listed = world.client.list("nodes", label_selector=f"{LABEL}={VALUE}")
    return [node["metadata"]["name"] for node in listed["items"]]


def _waited_s(world: World) -> float:
    """From the last change of the node's labels before the Pod was placed until that."""
    placed = _latest(world.history("pods", "picky"), "spec.nodeName")
    nodes = world.history("nodes", world.pod("picky")["spec"]["nodeName"], None)
    before = [change for change in nodes if change["revision"] < placed["revision"]]
    labelled = _latest(before, "metadata.labels")
    return (parse_time(placed["time"]) - parse_time(labelled["time"])).total_seconds()


def _latest(changes: list[Object], field: str) -> Object:
    """The newest change of a field; they come newest first."""
    for change in changes:
        if any(changed.startswith(field) for changed in change["changed"]):
            return change
    raise Missing(f"the change of {field} is still kept", "the past is kept for a while only")
