"""What a change of a Node's status is called in events. Pure.

Room kubelet; called by node_status.py. Source: kubelet `pkg/kubelet/nodestatus/setters.go`, v1.32.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podium.api import meta

Object = dict[str, Any]
Event = tuple[str, str, str]  # type, reason, message

_WORDS = {
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


def changes(name: str, old: Object, new: Object) -> Iterator[Event]:
    """Of a Node's status."""
    before, now = ((status.get("nodeInfo") or {}).get("bootID") for status in (old, new))
    if before and before != now:
        yield "Warning", "Rebooted", f"Node {name} has been rebooted, boot id: {now}"
    for (type_, value), words in _WORDS.items():
        after = meta.condition({"status": new}, type_)
        earlier = meta.condition({"status": old}, type_)
        if after is None or after["status"] != value:
            continue
        if earlier is None or earlier["status"] != value:
            yield "Normal", words, f"Node {name} status is now: {words}"
