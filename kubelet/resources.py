"""From a Pod's requests and limits to cgroup values, its QoS class and its place: pure functions.

Room kubelet; called by pod_sync.py, container_config.py, pod_status.py and admission.py.
Source: kubelet `pkg/kubelet/cm` (shares and quotas), Kubernetes docs "Pod Quality of Service
Classes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kubelet.pod_plan import is_sidecar
from kubelet.runtime.protocol import Resources
from podium.api import quantity

Object = dict[str, Any]

QUOTA_PERIOD_US = 100_000
MIN_QUOTA_US = 1_000  # the kernel's own minimum
SHARES_PER_CPU = 1024
MIN_SHARES, MAX_SHARES = 2, 262_144
# kubelet `pkg/kubelet/qos/policy.go`: who is killed first when the node is out of memory
GUARANTEED_OOM_SCORE, BEST_EFFORT_OOM_SCORE = -997, 1000


def request(container: Object, name: str) -> int:
    """Millicores for "cpu", else bytes or a count; a limit without a request counts as one."""
    return _amount(container, "requests", name) or _amount(container, "limits", name)


def limit(container: Object, name: str) -> int:
    """0 = none."""
    return _amount(container, "limits", name)


def _amount(container: Object, kind: str, name: str) -> int:
    value = ((container.get("resources") or {}).get(kind) or {}).get(name)
    if value is None:
        return 0
    return quantity.cpu_millicores(value) if name == "cpu" else quantity.memory_bytes(value)


def pod_request(pod: Object, name: str) -> int:
    """What the Pod needs at its hungriest."""
    spec = pod["spec"]
    overhead = _amount({"resources": {"requests": spec.get("overhead") or {}}}, "requests", name)
    return _at_most(spec, lambda container: request(container, name)) + overhead


def _pod_limit(pod: Object, name: str) -> int:
    """0 = none: one container without a limit leaves the whole Pod without one."""
    spec = pod["spec"]
    every = [*spec["containers"], *(spec.get("initContainers") or ())]
    if not all(limit(container, name) for container in every):
        return 0
    return _at_most(spec, lambda container: limit(container, name))


def _at_most(spec: Object, amount: Callable[[Object], int]) -> int:
    """All containers and sidecars together, or an init container beside those sidecars that have
    started before it (KEP-753)."""
    staying = at_start = 0
    for container in spec.get("initContainers") or ():
        wanted = amount(container)
        at_start = max(at_start, staying + wanted)
        if is_sidecar(container):
            staying += wanted
    return max(staying + sum(amount(container) for container in spec["containers"]), at_start)


def shares(millicores: int) -> int:
    return min(max(millicores * SHARES_PER_CPU // 1000, MIN_SHARES), MAX_SHARES)


def quota_us(millicores: int) -> int | None:
    """Microseconds of each period; None for no limit."""
    return max(millicores * QUOTA_PERIOD_US // 1000, MIN_QUOTA_US) if millicores else None


def container_resources(container: Object) -> Resources:
    """cgroup values of one container."""
    return Resources(
        cpu_shares=shares(request(container, "cpu")),
        cpu_quota_us=quota_us(limit(container, "cpu")),
        cpu_period_us=QUOTA_PERIOD_US,
        memory_bytes=limit(container, "memory") or None,
    )


def pod_resources(pod: Object, pids_limit: int) -> Resources:
    """cgroup values of the whole Pod. `pids_limit` is what a fork bomb stops at; -1 is none."""
    return Resources(
        cpu_shares=shares(pod_request(pod, "cpu")),
        cpu_quota_us=quota_us(_pod_limit(pod, "cpu")),
        cpu_period_us=QUOTA_PERIOD_US,
        memory_bytes=_pod_limit(pod, "memory") or None,
        pids=pids_limit if pids_limit > 0 else None,
    )


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    containers = [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or ())]
    if not any(_said(container) for container in containers):
        return "BestEffort"
    return "Guaranteed" if all(_is_guaranteed(c) for c in containers) else "Burstable"


def _said(container: Object) -> Iterable[int]:
    """The amounts that are not 0."""
    pairs = ((kind, name) for kind in ("requests", "limits") for name in ("cpu", "memory"))
    return [found for kind, name in pairs if (found := _amount(container, kind, name))]


def _is_guaranteed(container: Object) -> bool:
    return all(
        limit(container, name) and request(container, name) == limit(container, name)
        for name in ("cpu", "memory")
    )


def cgroup_parent(pod: Object) -> str:
    """ "kubepods/burstable/pod<uid>"; Guaranteed Pods stand directly below kubepods."""
    qos = qos_class(pod)
    between = "" if qos == "Guaranteed" else f"{qos.lower()}/"
    return f"kubepods/{between}pod{pod['metadata']['uid']}"


def oom_score_adj(pod: Object, container: Object, node_memory_bytes: int) -> int:
    """−1000 (never killed) to 1000 (first)."""
    match qos_class(pod):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE
    asked = _amount(container, "requests", "memory")
    if is_sidecar(container):  # it is not to die before those whom it serves
        others = (_amount(c, "requests", "memory") for c in pod["spec"]["containers"])
        asked = max(asked, min(others))
    score = 1000 - 1000 * asked // max(node_memory_bytes, 1)
    return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)
