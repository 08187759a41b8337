"""Why a Pod ends before its time, in the words of its status.

Room kubelet; made by pod_sync.py (deadline), eviction.py and node_shutdown.py, carried out by
pod_sync.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EarlyEnd:
    """`grace_s` None leaves the Pod its own grace period. `is_disruption` is shown by the Pod's
    condition DisruptionTarget: it ends for no fault of its own program."""

    reason: str
    message: str
    grace_s: float | None = None
    is_disruption: bool = False


DEADLINE = EarlyEnd(
    "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
)
SHUTDOWN_MESSAGE = "Pod was terminated in response to imminent node shutdown."
