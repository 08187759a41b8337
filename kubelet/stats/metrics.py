"""The pages /metrics/resource and /metrics/cadvisor: a Snapshot as Prometheus metrics; and what
/metrics says of volumes. Pure.

Room kubelet; called by server.py. Names and labels are the kubelet's and cAdvisor's, so that the
dashboards made for them work. What belongs to a Pod as a whole has container="", and what belongs
to the machine has id="/".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kubelet.runtime.protocol import ContainerStats, DeviceIo
from kubelet.stats.host import Interface
from kubelet.stats.sampler import ContainerSample, PodSample, Snapshot, VolumeSample
from podium.api.exposition import Kind, Labels, Sample, family

Object = dict[str, Any]

_NS = 1e9
_ROOT = {"container": "", "id": "/", "image": "", "name": "", "namespace": "", "pod": ""}


# ---- /metrics/resource --------------------------------------------------------------------------


def resource_metrics(snapshot: Snapshot) -> str:
    """CPU and memory of the node, its Pods and their containers."""
    node, at_ms = snapshot.node, int(snapshot.at * 1000)
    pods = [(_pod_names(pod), pod.stats) for pod in snapshot.pods]
    containers = [
        ({"container": c.status.name, **_pod_names(pod)}, c)
        for pod in snapshot.pods
        for c in pod.containers
    ]

    def timed(name: str, kind: Kind, words: str, samples: Iterable[Sample]) -> str:
        return family(name, kind, f"[STABLE] {words}", samples, at_ms)

    return "".join(
        (
            timed("container_cpu_usage_seconds_total", "counter",
                  "Cumulative cpu time consumed by the container in core-seconds",
                  ((labels, c.stats.cpu_usage_ns / _NS) for labels, c in containers)),
            timed("container_memory_working_set_bytes", "gauge",
                  "Current working set of the container in bytes",
                  ((labels, c.stats.memory_working_set_bytes) for labels, c in containers)),
            family("container_start_time_seconds", "gauge",
                   "[STABLE] Start time of the container since unix epoch in seconds",
                   ((labels, c.status.started_at) for labels, c in containers)),
            timed("container_swap_usage_bytes", "gauge",
                  "Current amount of the container swap usage in bytes",
                  ((labels, c.stats.swap_usage_bytes) for labels, c in containers)),
            timed("node_cpu_usage_seconds_total", "counter",
                  "Cumulative cpu time consumed by the node in core-seconds",
                  [({}, node.cpu_used_ns / _NS)]),
            timed("node_memory_working_set_bytes", "gauge",
                  "Current working set of the node in bytes",
                  [({}, node.memory.working_set_bytes)]),
            timed("node_swap_usage_bytes", "gauge",
                  "Current swap usage of the node in bytes",
                  [({}, node.memory.swap_usage_bytes)]),
            timed("pod_cpu_usage_seconds_total", "counter",
                  "Cumulative cpu time consumed by the pod in core-seconds",
                  ((labels, stats.cpu_usage_ns / _NS) for labels, stats in pods)),
            timed("pod_memory_working_set_bytes", "gauge",
                  "Current working set of the pod in bytes",
                  ((labels, stats.memory_working_set_bytes) for labels, stats in pods)),
            timed("pod_swap_usage_bytes", "gauge",
                  "Current amount of the pod swap usage in bytes",
                  ((labels, stats.swap_usage_bytes) for labels, stats in pods)),
            family("resource_scrape_error", "gauge",
                   "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
                   [({}, 0)]),
        )
    )  # fmt: skip


def _pod_names(pod: PodSample) -> dict[str, str]:
    about = pod.pod["metadata"]
    return {"namespace": about["namespace"], "pod": about["name"]}


# ---- /metrics: of volumes ------------------------------------------------------------------------


def volume_metrics(snapshot: Snapshot) -> str:
    """How full the PersistentVolumeClaims of this node's Pods are."""
    claims: dict[tuple[str, str], VolumeSample] = {}
    for pod in snapshot.pods:
        for volume in pod.volumes:
            if volume.claim:
                claims[pod.pod["metadata"]["namespace"], volume.claim] = volume
    return "".join(
        family(
            f"kubelet_volume_stats_{name}", "gauge", f"[ALPHA] {words}",
            [({"namespace": ns, "persistentvolumeclaim": claim}, value(volume))
             for (ns, claim), volume in sorted(claims.items())],
        )
        for name, words, value in _OF_VOLUMES
    )  # fmt: skip


_OF_VOLUMES: tuple[tuple[str, str, Callable[[VolumeSample], int]], ...] = (
    ("capacity_bytes", "Capacity in bytes of the volume", lambda v: v.file_system.capacity_bytes),
    ("available_bytes", "Number of available bytes in the volume",
     lambda v: v.file_system.available_bytes),
    ("used_bytes", "Number of used bytes in the volume", lambda v: v.usage.used_bytes),
    ("inodes", "Maximum number of inodes in the volume", lambda v: v.file_system.inodes),
    ("inodes_free", "Number of free inodes in the volume", lambda v: v.file_system.inodes_free),
    ("inodes_used", "Number of used inodes in the volume", lambda v: v.usage.inodes_used),
)  # fmt: skip


# ---- /metrics/cadvisor --------------------------------------------------------------------------


def cadvisor_metrics(snapshot: Snapshot) -> str:
    """All that the kernel counts of each container and Pod."""
    at_ms = int(snapshot.at * 1000)
    owners = list(_owners(snapshot))
    networks = list(_networks(snapshot))
    containers = [(_container_labels(p, c), c) for p in snapshot.pods for c in p.containers]
    pages = [
        family(name, kind, words, _samples(owners, value), at_ms)
        for name, kind, words, value in _OF_CGROUPS
    ]
    pages += [
        family(name, "counter", words, _io_samples(owners, value), at_ms)
        for name, words, value in _OF_DEVICES
    ]
    pages += [
        family(name, "counter", words, ((labels, value(i)) for labels, i in networks), at_ms)
        for name, words, value in _OF_INTERFACES
    ]
    pages += [
        family(name, "gauge", words, ((labels, value(c)) for labels, c in containers), at_ms)
        for name, words, value in _OF_CONTAINERS
    ]
    return "".join([*pages, *_machine(snapshot, at_ms)])


def _owners(snapshot: Snapshot) -> Iterator[tuple[Labels, ContainerStats]]:
    """Whose cgroups they are: the machine's, the Pods' and the containers'."""
    memory = snapshot.node.memory
    yield (
        _ROOT,
        ContainerStats(
            cpu_usage_ns=snapshot.node.cpu_used_ns,
            memory_usage_bytes=memory.usage_bytes,
            memory_working_set_bytes=memory.working_set_bytes,
            memory_rss_bytes=memory.rss_bytes,
            pids=snapshot.node.processes,
        ),
    )
    for pod in snapshot.pods:
        yield _pod_labels(pod), pod.stats
        for container in pod.containers:
            yield _container_labels(pod, container), container.stats


def _container_labels(pod: PodSample, container: ContainerSample) -> Labels:
    return {
        "container": container.status.name, "id": container.cgroup, "image": container.image,
        "name": container.status.id, **_pod_names(pod),
    }  # fmt: skip


def _pod_labels(pod: PodSample) -> Labels:
    return {"container": "", "id": pod.cgroup, "image": "", "name": "", **_pod_names(pod)}


def _networks(snapshot: Snapshot) -> Iterator[tuple[Labels, Interface]]:
    for interface in snapshot.node.interfaces:
        yield {**_ROOT, "interface": interface.name}, interface
    for pod in snapshot.pods:
        for interface in pod.interfaces:
            yield {**_pod_labels(pod), "interface": interface.name}, interface


Value = Callable[[ContainerStats], float | list[tuple[dict[str, str], float]] | None]


def _samples(owners: Iterable[tuple[Labels, ContainerStats]], value: Value) -> Iterator[Sample]:
    """A value for each owner, or several with a label more; None: it has none."""
    for labels, stats in owners:
        found = value(stats)
        if isinstance(found, list):
            yield from (({**labels, **more}, number) for more, number in found)
        elif found is not None:
            yield labels, found


def _io_samples(
    owners: Iterable[tuple[Labels, ContainerStats]], value: Callable[[DeviceIo], int]
) -> Iterator[Sample]:
    for labels, stats in owners:
        for io in stats.io:
            yield {**labels, "device": f"{io.major}:{io.minor}"}, value(io)


def _failures(stats: ContainerStats) -> list[tuple[dict[str, str], float]]:
    counts = {"pgfault": stats.page_faults, "pgmajfault": stats.major_page_faults}
    return [({"failure_type": k, "scope": "hierarchy"}, count) for k, count in counts.items()]


_OF_CGROUPS: tuple[tuple[str, Kind, str, Value], ...] = (
    ("container_cpu_usage_seconds_total", "counter", "Cumulative cpu time consumed in seconds.",
     lambda s: [({"cpu": "total"}, s.cpu_usage_ns / _NS)]),
    ("container_cpu_user_seconds_total", "counter", "Cumulative user cpu time consumed in seconds.",
     lambda s: s.cpu_user_ns / _NS),
    ("container_cpu_system_seconds_total", "counter",
     "Cumulative system cpu time consumed in seconds.", lambda s: s.cpu_system_ns / _NS),
    ("container_cpu_cfs_periods_total", "counter",
     "Number of elapsed enforcement period intervals.", lambda s: s.cpu_periods or None),
    ("container_cpu_cfs_throttled_periods_total", "counter",
     "Number of throttled period intervals.",
     lambda s: s.cpu_throttled_periods if s.cpu_periods else None),
    ("container_cpu_cfs_throttled_seconds_total", "counter",
     "Total time duration the container has been throttled.",
     lambda s: s.cpu_throttled_ns / _NS if s.cpu_periods else None),
    ("container_memory_usage_bytes", "gauge",
     "Current memory usage in bytes, including all memory regardless of when it was accessed",
     lambda s: s.memory_usage_bytes),
    ("container_memory_working_set_bytes", "gauge", "Current working set in bytes.",
     lambda s: s.memory_working_set_bytes),
    ("container_memory_rss", "gauge", "Size of RSS in bytes.", lambda s: s.memory_rss_bytes),
    ("container_memory_cache", "gauge", "Number of bytes of page cache memory.",
     lambda s: s.memory_cache_bytes),
    ("container_memory_mapped_file", "gauge", "Size of memory mapped files in bytes.",
     lambda s: s.memory_mapped_file_bytes),
    ("container_memory_swap", "gauge", "Container swap usage in bytes.",
     lambda s: s.swap_usage_bytes),
    ("container_memory_max_usage_bytes", "gauge", "Maximum memory usage recorded in bytes",
     lambda s: s.memory_peak_bytes),
    ("container_memory_failcnt", "counter", "Number of memory usage hits limits",
     lambda s: s.memory_limit_hits),
    ("container_memory_failures_total", "counter",
     "Cumulative count of memory allocation failures.", _failures),
    ("container_spec_memory_limit_bytes", "gauge", "Memory limit for the container.",
     lambda s: s.memory_limit_bytes or 0),
    ("container_processes", "gauge", "Number of processes running inside the container.",
     lambda s: s.pids),
    ("container_threads", "gauge", "Number of threads running inside the container",
     lambda s: s.pids),
    ("container_threads_max", "gauge",
     "Maximum number of threads allowed inside the container, infinity if value is zero",
     lambda s: s.pids_limit or 0),
)  # fmt: skip

_OF_DEVICES: tuple[tuple[str, str, Callable[[DeviceIo], int]], ...] = (
    ("container_fs_reads_bytes_total", "Cumulative count of bytes read",
     lambda io: io.read_bytes),
    ("container_fs_writes_bytes_total", "Cumulative count of bytes written",
     lambda io: io.write_bytes),
    ("container_fs_reads_total", "Cumulative count of reads completed", lambda io: io.reads),
    ("container_fs_writes_total", "Cumulative count of writes completed", lambda io: io.writes),
)  # fmt: skip

_OF_INTERFACES: tuple[tuple[str, str, Callable[[Interface], int]], ...] = (
    ("container_network_receive_bytes_total", "Cumulative count of bytes received",
     lambda i: i.rx_bytes),
    ("container_network_receive_packets_total", "Cumulative count of packets received",
     lambda i: i.rx_packets),
    ("container_network_receive_errors_total",
     "Cumulative count of errors encountered while receiving", lambda i: i.rx_errors),
    ("container_network_receive_packets_dropped_total",
     "Cumulative count of packets dropped while receiving", lambda i: i.rx_dropped),
    ("container_network_transmit_bytes_total", "Cumulative count of bytes transmitted",
     lambda i: i.tx_bytes),
    ("container_network_transmit_packets_total", "Cumulative count of packets transmitted",
     lambda i: i.tx_packets),
    ("container_network_transmit_errors_total",
     "Cumulative count of errors encountered while transmitting", lambda i: i.tx_errors),
    ("container_network_transmit_packets_dropped_total",
     "Cumulative count of packets dropped while transmitting", lambda i: i.tx_dropped),
)  # fmt: skip

_OF_CONTAINERS: tuple[tuple[str, str, Callable[[ContainerSample], float]], ...] = (
    ("container_start_time_seconds", "Start time of the container since unix epoch in seconds.",
     lambda c: c.status.started_at),
    ("container_fs_usage_bytes", "Number of bytes that are consumed by the container on this "
     "filesystem.", lambda c: c.rootfs.used_bytes + c.logs.used_bytes),
    ("container_fs_inodes_total", "Number of inodes that the container uses.",
     lambda c: c.rootfs.inodes_used + c.logs.inodes_used),
)  # fmt: skip


def _machine(snapshot: Snapshot, at_ms: int) -> Iterator[str]:
    node = snapshot.node
    yield family("machine_memory_bytes", "gauge", "Amount of memory installed on the machine.",
                 [({}, node.memory.total_bytes)], at_ms)  # fmt: skip
    yield family("machine_cpu_cores", "gauge", "Number of logical CPU cores.",
                 [({}, node.cpus)], at_ms)  # fmt: skip
    yield family("container_fs_limit_bytes", "gauge",
                 "Number of bytes that can be consumed by the container on this filesystem.",
                 [(_ROOT, node.file_system.capacity_bytes)], at_ms)  # fmt: skip
    yield family("container_scrape_error", "gauge",
                 "1 if there was an error while getting container metrics, 0 otherwise",
                 [({}, 0)])  # fmt: skip
