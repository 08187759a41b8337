"""Room controllers/scheduler: what would have to be otherwise for a Pod to fit a node. Pure.

Nothing is judged here a second time: the Pod (or the node) is changed by as little as the filter
that objects asks for, and all filters are asked again, until none objects or none can be helped.
What is found is never done; it is told, beside the reasons (reasons.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

from controllers import taints
from controllers.scheduler.figures import most
from controllers.scheduler.filters import Rejection
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import ANY_ADDRESS, PodInfo, Port
from podium.api.selectors import EVERYTHING

MOST_CHANGES = 8  # a node that would need more is not worth telling of

Case = tuple[PodInfo, NodeInfo]
Judge = Callable[[PodInfo, NodeInfo], Rejection | None]
Mend = Callable[[PodInfo, NodeInfo], tuple[Case, str] | None]


def what_would_fit(pod: PodInfo, node: NodeInfo, judge: Judge) -> tuple[str, ...] | None:
    """The changes that would let the Pod run on the node: ("cpu ≤ 300m", "a toleration of
    gpu=yes:NoSchedule"); empty if it fits as it is, None if nothing that is known here helps."""
    case: Case = (pod, node)
    changes: list[str] = []
    for _ in range(MOST_CHANGES + 1):
        rejection = judge(*case)
        if rejection is None:
            return tuple(changes)
        mend = _MENDS.get(rejection.filter)
        mended = mend(*case) if mend else None
        if mended is None:
            return None
        case, change = mended
        changes.append(change)
    return None


def _uncordon(pod: PodInfo, node: NodeInfo) -> tuple[Case, str] | None:
    left = tuple(taint for taint in node.taints if taint.get("key") != taints.UNSCHEDULABLE)
    return (pod, _like(node, is_unschedulable=False, taints=left)), "the node uncordoned"


def _tolerate(pod: PodInfo, node: NodeInfo) -> tuple[Case, str] | None:
    taint = next(
        one
        for one in node.taints
        if one.get("effect") != taints.PREFER_NO_SCHEDULE
        and not taints.is_tolerated(one, pod.tolerations)
    )
    toleration = {
        "key": taint.get("key"),
        "operator": "Equal",
        "value": taint.get("value") or "",
        "effect": taint.get("effect"),
    }
    tolerant = replace(pod, tolerations=(*pod.tolerations, toleration))
    return (tolerant, node), f"a toleration of {taints.shown(taint)}"


def _drop_affinity(pod: PodInfo, node: NodeInfo) -> tuple[Case, str] | None:
    """Whichever of the two objects; both may."""
    if not pod.node_selector.matches(node.labels):
        anywhere = replace(pod, node_selector=EVERYTHING)
        return (anywhere, node), f"no nodeSelector {pod.node_selector}"
    return (replace(pod, required_terms=None), node), "no required nodeAffinity"


def _free_ports(pod: PodInfo, node: NodeInfo) -> tuple[Case, str] | None:
    taken = sorted(port for port in pod.ports if node.has_port_taken(port))
    free = replace(pod, ports=pod.ports - set(taken))
    return (free, node), f"no hostPort {', '.join(map(port_words, taken))}"


def _ask_for_less(pod: PodInfo, node: NodeInfo) -> tuple[Case, str] | None:
    if len(node.pods) + 1 > node.max_pods:
        if not node.pods:
            return None  # it takes none at all
        return (pod, _like(node, max_pods=len(node.pods) + 1)), "one Pod fewer there"
    lacking = {name for name, wanted in pod.requests.items() if wanted > node.free(name)}
    left = {name: max(node.free(name), 0) for name in lacking}
    requests = {name: left.get(name, wanted) for name, wanted in pod.requests.items()}
    modest = replace(pod, requests={name: n for name, n in requests.items() if n > 0})
    words = [
        f"{name} ≤ {most(name, left[name])}" if left[name] else f"no request for {name}"
        for name in sorted(lacking)
    ]
    return (modest, node), " and ".join(words)


_MENDS: dict[str, Mend] = {
    "NodeUnschedulable": _uncordon,
    "TaintToleration": _tolerate,
    "NodeAffinity": _drop_affinity,
    "NodePorts": _free_ports,
    "NodeResourcesFit": _ask_for_less,
}


def port_words(port: Port) -> str:
    """ "8080/TCP", "127.0.0.1:8080/TCP"."""
    protocol, address, number = port
    where = "" if address == ANY_ADDRESS else f"{address}:"
    return f"{where}{number}/{protocol}"


def _like(node: NodeInfo, **changed: object) -> NodeInfo:
    """The node, otherwise in some respects."""
    other = copy.copy(node)
    for name, value in changed.items():
        setattr(other, name, value)
    return other
