"""What can be made to go wrong in a cluster that was started with --lab. Pure data, shared by those
who check a Fault, make one and bring it about.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from podium.api import meta

Object = dict[str, Any]

FAULTS = "faults.debug.podium.dev"

# Types by what their target is: "" for none, "?" before it if it may be left out.
TARGETS = {
    "Kill": "component",
    "CutOff": "node",
    "DropWatch": "?resource",
    "DelayWatch": "?resource",
    "SlowStore": "",
    "SlowDisk": "node",
    "FillMemory": "",
}
DELAYED = frozenset({"DelayWatch", "SlowStore"})
BY_KUBELET = frozenset({"SlowDisk"})  # begun by the target's kubelet; all others by the API server

DEFAULT_S, LONGEST_S = 30, 600
LONGEST_DELAY_MS = 10_000
DEFAULT_RATE = "1Mi"  # bytes a second
MOST_OPERATIONS = 1_000_000  # a second
ANSWER_S = 20  # for a kubelet to begin one
KEPT = 50  # faults that are over; older ones are removed


def active(fault: Object, now: datetime) -> Object:
    """The status of a fault that begins."""
    until = now + timedelta(seconds=fault["spec"]["seconds"])
    return {"phase": "Active", "startTime": meta.now_micro(now), "endTime": meta.now_micro(until)}


def phase_of(fault: Object) -> str:
    """ "" until it has begun, or could not be."""
    return (fault.get("status") or {}).get("phase") or ""


def end_of(fault: Object) -> datetime | None:
    """When it ends by itself; None before it has begun."""
    text = (fault.get("status") or {}).get("endTime")
    return meta.parse_time(text) if text else None
