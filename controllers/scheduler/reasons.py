"""Room controllers/scheduler: why a Pod went where it went, and why not elsewhere. Pure.

The record lies on the Pod as the annotation `scheduler.podium.dev/decision` and is written with
what is written anyway: the Binding, or the condition that says that there is none.

    {"at": "…", "result": "Unschedulable", "nodes": 3,
     "rejected": [{"filter": "NodeResourcesFit", "reason": "Insufficient cpu", "count": 1,
                   "nodes": [{"name": "node-2", "why": ["cpu: asks 500m, 300m of 2 free"],
                              "fitsWith": ["cpu ≤ 300m"]}]}],
     "fits": [{"node": "node-2", "with": ["cpu ≤ 300m"]}],
     "scores": [{"node": "node-1", "total": 587.1, "parts": {"TaintToleration": 300, …}}]}

Nodes that were rejected for the same reason share an entry, which counts them and shows the
numbers of a few, those nearest to fitting; so a record is small however many nodes there are.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from controllers import taints
from controllers.scheduler.counterfactual import Judge, port_words, what_would_fit
from controllers.scheduler.figures import most, shown
from controllers.scheduler.filters import Rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import NodeTerm, PodInfo
from controllers.scheduler.scores import Ranking

Object = dict[str, Any]
Rejected = tuple[NodeInfo, Rejection]

DECISION = "scheduler.podium.dev/decision"
REASONS_SHOWN = 12  # kinds of rejection; what is beyond is counted together
NODES_SHOWN = 5  # for each of them
SCORES_SHOWN = 10
PARTS_SHOWN = 2  # of the best ones what their scores are made of, without what is 0
FITS_SHOWN = 3
VICTIMS_SHOWN = 10
MOST_BYTES = 8192  # of a record; above it only one node is shown for each reason


class Record:
    """Grows while one Pod is decided on. `at` is an RFC 3339 time."""

    def __init__(self, at: str, nodes: int) -> None:
        self._about: Object = {"at": at, "nodes": nodes}
        self._rejected: list[Object] = []

    def bound(self, node: str, ranking: Ranking) -> None:
        """The Pod goes there (or will, once its volumes are there)."""
        best: list[Object] = []
        for name, total, parts in ranking.best_first(SCORES_SHOWN):
            best.append({"node": name, "total": round(total, 2)})
            if len(best) <= PARTS_SHOWN:
                best[-1]["parts"] = {score: part for score, part in parts.items() if part}
        self._about |= {"result": "Bound", "node": node, "scores": best}
        if len(best) < len(ranking):
            self._about["scoresNotShown"] = len(ranking) - len(best)

    def refused(self, reason: str, message: str = "") -> None:
        """`message` is for what concerns no node: a gate, a claim that is not there."""
        self._about["result"] = reason
        if message:
            self._about["message"] = message

    def preempting(self, node: str, victims: Sequence[PodInfo]) -> None:
        """Room is being made there."""
        keys = [victim.key for victim in victims[:VICTIMS_SHOWN]]
        self._about["preempting"] = {"node": node, "count": len(victims), "victims": keys}

    def rejected(self, pod: PodInfo, rejected: Sequence[Rejected], judge: Judge) -> None:
        """Which nodes will not do; `judge` asks all filters."""
        self._rejected = list(_groups(pod, rejected, judge))

    def text(self) -> str:
        """The annotation's value."""
        text = self._encoded(NODES_SHOWN)
        return text if len(text) <= MOST_BYTES else self._encoded(1)

    def _encoded(self, nodes_shown: int) -> str:
        rejected = [{**one, "nodes": one["nodes"][:nodes_shown]} for one in self._rejected]
        record = {**self._about}
        if rejected:
            record |= {"rejected": rejected, "fits": _fits(self._rejected)}
        return orjson.dumps(record).decode()


def says_the_same(one: str | None, other: str) -> bool:
    """Whether two records differ in nothing but their time."""
    if one is None:
        return False
    try:
        return bool({**orjson.loads(one), "at": ""} == {**orjson.loads(other), "at": ""})
    except (orjson.JSONDecodeError, TypeError):
        return False  # somebody else has written it


def _groups(pod: PodInfo, rejected: Sequence[Rejected], judge: Judge) -> Iterator[Object]:
    by_reason: dict[tuple[str, tuple[str, ...]], list[NodeInfo]] = {}
    for node, rejection in rejected:
        by_reason.setdefault((rejection.filter, rejection.reasons), []).append(node)
    groups = sorted(by_reason.items(), key=lambda group: -len(group[1]))
    for (name, reasons), nodes in groups[:REASONS_SHOWN]:
        nearest = heapq.nsmallest(NODES_SHOWN, nodes, key=lambda node: _distance(pod, node))
        yield {
            "filter": name,
            "reason": ", ".join(reasons),
            "count": len(nodes),
            "nodes": [_about_node(name, pod, node, reasons, judge) for node in nearest],
        }
    if rest := groups[REASONS_SHOWN:]:
        count = sum(len(nodes) for _, nodes in rest)
        yield {"filter": "", "reason": f"{len(rest)} other reasons", "count": count, "nodes": []}


def _about_node(
    name: str, pod: PodInfo, node: NodeInfo, reasons: tuple[str, ...], judge: Judge
) -> Object:
    explain = _EXPLAIN.get(name)
    about: Object = {"name": node.name, "why": explain(pod, node) if explain else list(reasons)}
    changes = what_would_fit(pod, node, judge)
    if changes:
        about["fitsWith"] = list(changes)
    return about


def _distance(pod: PodInfo, node: NodeInfo) -> tuple[float, str]:
    """How much of what it asks for the Pod would have to do without, at worst."""
    lacking = [
        (wanted - node.free(name)) / wanted
        for name, wanted in pod.requests.items()
        if wanted > node.free(name)
    ]
    return max(lacking, default=0.0), node.name


def _fits(groups: Sequence[Object]) -> list[Object]:
    """Where the least would have to change."""
    able = [one for group in groups for one in group["nodes"] if "fitsWith" in one]
    able.sort(key=lambda one: len(one["fitsWith"]))  # stable: the nearest first
    return [{"node": one["name"], "with": one["fitsWith"]} for one in able[:FITS_SHOWN]]


# --- the numbers behind each filter's reason ----------------------------------------------------


def _resources(pod: PodInfo, node: NodeInfo) -> list[str]:
    lines = []
    if len(node.pods) + 1 > node.max_pods:
        lines.append(f"pods: {len(node.pods)} of {node.max_pods} are there")
    for name, wanted in sorted(pod.requests.items()):
        free, total = node.free(name), node.allocatable.get(name, 0)
        if wanted > free:
            asked, left = shown(name, wanted), most(name, max(free, 0))
            lines.append(f"{name}: asks {asked}, {left} of {most(name, total)} free")
    return lines


def _taints(pod: PodInfo, node: NodeInfo) -> list[str]:
    return [
        f"taint {taints.shown(taint)} is not tolerated"
        for taint in node.taints
        if taint.get("effect") != taints.PREFER_NO_SCHEDULE
        and not taints.is_tolerated(taint, pod.tolerations)
    ]


def _affinity(pod: PodInfo, node: NodeInfo) -> list[str]:
    lines = [
        f"asks for the label {wanted}, {_has(node, wanted.key)}"
        for wanted in pod.node_selector.requirements
        if not wanted.matches(node.labels)
    ]
    terms = pod.required_terms or ()
    if pod.required_terms is not None and not any(
        term.matches(node.labels, node.name) for term in terms
    ):
        asked = " or ".join(f"({_term_words(term)})" for term in terms)
        lines.append(f"asks by nodeAffinity for {asked}")
    return lines


def _term_words(term: NodeTerm) -> str:
    fields = [f"field {wanted}" for wanted in term.fields]
    return ", ".join([*map(str, term.labels), *fields]) or "nothing, which matches no node"


def _has(node: NodeInfo, label: str) -> str:
    return f"has {label}={node.labels[label]}" if label in node.labels else f"has no {label}"


def _ports(pod: PodInfo, node: NodeInfo) -> list[str]:
    taken = sorted(port for port in pod.ports if node.has_port_taken(port))
    return [f"hostPort {port_words(port)} is taken" for port in taken]


def _name(pod: PodInfo, node: NodeInfo) -> list[str]:
    return [f"asks for the node {pod.obj['spec'].get('nodeName')}"]


def _cordoned(_pod: PodInfo, _node: NodeInfo) -> list[str]:
    return ["spec.unschedulable is set: it is cordoned"]


_EXPLAIN: dict[str, Callable[[PodInfo, NodeInfo], list[str]]] = {
    "NodeUnschedulable": _cordoned,
    "NodeName": _name,
    "TaintToleration": _taints,
    "NodeAffinity": _affinity,
    "NodePorts": _ports,
    "NodeResourcesFit": _resources,
}
