"""Resizing a Pod where it runs: what its node has agreed to, and the way there (KEP-1287, v1.32).

    spec           what is wanted; changed through the Pod's subresource `resize`
    allocated      what the node has agreed to: shown as allocatedResources, and what containers are
                   started with. Kept in the Pod's own status, so that it outlives the kubelet
    actual         what the kernel has; shown as resources

Room kubelet; called by pod_sync.py in its worker threads. A resize that will fit once others have
gone is Deferred, one that never can is Infeasible; an agreed one is InProgress until the kernel has
it. A container is restarted for it only if its resizePolicy says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kubelet.cgroup_values import CgroupValues
from kubelet.pod_plan import Kill, newest
from kubelet.resources import amount
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Resources, Runtime

Object = dict[str, Any]

RESIZABLE = ("cpu", "memory")
TINY = (0, 1)  # millicores: the kernel's least shares are those of 2
_WEIGHT_STEP = 27  # v2 keeps cpu_shares no more exactly than that


# ---- what is agreed, and what is shown: pure ----------------------------------------------------


def allocated(pod: Object, status: Object, agreed: Mapping[str, Object]) -> Object:
    """The Pod as the node runs it. `agreed` is by container name, from this life of the kubelet;
    else the status tells, and of a Pod that has none the spec is what was admitted."""
    shown = {found["name"]: found for found in status.get("containerStatuses") or ()}
    containers = [
        _as_agreed(c, agreed.get(c["name"]) or _from_status(shown.get(c["name"])))
        for c in pod["spec"]["containers"]
    ]
    if all(new is old for new, old in zip(containers, pod["spec"]["containers"], strict=True)):
        return pod
    return {**pod, "spec": {**pod["spec"], "containers": containers}}


def _from_status(shown: Object | None) -> Object | None:
    if shown is None or shown.get("resources") is None:
        return None
    return {
        "requests": shown.get("allocatedResources") or {},
        "limits": shown["resources"].get("limits") or {},
    }


def _as_agreed(container: Object, agreed: Object | None) -> Object:
    if agreed is None or amounts_of(container) == amounts_of({"resources": agreed}):
        return container
    resources = dict(container.get("resources") or {})
    for kind in ("limits", "requests"):
        kept = {k: v for k, v in (resources.get(kind) or {}).items() if k not in RESIZABLE}
        resources[kind] = kept | {k: v for k, v in agreed[kind].items() if k in RESIZABLE}
    return {**container, "resources": resources}


def amounts_of(container: Object) -> dict[tuple[str, str], int]:
    """{("limits", "cpu"): 500}: only what can be resized."""
    resources = container.get("resources") or {}
    return {
        (kind, name): amount(name, resources[kind][name])
        for kind in ("limits", "requests")
        for name in RESIZABLE
        if name in (resources.get(kind) or {})
    }


def agreement(pod: Object) -> dict[str, Object]:
    """What `allocated` takes, of a Pod that was agreed to as it is."""
    return {
        c["name"]: {
            kind: dict((c.get("resources") or {}).get(kind) or {})
            for kind in ("limits", "requests")
        }
        for c in pod["spec"]["containers"]
    }


def shown_resources(container: Object, actual: Resources | None) -> Object:
    """A container status' `resources`: as agreed, but for what the kernel says otherwise."""
    resources = container.get("resources") or {}
    limits, requests = dict(resources.get("limits") or {}), dict(resources.get("requests") or {})
    if actual is not None:
        _correct_limits(limits, actual)
        cpu = _millicores_of_shares(actual.cpu_shares)
        if "cpu" in requests and amount("cpu", requests["cpu"]) not in (cpu, *TINY):
            requests["cpu"] = f"{cpu}m"
    found = {"limits": limits, "requests": requests}
    return {kind: amounts for kind, amounts in found.items() if amounts}


def _correct_limits(limits: Object, actual: Resources) -> None:
    quota, memory = actual.cpu_quota_us or -1, actual.memory_bytes
    millicores = quota * 1000 // actual.cpu_period_us if quota > 0 else 0
    if millicores and amount("cpu", limits.get("cpu", 0)) != millicores:
        if not _is_least_quota(limits, quota):
            limits["cpu"] = f"{millicores}m"
    elif not millicores:
        limits.pop("cpu", None)
    if memory and amount("memory", limits.get("memory", 0)) // 4096 != memory // 4096:
        limits["memory"] = _bytes_text(memory)
    elif not memory:
        limits.pop("memory", None)


def _bytes_text(value: int) -> str:
    """167772160 → "160Mi"."""
    for unit, size in (("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)):
        if value % size == 0:
            return f"{value // size}{unit}"
    return str(value)


def _is_least_quota(limits: Object, quota_us: int) -> bool:
    """Limits below 10m have the least quota that the kernel takes."""
    return "cpu" in limits and amount("cpu", limits["cpu"]) < 10 and quota_us == 1000


def _millicores_of_shares(shares: int | None) -> int:
    return ((shares or 0) * 1000 + 1023) // 1024


# ---- the way there ------------------------------------------------------------------------------


@dataclass
class Progress:
    """`kills` are containers to restart for it; `problem` keeps it from going on for now."""

    kills: list[Kill] = field(default_factory=list)
    problem: str = ""


class Resizer:
    """Knows what the kernel has for each container that runs. Thread-safe for different Pods."""

    def __init__(self, runtime: Runtime, values: CgroupValues) -> None:
        self._runtime, self._values = runtime, values
        self._actual: dict[str, dict[str, Resources]] = {}  # Pod's uid → container's id

    def actual(self, pod: Object, containers: Iterable[ContainerStatus]) -> Mapping[str, Resources]:
        """By container id, of those that run; read from the kernel once, and after each change."""
        uid = pod["metadata"]["uid"]
        known, found = self._actual.get(uid, {}), {}
        specs = {spec["name"]: spec for spec in pod["spec"]["containers"]}
        for container in containers:
            if container.state == "running" and container.name in specs:
                values = known.get(container.id) or self._read(
                    pod, specs[container.name], container
                )
                if values is not None:
                    found[container.id] = values
        self._actual[uid] = found
        return found

    def _read(self, pod: Object, spec: Object, container: ContainerStatus) -> Resources | None:
        """None: it has just ended. Shares that v2 cannot tell from those wanted are those."""
        try:
            found = self._runtime.container_resources(container.id)
        except RuntimeFailure:
            return None
        shares, wanted = found.cpu_shares or 0, self._values.of_container(pod, spec).cpu_shares or 0
        return replace(found, cpu_shares=wanted) if abs(shares - wanted) < _WEIGHT_STEP else found

    def forget(self, uid: str) -> None:
        self._actual.pop(uid, None)

    def advance(self, pod: Object, containers: Sequence[ContainerStatus]) -> Progress:
        """Bring the kernel to what is agreed, as far as that can be done now. The Pod's cgroup is
        never smaller than a container's in it: it grows first and shrinks last."""
        uid, progress = pod["metadata"]["uid"], Progress()
        changes = list(self._changes(pod, containers))
        if not changes:
            return progress
        wanted = self._values.of_pod(pod)
        try:
            there = self._runtime.sandbox_resources(uid)
            self._runtime.update_sandbox_resources(uid, _larger(wanted, there))
            for change in changes:
                self._advance_one(uid, change, progress)
            if not progress.kills and not progress.problem:
                self._runtime.update_sandbox_resources(uid, wanted)
        except RuntimeFailure as failure:
            progress.problem = str(failure)
        return progress

    def _changes(self, pod: Object, containers: Sequence[ContainerStatus]) -> Iterator[_Change]:
        actual = self.actual(pod, containers)
        for spec in pod["spec"]["containers"]:
            current = newest(containers, spec["name"])
            if current is not None and current.id in actual:
                wanted = self._values.of_container(pod, spec)
                names = changed(wanted, actual[current.id])
                if names:
                    yield _Change(spec, current, wanted, actual[current.id], names)

    def _advance_one(self, uid: str, change: _Change, progress: Progress) -> None:
        name, current = change.spec["name"], change.container
        if restarts_for(change.spec, change.names):
            why = f"Container {name} resize requires restart"
            progress.kills.append(Kill(change.spec, current.id, "", why))
            return
        limit = change.wanted.memory_bytes
        if limit and limit < (change.actual.memory_bytes or limit + 1):
            used = self._runtime.container_stats(current.id).memory_working_set_bytes
            if used >= limit:
                progress.problem = (
                    f"aborting attempt to set memory limit of container {name} to {limit}, less "
                    f"than its current memory usage {used}"
                )
                return
        self._runtime.update_resources(current.id, change.wanted)
        self._actual[uid].pop(current.id, None)


@dataclass(frozen=True)
class _Change:
    spec: Object
    container: ContainerStatus
    wanted: Resources
    actual: Resources
    names: frozenset[str]


def changed(wanted: Resources, actual: Resources) -> frozenset[str]:
    """Of "cpu" and "memory"."""
    names = set()
    quotas = (wanted.cpu_quota_us or -1, actual.cpu_quota_us or -1)
    if wanted.cpu_shares != actual.cpu_shares or quotas[0] != quotas[1]:
        names.add("cpu")
    if (wanted.memory_bytes or 0) // 4096 != (actual.memory_bytes or 0) // 4096:
        names.add("memory")
    return frozenset(names)


def restarts_for(container: Object, names: Iterable[str]) -> bool:
    policies = {p["resourceName"]: p["restartPolicy"] for p in container.get("resizePolicy") or ()}
    return any(policies.get(name) == "RestartContainer" for name in names)


def _larger(wanted: Resources, there: Resources) -> Resources:
    """Of each limit; no limit is larger than any."""

    def most(one: int | None, other: int | None) -> int | None:
        return max(one, other) if one and other and one > 0 and other > 0 else None

    quota, memory = (
        most(wanted.cpu_quota_us, there.cpu_quota_us),
        most(wanted.memory_bytes, there.memory_bytes),
    )
    return replace(wanted, cpu_quota_us=quota, memory_bytes=memory)
