"""What a trace says of each Pod: its phases, its processes, when it was Ready. Room
apiserver/trace; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from apiserver.trace.tree import Node, ms, rfc3339

Object = dict[str, Any]

# Kubernetes' pod startup latency objective, of 99 in 100 Pods (kubernetes/community,
# sig-scalability/slos/pod_startup_latency.md). It is of Pods whose images are there.
OBJECTIVE_MS = 5000.0
_LEFT_OUT = ("image",)


def pods_of(root: Node) -> list[Object]:
    """One entry for each Pod that was created in the trace, in the order of their creation."""
    made = {
        node.about["object"]["uid"]: node
        for node in root.walk()
        if _is_change(node, "pods") and node.about["verb"] == "create"
    }
    of: dict[str, list[Node]] = {uid: [] for uid in made}
    for node in root.walk():
        uid = node.about["object"]["uid"] if _is_change(node, "pods") else node.key
        if uid in of:
            of[uid].append(node)
    return [_pod(root.began_us, created, of[uid]) for uid, created in made.items()]


def _is_change(node: Node, resource: str) -> bool:
    return node.kind == "change" and node.about["object"]["resource"] == resource


def _pod(began_us: int, created: Node, nodes: list[Node]) -> Object:
    phases = _phases(created, nodes)
    ready_us, made = _ready_us(nodes), created.about["object"]
    return {
        "namespace": made["namespace"], "name": made["name"], "uid": made["uid"],
        "node": _node_name(nodes),
        "createdMs": ms(created.ended_us - began_us),
        "phases": phases,
        "processes": [_process(node, created) for node in nodes if node.kind == "process"],
        "readyMs": None if ready_us is None else ms(ready_us - created.ended_us),
    }  # fmt: skip


def _phases(created: Node, nodes: list[Node]) -> list[Object]:
    """In the order in which they began; "startMs" counts from the Pod's creation."""
    found = [_phase("scheduled", created, created.ended_us, node.ended_us)
             for node in nodes
             if node.kind == "change" and node.about["subresource"] == "binding"]  # fmt: skip
    for node in nodes:
        if node.kind == "phase":
            found.append(_phase(node.name, created, node.began_us, node.ended_us, node.attributes))
    return sorted(found, key=lambda phase: float(phase["startMs"]))


def _phase(
    name: str, created: Node, began_us: int, ended_us: int, attributes: Object | None = None
) -> Object:
    attributes = attributes or {}
    shown: Object = {"name": name, "startMs": ms(began_us - created.ended_us),
                     "durationMs": ms(ended_us - began_us)}  # fmt: skip
    for attribute in ("container", "attempt", "image", "ip", "outcome", "isPartOf"):
        if attribute in attributes:
            shown[attribute] = attributes[attribute]
    return shown


def _process(node: Node, created: Node) -> Object:
    return {
        "container": node.attributes.get("container"), "pid": node.attributes.get("pid"),
        "containerID": node.attributes.get("containerID"),
        "attempt": node.attributes.get("attempt", 0),
        "startedMs": ms(node.began_us - created.ended_us), "spanId": node.span_id,
    }  # fmt: skip


def _ready_us(nodes: list[Node]) -> int | None:
    return next((n.ended_us for n in nodes if n.kind == "phase" and n.name == "ready"), None)


def _node_name(nodes: list[Node]) -> str:
    """From who has told of it: "kubelet node-1"."""
    for node in nodes:
        component = str(node.about.get("component", ""))
        if component.startswith("kubelet "):
            return component.removeprefix("kubelet ")
    return ""


# ---- the start-up budget -----------------------------------------------------------------------


def budget(pod: Object, created_us: int) -> Object:
    """A Pod's start against Kubernetes' objective, from its entry of `pods_of`."""
    left_out = _covered_ms(p for p in pod["phases"] if p["name"] in _LEFT_OUT)
    ready = pod["readyMs"]
    counted = None if ready is None else round(max(0.0, ready - left_out), 3)
    return {
        "namespace": pod["namespace"], "name": pod["name"], "uid": pod["uid"], "node": pod["node"],
        "created": rfc3339(created_us), "phases": pod["phases"], "processes": pod["processes"],
        "readyMs": ready, "leftOutMs": round(left_out, 3), "countedMs": counted,
        "objectiveMs": OBJECTIVE_MS,
        "isWithinObjective": None if counted is None else counted <= OBJECTIVE_MS,
        "restMs": None if ready is None else round(max(0.0, ready - _covered_ms(
            p for p in pod["phases"] if p["name"] != "ready" and "isPartOf" not in p)), 3),
    }  # fmt: skip


def _covered_ms(phases: Iterable[Object]) -> float:
    """The time that phases take together; what several share counts once."""
    covered = until = 0.0
    for phase in sorted(phases, key=lambda p: float(p["startMs"])):
        start, end = phase["startMs"], phase["startMs"] + phase["durationMs"]
        covered += max(0.0, end - max(start, until))
        until = max(until, end)
    return covered
