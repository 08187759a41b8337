"""Room controllers/scheduler: which of the nodes that will do is best.

Each score is a pure function: a Pod and the nodes in, a number from 0 to 100 for each node out;
their weighted sum decides. Source: kube-scheduler's default plugins and weights, v1.32.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


SCORES: tuple[tuple[Score, int], ...] = (
    (taint_toleration, 3),
    (preferred_node_affinity, 2),
    (least_allocated, 1),
    (balanced_allocation, 1),
    (image_locality, 1),
)


def best(pod: PodInfo, nodes: Sequence[NodeInfo]) -> NodeInfo:
    """The node with the highest sum. Of equals the one with the fewest Pods, then by name: the
    same question always gets the same answer (kube-scheduler throws dice)."""
    if len(nodes) == 1:
        return nodes[0]
    totals = [0.0] * len(nodes)
    for score, weight in SCORES:
        for index, value in enumerate(score(pod, nodes)):
            totals[index] += weight * value
    ranked = min(
        range(len(nodes)),
        key=lambda i: (-round(totals[i], 6), len(nodes[i].pods), nodes[i].name),
    )
    return nodes[ranked]
