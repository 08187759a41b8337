"""Whether this node can run a Pod's RuntimeClass. Room kubelet; called by pod_sync.py.

A RuntimeClass names a handler; this node has one, its own engine, by the name "podium" (and "", for
Pods without a class). Source: kubelet `pkg/kubelet/runtimeclass`, KEP-585.
"""

from __future__ import annotations

from typing import Any

from kubelet.environment import Fetch
from kubelet.runtime.errors import RuntimeFailure

Object = dict[str, Any]

HANDLERS = ("", "podium")


def check_handler(pod: Object, fetch: Fetch) -> None:
    """Raises RuntimeFailure."""
    name = pod["spec"].get("runtimeClassName")
    if not name:
        return
    found = fetch("runtimeclasses", "", name)
    if found is None:
        raise RuntimeFailure(f'RuntimeClass "{name}" not found')
    handler = found.get("handler") or ""
    if handler not in HANDLERS:
        raise RuntimeFailure(
            f'failed to get sandbox runtime: no runtime for "{handler}" is configured'
        )
