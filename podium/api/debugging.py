"""What can be stopped at a Breakpoint: shared by those who check one, set one and stop at one.

Pure data, imported by every process.
"""

from __future__ import annotations

BREAKPOINTS = "breakpoints.debug.podium.dev"

# Loops by the name that a breakpoint gives them, and which objects their keys name; with none, keys
# are uids of any kind. Where there are two, a key without a namespace is of the second.
LOOPS: dict[str, tuple[str, ...]] = {
    "deployment": ("deployments.apps",),
    "replicaset": ("replicasets.apps",),
    "scheduler": ("pods",),
    "garbage-collector": (),
    "namespace": ("namespaces",),
    "node-lifecycle": ("nodes",),
    "pod-garbage-collector": ("pods",),
    "service-account": ("namespaces",),
    "taint-eviction": ("pods",),
    "persistentvolume-binder": ("persistentvolumeclaims",),
    "persistentvolume-binder-pv": ("persistentvolumes",),
    "local-path-provisioner": ("persistentvolumeclaims",),
    "volume-protection": ("persistentvolumeclaims", "persistentvolumes"),
    "ephemeral-volume": ("pods",),
}
KUBELET_PREFIX = "kubelet/"

ACTIONS = ("Step", "Continue", "Inject")
INJECTIONS = ("Conflict", "StaleRead", "Error", "Crash")
CONDITION_VARIABLES = ("object", "write", "key", "controller")

DEFAULT_STOP_S, LONGEST_STOP_S = 300, 3600


def kinds_of(controller: str) -> tuple[str, ...]:
    """The resources whose objects a loop's keys name; empty for any. KeyError for no such loop."""
    return ("pods",) if controller.startswith(KUBELET_PREFIX) else LOOPS[controller]


def node_of(controller: str) -> str | None:
    """The node of a "kubelet/<node>"; None for a controller."""
    if not controller.startswith(KUBELET_PREFIX):
        return None
    return controller.removeprefix(KUBELET_PREFIX)
