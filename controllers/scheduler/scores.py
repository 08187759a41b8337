"""Room controllers/scheduler: which of the nodes that will do is best.

Each score is a pure function: a Pod and the nodes in, a number from 0 to 100 for each node out;
their weighted sum decides. Source: kube-scheduler's default plugins and weights, v1.32.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence

from controllers import taints
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo

BEST = 100
_MIB = 1024 * 1024
# An image smaller than this is quickly pulled; above the other, a container's image counts fully.
IMAGE_MIN_BYTES, IMAGE_MAX_BYTES = 23 * _MIB, 1000 * _MIB

Scores = list[float]
Score = Callable[[PodInfo, Sequence[NodeInfo]], Scores]


def least_allocated(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    """The emptier a node is with the Pod on it, the better."""

    def left(taken: int, total: int) -> float:
        return (total - taken) * BEST / total if 0 <= taken <= total and total else 0.0

    return [
        (
            left(n.scored_cpu_millicores + pod.scored_cpu_millicores, n.allocatable.get("cpu", 0))
            + left(n.scored_memory_bytes + pod.scored_memory_bytes, n.allocatable.get("memory", 0))
        )
        / 2
        for n in nodes
    ]


def balanced_allocation(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    """CPU and memory should run out together: what is left of only one of them is of no use."""
    if not pod.requests:
        return [0.0] * len(nodes)  # it would change nothing

    def share(node: NodeInfo, resource: str) -> float:
        total = node.allocatable.get(resource, 0)
        taken = node.used[resource] + pod.requests.get(resource, 0)
        return min(taken / total, 1.0) if total else 1.0

    return [(1 - abs(share(n, "cpu") - share(n, "memory")) / 2) * BEST for n in nodes]


def taint_toleration(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    """The fewer untolerated PreferNoSchedule taints, the better."""
    counts = [
        sum(
            taint.get("effect") == taints.PREFER_NO_SCHEDULE
            and not taints.is_tolerated(taint, pod.tolerations)
            for taint in node.taints
        )
        for node in nodes
    ]
    most = max(counts, default=0)
    return [BEST - count * BEST / most if most else float(BEST) for count in counts]


def preferred_node_affinity(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    """The weights of the preferred terms that a node matches."""
    sums = [
        sum(weight for weight, term in pod.preferred_terms if term.matches(n.labels, n.name))
        for n in nodes
    ]
    most = max(sums, default=0)
    return [found * BEST / most if most else 0.0 for found in sums]


def image_locality(pod: PodInfo, nodes: Sequence[NodeInfo]) -> Scores:
    """Bytes that need not be pulled; what few nodes have counts less, lest they all crowd there."""
    if not any(node.images for node in nodes):
        return [0.0] * len(nodes)
    wanted = [with_tag(image) for image in pod.images]
    spread = {image: sum(image in n.images for n in nodes) / len(nodes) for image in wanted}
    most = IMAGE_MAX_BYTES * max(len(wanted), 1)

    def score(node: NodeInfo) -> float:
        here = sum(node.images.get(image, 0) * spread[image] for image in wanted)
        bounded = min(max(here, IMAGE_MIN_BYTES), most)
        return (bounded - IMAGE_MIN_BYTES) * BEST / (most - IMAGE_MIN_BYTES)

    return [score(node) for node in nodes]


def with_tag(image: str) -> str:
    """As nodes list images: "nginx" → "nginx:latest"."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"


# What Kubernetes calls them, how they count.
SCORES: tuple[tuple[str, Score, int], ...] = (
    ("TaintToleration", taint_toleration, 3),
    ("NodeAffinity", preferred_node_affinity, 2),
    ("NodeResourcesFit", least_allocated, 1),
    ("NodeResourcesBalancedAllocation", balanced_allocation, 1),
    ("ImageLocality", image_locality, 1),
)


class Ranking:
    """Nodes by the sum of their weighted scores. Of equals the one with the fewest Pods is better,
    then by name: the same question always gets the same answer (kube-scheduler throws dice)."""

    def __init__(self, pod: PodInfo, nodes: Sequence[NodeInfo]) -> None:
        self._nodes = nodes
        self._parts = [
            (name, [weight * value for value in score(pod, nodes)])
            for name, score, weight in SCORES
        ]
        columns = zip(*(part for _, part in self._parts), strict=True)
        self._totals = [sum(column) for column in columns]

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def best(self) -> NodeInfo:
        return self._nodes[min(range(len(self._nodes)), key=self._place)]

    def best_first(self, count: int) -> Iterator[tuple[str, float, dict[str, float]]]:
        """(node, total, {score: weighted part of it}) of the best so many."""
        for index in heapq.nsmallest(count, range(len(self._nodes)), key=self._place):
            parts = {name: round(part[index], 2) for name, part in self._parts}
            yield self._nodes[index].name, self._totals[index], parts

    def _place(self, index: int) -> tuple[float, int, str]:
        node = self._nodes[index]
        return -round(self._totals[index], 6), len(node.pods), node.name


def best(pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeInfo:
    """The node with the highest sum."""
    return Ranking(pod, nodes).best
