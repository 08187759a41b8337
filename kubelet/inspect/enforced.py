"""Which kernel file enforces which field of a container's or Pod's spec, on cgroup v1 and v2.

Room kubelet/inspect; pure. docs/spec-to-kernel.md says the same in words, and
tests/unit/kubelet_inspect holds the one against the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubelet.resources import pod_limit, pod_request
from podium.api.resource_annotations import CPUSET, IO, PIDS, RATES, WEIGHT

Object = dict[str, Any]


@dataclass(frozen=True)
class Enforced:
    """A field and the cgroup files that hold it. `section` and `row` are a heading of
    docs/spec-to-kernel.md and the start of a row below it; `key` is what the field has several of.
    `usage` names the reader of cgroup_files.py that tells what is used of it, "" for none."""

    section: str
    row: str
    key: str
    v1: tuple[str, ...]
    v2: tuple[str, ...]
    usage: str = ""
    only_if_asked: bool = False


_RESOURCES = "ResourceRequirements"
_THROTTLES = {
    "read-bps": "blkio.throttle.read_bps_device", "write-bps": "blkio.throttle.write_bps_device",
    "read-iops": "blkio.throttle.read_iops_device",
    "write-iops": "blkio.throttle.write_iops_device",
}  # fmt: skip

CGROUP_FIELDS = (
    Enforced(_RESOURCES, "limits", "cpu",
             ("cpu.cfs_quota_us", "cpu.cfs_period_us"), ("cpu.max",), "cpu"),
    Enforced(_RESOURCES, "requests", "cpu", ("cpu.shares",), ("cpu.weight",)),
    Enforced(_RESOURCES, "limits", "memory",
             ("memory.limit_in_bytes",), ("memory.max",), "memory"),
    Enforced(_RESOURCES, "limits", "memory",
             ("memory.memsw.limit_in_bytes",), ("memory.swap.max",), "swap"),
    Enforced(_RESOURCES, "requests", "memory", ("memory.soft_limit_in_bytes",), ("memory.low",)),
    *(
        Enforced(_RESOURCES, "limits", f"hugepages-{asked}", (f"hugetlb.{size}.limit_in_bytes",),
                 (f"hugetlb.{size}.max",), "huge", only_if_asked=True)
        for asked, size in (("2Mi", "2MB"), ("1Gi", "1GB"))
    ),
    Enforced("Annotations", PIDS, "", ("pids.max",), ("pids.max",), "pids"),
    Enforced("Annotations", CPUSET, "", ("cpuset.cpus",), ("cpuset.cpus",), only_if_asked=True),
    *(
        Enforced("Annotations", f"{IO}/", rate, (file,), ("io.max",), "io", only_if_asked=True)
        for rate, file in _THROTTLES.items()
    ),
    Enforced("Annotations", f"{IO}/", WEIGHT,
             ("blkio.bfq.weight",), ("io.weight", "io.bfq.weight"), only_if_asked=True),
)  # fmt: skip
assert tuple(_THROTTLES) == RATES

PRESSURE = ("cpu.pressure", "memory.pressure", "io.pressure")  # v2 alone measures a cgroup's


def asked_of_container(pod: Object, container: Object, row: Enforced) -> tuple[str, str]:
    """(spec path below the Pod, what is asked for there, "" for nothing)."""
    if row.section == "Annotations":
        return _annotation(pod, container["name"], row)
    asked = (container.get("resources") or {}).get(row.row) or {}
    path = f"{path_of(pod, container['name'])}.resources.{row.row}.{row.key}"
    return path, str(asked.get(row.key, ""))


def asked_of_pod(pod: Object, row: Enforced) -> tuple[str, str]:
    """The same of the Pod's own cgroup, which has the sums of its containers'."""
    if row.section == "Annotations":
        return _annotation(pod, "", row)
    total = (pod_limit if row.row == "limits" else pod_request)(pod, row.key)
    unit = "m" if row.key == "cpu" and total else ""
    return f"sum of resources.{row.row}.{row.key}", f"{total}{unit}" if total else ""


def _annotation(pod: Object, container: str, row: Enforced) -> tuple[str, str]:
    annotations: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    if row.key:
        key = f"{row.key}.{IO}/{container}" if container else f"{IO}/{row.key}"
    elif container:
        key = f"{row.row}/{container}"
    else:
        return "node's podPidsLimit" if row.row == PIDS else "", ""
    return f"metadata.annotations[{key}]", annotations.get(key, "")


def path_of(pod: Object, name: str) -> str:
    """ "spec.containers[web]": where the container called so stands in the spec."""
    for kind in ("containers", "initContainers", "ephemeralContainers"):
        if any(container["name"] == name for container in pod["spec"].get(kind) or ()):
            return f"spec.{kind}[{name}]"
    raise LookupError(name)


def containers_in_order(pod: Object) -> Iterator[Object]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        yield from pod["spec"].get(kind) or ()
