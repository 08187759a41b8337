"""What can be made to go wrong in a cluster that was started with --lab. Pure data, shared by those
who check a Fault, make one and bring it about.
"""

from __future__ import annotations

FAULTS = "faults.debug.podium.dev"

# Types by what their target is: "" for none, "?" before it if it may be left out.
TARGETS = {
    "Kill": "component",
    "CutOff": "node",
    "DropWatch": "?resource",
    "DelayWatch": "?resource",
    "SlowStore": "",
    "FillMemory": "",
}
DELAYED = frozenset({"DelayWatch", "SlowStore"})

DEFAULT_S, LONGEST_S = 30, 600
LONGEST_DELAY_MS = 10_000
KEPT = 50  # faults that are over; older ones are removed
