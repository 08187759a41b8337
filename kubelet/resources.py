"""What a Pod asks for: requests and limits of its containers and of the whole, its QoS class, its
place among the cgroups, its rank when memory is short. Pure functions.

Room kubelet; called by cgroup_values.py, container_config.py, pod_status.py and admission.py.
Source: Kubernetes' `component-helpers/resource`, kubelet `pkg/kubelet/qos`, Kubernetes docs "Pod
Quality of Service Classes".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kubelet.pod_plan import is_sidecar
from podium.api import quantity

Object = dict[str, Any]

# kubelet `pkg/kubelet/qos/policy.go`: who is killed first when the node is out of memory
GUARANTEED_OOM_SCORE, BEST_EFFORT_OOM_SCORE = -997, 1000
SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
NODE_CRITICAL = "system-node-critical"


def request(container: Object, name: str) -> int:
    """Millicores for "cpu", else bytes or a count; a limit without a request counts as one."""
    asked = _amount(container, "requests", name)
    return limit(container, name) if asked is None else asked


def limit(container: Object, name: str) -> int:
    """0 = none."""
    return _amount(container, "limits", name) or 0


def _amount(container: Object, kind: str, name: str) -> int | None:
    value = ((container.get("resources") or {}).get(kind) or {}).get(name)
    if value is None:
        return None
    return amount(name, value)


def amount(name: str, value: Any) -> int:
    return quantity.cpu_millicores(value) if name == "cpu" else quantity.memory_bytes(value)


def containers_of(pod: Object) -> Iterator[Object]:
    yield from pod["spec"].get("initContainers") or ()
    yield from pod["spec"]["containers"]


def pod_request(pod: Object, name: str) -> int:
    """What the Pod needs at its hungriest."""
    overhead = amount(name, (pod["spec"].get("overhead") or {}).get(name, 0))
    return _at_its_hungriest(pod, lambda container: request(container, name)) + overhead


def pod_limit(pod: Object, name: str) -> int:
    """0 = none: one container without a limit leaves the whole Pod without one."""
    if not all(limit(container, name) for container in containers_of(pod)):
        return 0
    overhead = amount(name, (pod["spec"].get("overhead") or {}).get(name, 0))
    return _at_its_hungriest(pod, lambda container: limit(container, name)) + overhead


def pod_sum(pod: Object, name: str) -> int:
    """Of the limits that there are: of huge pages a container without a limit gets none."""
    return _at_its_hungriest(pod, lambda container: limit(container, name))


def _at_its_hungriest(pod: Object, need: Callable[[Object], int]) -> int:
    """All containers with all sidecars, or one init container with the sidecars before it
    (KEP-753, "Resources calculation")."""
    sidecars = peak = 0
    for container in pod["spec"].get("initContainers") or ():
        if is_sidecar(container):
            sidecars += need(container)
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + need(container))
    return max(peak, sidecars + sum(need(container) for container in pod["spec"]["containers"]))


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort."""
    containers = list(containers_of(pod))
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


def is_critical(pod: Object) -> bool:
    return int(pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY


def oom_score_adj(pod: Object, container: Object, node_memory_bytes: int) -> int:
    """−1000 (never killed) to 1000 (first)."""
    if is_critical(pod) and pod["spec"].get("priorityClassName") == NODE_CRITICAL:
        return GUARANTEED_OOM_SCORE
    match qos_class(pod):
        case "Guaranteed":
            return GUARANTEED_OOM_SCORE
        case "BestEffort":
            return BEST_EFFORT_OOM_SCORE
    asked = _asked_memory(container)
    if is_sidecar(container):  # it must not be killed before those that it serves
        asked = max(asked, min(_asked_memory(main) for main in pod["spec"]["containers"]))
    score = 1000 - 1000 * asked // max(node_memory_bytes, 1)
    return min(max(score, 1000 + GUARANTEED_OOM_SCORE), BEST_EFFORT_OOM_SCORE - 1)


def _asked_memory(container: Object) -> int:
    return _amount(container, "requests", "memory") or 0
