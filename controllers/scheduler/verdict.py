"""Room controllers/scheduler: why a Pod cannot be scheduled, in Kubernetes' own words. Pure.

0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint {gpu: yes}.
preemption: 0/3 nodes are available: 1 No preemption victims found for incoming pod,
2 Preemption is not helpful for scheduling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

NO_NODES = "no nodes available to schedule pods"
NO_VICTIMS = "No preemption victims found for incoming pod"
NOT_HELPFUL = "Preemption is not helpful for scheduling"
NEVER_PREEMPTS = "not eligible due to preemptionPolicy=Never."
WAITS_FOR_VICTIMS = "not eligible due to terminating pod on the nominated node."


def unfit_anywhere(node_count: int, why: str) -> str:
    """Something about the Pod itself: no node would do, and none need be asked."""
    outcome = none_available(node_count, [NOT_HELPFUL] * node_count)
    return f"0/{node_count} nodes are available: {why}. preemption: {outcome}"


def none_available(node_count: int, reasons: Iterable[str], preemption: str = "") -> str:
    """`reasons` has one entry for each node and reason; `preemption` is what came of that, if
    anything."""
    counted = sorted(f"{count} {reason}" for reason, count in Counter(reasons).items())
    message = f"0/{node_count} nodes are available:"
    if counted:
        message += f" {', '.join(counted)}."
    return f"{message} preemption: {preemption}" if preemption else message
