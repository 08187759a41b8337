"""Room controllers/scheduler: on which nodes a Pod can run, and why not on the others.

Each filter is a pure function of a Pod and a node. It gives None when the node will do, else a
Rejection with the reasons in Kubernetes' own words; they end up in `kubectl describe pod`. As in
Kubernetes the first filter that objects is the only one that is heard for a node.
Source: kube-scheduler's default plugins, v1.32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from controllers import taints
from controllers.scheduler.node_info import NodeInfo
from controllers.scheduler.pod_info import PodInfo


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a node will not do, and whether it would if other Pods left it. `filter` is who says so,
    by Kubernetes' name of the plugin."""

    reasons: tuple[str, ...]
    would_preemption_help: bool = False
    filter: str = field(default="", compare=False)


Filter = Callable[[PodInfo, NodeInfo], Rejection | None]

_UNSCHEDULABLE_TAINT = {"key": taints.UNSCHEDULABLE, "effect": taints.NO_SCHEDULE}


def node_unschedulable(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """`kubectl cordon`; a Pod may tolerate even that."""
    if node.is_unschedulable and not taints.is_tolerated(_UNSCHEDULABLE_TAINT, pod.tolerations):
        return Rejection(("node(s) were unschedulable",), filter="NodeUnschedulable")
    return None


def node_name(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """A Pod that names its node goes there or nowhere."""
    wanted = pod.obj["spec"].get("nodeName")
    if wanted and wanted != node.name:
        return Rejection(("node(s) didn't match the requested node name",), filter="NodeName")
    return None


def taint_toleration(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """Taints that keep Pods away (NoSchedule) or drive them out (NoExecute)."""
    for taint in node.taints:
        if taint.get("effect") == taints.PREFER_NO_SCHEDULE:
            continue
        if not taints.is_tolerated(taint, pod.tolerations):
            shown = f"{{{taint.get('key', '')}: {taint.get('value') or ''}}}"
            reason = f"node(s) had untolerated taint {shown}"
            return Rejection((reason,), filter="TaintToleration")
    return None


def node_affinity(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """spec.nodeSelector and the required part of nodeAffinity."""
    matches = pod.node_selector.matches(node.labels)
    if matches and pod.required_terms is not None:
        matches = any(term.matches(node.labels, node.name) for term in pod.required_terms)
    if matches:
        return None
    return Rejection(("node(s) didn't match Pod's node affinity/selector",), filter="NodeAffinity")


def node_ports(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """Two Pods cannot have the same hostPort of one node."""
    if any(node.has_port_taken(port) for port in pod.ports):
        reason = "node(s) didn't have free ports for the requested pod ports"
        return Rejection((reason,), would_preemption_help=True, filter="NodePorts")
    return None


def node_resources_fit(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """What the Pod requests must be left of what the node can give, for each resource."""
    reasons: list[str] = []
    would_help = True
    if len(node.pods) + 1 > node.max_pods:
        reasons.append("Too many pods")
        would_help = node.max_pods > 0
    for resource, wanted in pod.requests.items():
        if wanted > node.free(resource):
            reasons.append(f"Insufficient {resource}")
            would_help = would_help and wanted <= node.allocatable.get(resource, 0)
    return Rejection(tuple(reasons), would_help, "NodeResourcesFit") if reasons else None


FILTERS: tuple[Filter, ...] = (
    node_unschedulable,
    node_name,
    taint_toleration,
    node_affinity,
    node_ports,
    node_resources_fit,
)


def first_rejection(pod: PodInfo, node: NodeInfo) -> Rejection | None:
    """None if the Pod can run on the node."""
    for check in FILTERS:
        rejection = check(pod, node)
        if rejection is not None:
            return rejection
    return None
