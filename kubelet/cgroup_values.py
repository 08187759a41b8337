"""From a Pod's requests, limits and annotations to the values of its cgroups. Pure, but for a look
at the disks' schedulers.

Room kubelet; called by pod_sync.py (the Pod's cgroup), container_config.py and resize.py (a
container's). `disks` are the (major, minor) numbers of what is written to: disks.py finds them.
Sources: kubelet `pkg/kubelet/cm` and `pkg/kubelet/kuberuntime` (shares, quotas, huge pages),
KEP-2400 (swap), KEP-2570 (the request as soft limit).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kubelet.configuration import KubeletConfiguration
from kubelet.disks import heeds_weights
from kubelet.hardware import Hardware, page_cgroup_name, page_resource
from kubelet.resources import (
    containers_of,
    is_critical,
    limit,
    pod_limit,
    pod_request,
    pod_sum,
    qos_class,
    request,
)
from kubelet.runtime.protocol import IoLimit, Resources
from podium.api import resource_annotations
from podium.api.resource_annotations import CPUSET, PIDS, Io

Object = dict[str, Any]
Disks = Collection[tuple[int, int]]

QUOTA_PERIOD_US = 100_000
MIN_QUOTA_US = 1_000  # the kernel's own minimum
SHARES_PER_CPU = 1024
MIN_SHARES, MAX_SHARES = 2, 262_144


def shares(millicores: int) -> int:
    return min(max(millicores * SHARES_PER_CPU // 1000, MIN_SHARES), MAX_SHARES)


def quota_us(millicores: int) -> int | None:
    """Microseconds of each period; None for no limit."""
    return max(millicores * QUOTA_PERIOD_US // 1000, MIN_QUOTA_US) if millicores else None


@dataclass(frozen=True)
class CgroupValues:
    """Works them out for the Pods of one node."""

    hardware: Hardware
    settings: KubeletConfiguration

    def of_container(self, pod: Object, container: Object, disks: Disks = ()) -> Resources:
        annotations, name = _annotations(pod), container["name"]
        whole, own = (resource_annotations.io_of(annotations, of) for of in ("", name))
        pids = annotations.get(f"{PIDS}/{name}")
        is_apart = own.is_limited or bool(own.weight)
        return Resources(
            cpu_shares=shares(request(container, "cpu")),
            cpu_quota_us=quota_us(limit(container, "cpu")),
            cpu_period_us=QUOTA_PERIOD_US,
            cpuset_cpus=self._cpuset(annotations, name),
            memory_bytes=limit(container, "memory") or None,
            memory_soft_bytes=request(container, "memory") or None,
            swap_bytes=self._swap_bytes(pod, container),
            pids=resource_annotations.pids(pids) if pids else None,
            io=_limits(_smaller(own, whole), disks) if is_apart else (),
            io_weight=own.weight or None,
            io_of_sandbox=whole.is_limited and not is_apart,
            hugepages=tuple(self._huge_pages(lambda page: limit(container, page))),
        )

    def of_pod(self, pod: Object, disks: Disks = ()) -> Resources:
        pids_limit = self.settings.pod_pids_limit
        whole = resource_annotations.io_of(_annotations(pod))
        return Resources(
            cpu_shares=shares(pod_request(pod, "cpu")),
            cpu_quota_us=quota_us(pod_limit(pod, "cpu")),
            cpu_period_us=QUOTA_PERIOD_US,
            memory_bytes=pod_limit(pod, "memory") or None,
            memory_soft_bytes=pod_request(pod, "memory"),
            swap_bytes=self._pod_swap_bytes(pod),
            pids=pids_limit if pids_limit > 0 else None,
            io=_limits(whole, disks),
            io_weight=whole.weight or None,
            hugepages=tuple(self._huge_pages(lambda page: pod_sum(pod, page))),
        )

    def _cpuset(self, annotations: Mapping[str, str], container: str) -> str:
        value = annotations.get(f"{CPUSET}/{container}")
        return (
            "" if value is None else resource_annotations.cpu_list(resource_annotations.cpus(value))
        )

    def _swap_bytes(self, pod: Object, container: Object) -> int:
        """Only what is Burstable may swap, and no more of the swap than it requests of the memory;
        what requests all that it may use, or nothing, may not (KEP-2400, LimitedSwap)."""
        asked = request(container, "memory")
        if (
            self.settings.memory_swap_behavior != "LimitedSwap"
            or qos_class(pod) != "Burstable"
            or is_critical(pod)
            or asked in (0, limit(container, "memory"))
        ):
            return 0
        return int(asked / self.hardware.memory_bytes * self.hardware.swap_bytes)

    def _pod_swap_bytes(self, pod: Object) -> int | None:
        """v1 counts swap together with memory, and so needs room for it in the Pod's limit."""
        if not pod_limit(pod, "memory"):
            return None
        return sum(self._swap_bytes(pod, container) for container in containers_of(pod))

    def _huge_pages(self, asked: Callable[[str], int]) -> Iterator[tuple[str, int]]:
        """Where there are huge pages, who has not asked for them gets none."""
        for page, pool in self.hardware.huge_pages.items():
            wanted = asked(page_resource(page))
            if pool or wanted:
                yield page_cgroup_name(page), wanted

    def cpuset_problems(self, pod: Object) -> Iterator[str]:
        """What no container can be pinned to here."""
        for key, value in _annotations(pod).items():
            if (
                key.startswith(f"{CPUSET}/")
                and (wanted := resource_annotations.cpus(value)) - self.hardware.cpus
            ):
                there = resource_annotations.cpu_list(self.hardware.cpus)
                asked = resource_annotations.cpu_list(wanted)
                yield f"{key}: CPUs {asked} were asked for, and this node has {there}"


def _annotations(pod: Object) -> Mapping[str, str]:
    found: Mapping[str, str] = pod["metadata"].get("annotations") or {}
    return found


def _smaller(own: Io, whole: Io) -> Io:
    def least(name: str) -> int:
        values = [value for io in (own, whole) if (value := getattr(io, name))]
        return min(values, default=0)

    return Io(*(least(name) for name in ("read_bps", "write_bps", "read_iops", "write_iops")))


def _limits(io: Io, disks: Disks) -> tuple[IoLimit, ...]:
    if not io.is_limited:
        return ()
    return tuple(
        IoLimit(*disk, io.read_bps, io.write_bps, io.read_iops, io.write_iops)
        for disk in sorted(set(disks))
    )


def weight_warnings(disks: Disks) -> list[str]:
    """A line for each disk on which an I/O weight changes nothing."""
    return [
        f"disk {major}:{minor} heeds no I/O weights: its scheduler is not BFQ"
        for major, minor in sorted(disks)
        if not heeds_weights((major, minor))
    ]
