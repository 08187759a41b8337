"""What the server counts about itself, in Prometheus' text form. Room apiserver; /metrics."""

from __future__ import annotations

import os
import time

from podium.api.exposition import Counter, Histogram, Kind, family

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG_RUNNING = ("WATCH", "exec", "attach", "portforward", "log", "proxy")


class Metrics:
    """One per server; everything happens in the main thread."""

    def __init__(self) -> None:
        self._requests = Counter(
            "apiserver_request_total", "[STABLE] Requests by verb, resource and HTTP code."
        )
        self._seconds = Histogram(
            "apiserver_request_duration_seconds",
            "[STABLE] How long requests took, but for those that go on for long.",
            _SECONDS,
        )
        self._started_at = time.time()

    def count(
        self, verb: str, resource: str, subresource: str, code: int, *, took_s: float
    ) -> None:
        """One request is answered, or its answer has begun."""
        verb = verb.upper()
        self._requests.add(code=str(code), resource=resource, subresource=subresource, verb=verb)
        if verb not in _LONG_RUNNING and subresource not in _LONG_RUNNING:
            self._seconds.observe(took_s, resource=resource, subresource=subresource, verb=verb)

    def text(self, *, watches: int, connections: int, revision: int, failed_writes: int) -> str:
        """The whole page."""
        figures: tuple[tuple[str, Kind, str, float], ...] = (
            ("apiserver_longrunning_requests", "gauge", "Watches that are open.", watches),
            ("apiserver_open_connections", "gauge", "Connections of clients.", connections),
            ("apiserver_storage_revision", "gauge", "The newest resourceVersion.", revision),
            ("apiserver_storage_failed_writes_total", "counter",
             "Writes that the database refused.", failed_writes),
            ("process_start_time_seconds", "gauge",
             "Start time of the process since unix epoch in seconds.", round(self._started_at, 3)),
            ("process_cpu_seconds_total", "counter",
             "Total user and system CPU time spent in seconds.", round(time.process_time(), 3)),
            ("process_resident_memory_bytes", "gauge", "Resident memory size in bytes.",
             _resident_bytes()),
        )  # fmt: skip
        pages = [family(name, kind, words, [({}, value)]) for name, kind, words, value in figures]
        return "".join([self._requests.text(), self._seconds.text(), *pages])


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
