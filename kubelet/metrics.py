"""What the kubelet counts of its own work: the page /metrics, and the runtime's calls timed.

Room kubelet; made by agent.py, served by server.py. The names are the kubelet's own where it has
them. Source: Kubernetes docs "Kubernetes Metrics Reference".
"""

from __future__ import annotations

import resource
import time
from collections import Counter as Count
from collections.abc import Callable, Iterator
from typing import Any

from kubelet.machine import KUBELET_VERSION
from kubelet.probes.plan import Answer, Kind, titled
from kubelet.runtime.protocol import EventKind, Runtime
from kubelet.stats import host
from podium.api.exposition import Counter, Histogram, family

Object = dict[str, Any]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_POD_START_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_PATHS = frozenset(
    {"attach", "containerLogs", "exec", "healthz", "images", "metrics", "pods", "portForward",
     "stats"}
)  # fmt: skip
_PROBE_RESULTS = {
    "success": "successful", "warning": "successful", "failure": "failed", "unknown": "unknown",
}  # fmt: skip
# The runtime's methods by what the kubelet calls these operations.
_OPERATIONS = {
    "run_pod_sandbox": "run_podsandbox",
    "stop_pod_sandbox": "stop_podsandbox",
    "remove_pod_sandbox": "remove_podsandbox",
    "create_container": "create_container",
    "start_container": "start_container",
    "stop_container": "stop_container",
    "remove_container": "remove_container",
    "exec": "exec",
    "attach": "attach",
    "reopen_log": "reopen_container_log",
    "update_resources": "update_container",
}


class KubeletMetrics:
    """One per kubelet; safe for its threads."""

    def __init__(self, node_name: str) -> None:
        self._node_name = node_name
        self._operations = Counter(
            "kubelet_runtime_operations_total",
            "[ALPHA] Cumulative number of runtime operations by operation type.",
        )
        self._operation_errors = Counter(
            "kubelet_runtime_operations_errors_total",
            "[ALPHA] Cumulative number of runtime operation errors by operation type.",
        )
        self._operation_seconds = Histogram(
            "kubelet_runtime_operations_duration_seconds",
            "[ALPHA] Duration in seconds of runtime operations. Broken down by operation type.",
            _SECONDS,
        )
        self._sync_seconds = Histogram(
            "kubelet_pod_worker_duration_seconds",
            "[ALPHA] Duration in seconds to sync a single pod.",
            _SECONDS,
        )
        self._start_seconds = Histogram(
            "kubelet_pod_start_duration_seconds",
            "[ALPHA] Duration in seconds from kubelet seeing a pod for the first time to the pod "
            "starting to run",
            _POD_START_SECONDS,
        )
        self._started_containers = Counter(
            "kubelet_started_containers_total", "[ALPHA] Cumulative number of containers started"
        )
        self._events = Counter(
            "kubelet_runtime_events_total",
            "Containers and sandboxes that the runtime has told of, by what happened to them.",
        )
        self._requests = Counter(
            "kubelet_http_requests_total",
            "[ALPHA] Number of the http requests received since the server started",
        )
        self.probes = Counter(
            "prober_probe_total",
            "[BETA] Cumulative number of a liveness, readiness or startup probe for a container by "
            "result.",
        )
        self._seen: dict[str, float] = {}  # Pods that have not run yet: uid → since when

    # ---- what is counted ----

    def request(self, method: str, path: str) -> None:
        """A page was asked for, by the first part of its path."""
        path = path if path in _PATHS else "other"
        self._requests.add(method=method, path=path, server_type="readwrite")

    def runtime_event(self, kind: EventKind) -> None:
        self._events.add(event=kind)

    def container_started(self, pod: Object, name: str) -> None:
        """A container of this Pod has begun to run; its first one ends the Pod's start."""
        self._started_containers.add(container_type=_type_of(pod, name))
        since = self._seen.pop(pod["metadata"]["uid"], None)
        if since is not None:
            self._start_seconds.observe(time.monotonic() - since)

    def pod_seen(self, pod: Object) -> None:
        """One that has not run yet; safe to repeat."""
        if (pod.get("status") or {}).get("phase", "Pending") == "Pending":
            self._seen.setdefault(pod["metadata"]["uid"], time.monotonic())

    def pod_gone(self, uid: str) -> None:
        """What was counted of its own is shown no more."""
        self._seen.pop(uid, None)
        self.probes.forget(pod_uid=uid)

    def probed(self, pod: Object, container: str, kind: Kind, answer: Answer) -> None:
        """A probe has been made once."""
        about = pod["metadata"]
        self.probes.add(
            probe_type=titled(kind), result=_PROBE_RESULTS[answer.result], container=container,
            pod=about["name"], namespace=about["namespace"], pod_uid=about["uid"],
        )  # fmt: skip

    def timed_sync(self, reconcile: Callable[[str], float | None]) -> Callable[[str], float | None]:
        """`reconcile`, with how long it takes."""

        def timed(key: str) -> float | None:
            began = time.monotonic()
            try:
                return reconcile(key)
            finally:
                self._sync_seconds.observe(time.monotonic() - began, operation_type="sync")

        return timed

    def operation(self, name: str, began: float, *, has_failed: bool) -> None:
        self._operations.add(operation_type=name)
        self._operation_seconds.observe(time.monotonic() - began, operation_type=name)
        if has_failed:
            self._operation_errors.add(operation_type=name)

    # ---- the pages ----

    def text(self, runtime: Runtime) -> str:
        """/metrics"""
        counted = (
            self._operations, self._operation_errors, self._operation_seconds, self._sync_seconds,
            self._start_seconds, self._started_containers, self._events, self._requests,
        )  # fmt: skip
        pages = [*self._now(runtime), *(metric.text() for metric in counted), *_process()]
        return "".join(pages)

    def _now(self, runtime: Runtime) -> Iterator[str]:
        states = Count(status.state for status in runtime.list_containers())
        ready = [s for s in runtime.list_pod_sandboxes() if s.state == "ready"]
        for name, words, samples in (
            ("kubelet_node_name", "[ALPHA] The node's name. The count is always 1.",
             [({"node": self._node_name}, 1)]),
            ("kubernetes_build_info", "[ALPHA] What was built, in labels.",
             [({"git_version": KUBELET_VERSION}, 1)]),
            ("kubelet_running_pods", "[ALPHA] Number of pods that have a running pod sandbox",
             [({}, len(ready))]),
            ("kubelet_running_containers", "[ALPHA] Number of containers currently running",
             [({"container_state": state}, n) for state, n in sorted(states.items())]),
        ):  # fmt: skip
            yield family(name, "gauge", words, samples)


def _type_of(pod: Object, name: str) -> str:
    for field, kind in (
        ("initContainers", "init_container"), ("ephemeralContainers", "ephemeral_container"),
    ):  # fmt: skip
        if any(c["name"] == name for c in pod["spec"].get(field) or ()):
            return kind
    return "container"


def _process() -> Iterator[str]:
    own = host.own()
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    words, used_s = "Total user and system CPU time spent in seconds.", own.cpu_used_ns / 1e9
    yield family("process_cpu_seconds_total", "counter", words, [({}, used_s)])
    for name, words, value in (
        ("process_resident_memory_bytes", "Resident memory size in bytes.", own.resident_bytes),
        ("process_virtual_memory_bytes", "Virtual memory size in bytes.", own.virtual_bytes),
        ("process_open_fds", "Number of open file descriptors.", own.open_fds),
        ("process_max_fds", "Maximum number of open file descriptors.", limit),
        ("process_start_time_seconds",
         "Start time of the process since unix epoch in seconds.", own.started_at),
    ):  # fmt: skip
        yield family(name, "gauge", words, [({}, value)])


class MeasuredRuntime:
    """Any Runtime, with its slow calls counted and timed; everything else is its own."""

    def __init__(self, runtime: Runtime, metrics: KubeletMetrics) -> None:
        self._runtime, self._metrics = runtime, metrics
        for method, operation in _OPERATIONS.items():
            setattr(self, method, self._timed(getattr(runtime, method), operation))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def _timed(self, call: Callable[..., Any], operation: str) -> Callable[..., Any]:
        def timed(*args: Any, **words: Any) -> Any:
            began, has_failed = time.monotonic(), True
            try:
                answer = call(*args, **words)
                has_failed = False
                return answer
            finally:
                self._metrics.operation(operation, began, has_failed=has_failed)

        return timed
