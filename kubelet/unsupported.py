"""Which parts of a PodSpec this version does not run yet, said rather than ignored. Pure.

Room kubelet; called by pod_sync.py. Three kinds of fields:
- run: everything not named here;
- refused: the Pod would not be what it says (another isolation, missing data), so it waits as
  Pending, with an event that names the field, and starts once a newer kubelet can run it;
- told: the Pod runs without it, with an event that says so.
Fields for the scheduler and the controllers (affinity, tolerations, topologySpreadConstraints,
priorityClassName, schedulerName, schedulingGates, preemptionPolicy, readinessGates) are not the
kubelet's; enableServiceLinks has no Services to link, and autoMountServiceAccountToken no token.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from podium.api import resource_annotations

Object = dict[str, Any]


def containers_of(pod: Object) -> Iterator[tuple[str, Object]]:
    """("spec.containers[0]", container), …, init containers as well."""
    for field in ("initContainers", "containers"):
        for index, container in enumerate(pod["spec"].get(field) or ()):
            yield f"spec.{field}[{index}]", container


def refusals(pod: Object) -> list[str]:
    """One line for each field because of which this Pod is not run."""
    parts = (_of_annotations(pod), _of_pod(pod["spec"]), _of_containers(pod))
    return [line for part in parts for line in part]


def _of_annotations(pod: Object) -> Iterator[str]:
    """The API server refuses these; a Pod from a file has not passed it."""
    names = {container["name"] for _, container in containers_of(pod)}
    annotations = pod["metadata"].get("annotations") or {}
    for key, value, why in resource_annotations.problems(annotations, names):
        yield f'metadata.annotations[{key}]: Invalid value: "{value}": {why}'


def _of_pod(spec: Object) -> Iterator[str]:
    if spec.get("resourceClaims"):
        yield "spec.resourceClaims: dynamic resource allocation is not supported yet"


def _of_containers(pod: Object) -> Iterator[str]:
    for where, container in containers_of(pod):
        context = container.get("securityContext") or {}
        if context.get("procMount") == "Unmasked" and pod["spec"].get("hostUsers") is not False:
            yield f"{where}.securityContext.procMount: `hostUsers` must be false to use `Unmasked`"
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            is_shared = mount.get("mountPropagation") == "Bidirectional"
            if is_shared and pod["spec"].get("hostUsers") is False:
                field = f"{where}.volumeMounts[{number}].mountPropagation"
                yield f"{field}: nothing that a user namespace mounts is seen outside of it"


def warnings(pod: Object) -> list[str]:
    """One line for each field without which the Pod runs all the same."""
    found = []
    contexts = [("spec", pod["spec"]), *containers_of(pod)]
    for where, holder in contexts:
        if (holder.get("securityContext") or {}).get("windowsOptions"):
            found.append(f"{where}.securityContext.windowsOptions: has no effect on Linux")
    for where, container in containers_of(pod):
        for number, port in enumerate(container.get("ports") or ()):
            if port.get("hostPort") and ":" in (port.get("hostIP") or ""):
                field = f"{where}.ports[{number}].hostIP"
                found.append(f"{field}: Pods have no IPv6 address here; nothing listens there")
    return found
