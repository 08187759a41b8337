"""What the server counts about itself, in Prometheus' text form. Room apiserver; /metrics."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Metrics:
    """One per server; everything happens in the main thread."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, str, int]] = Counter()
        self._started_at = time.time()

    def count(self, verb: str, resource: str, subresource: str, code: int) -> None:
        self._requests[verb, resource, subresource, code] += 1

    def text(self, *, watches: int, connections: int, revision: int, failed_writes: int) -> str:
        """The whole page."""
        lines = ["# TYPE apiserver_request_total counter", *self._request_lines()]
        for name, kind, value in (
            ("apiserver_longrunning_requests", "gauge", watches),
            ("apiserver_open_connections", "gauge", connections),
            ("apiserver_storage_revision", "gauge", revision),
            ("apiserver_storage_failed_writes_total", "counter", failed_writes),
            ("process_start_time_seconds", "gauge", round(self._started_at, 3)),
            ("process_cpu_seconds_total", "counter", round(time.process_time(), 3)),
            ("process_resident_memory_bytes", "gauge", _resident_bytes()),
        ):
            lines += [f"# TYPE {name} {kind}", f"{name} {value}"]
        return "\n".join(lines) + "\n"

    def _request_lines(self) -> Iterator[str]:
        for (verb, resource, subresource, code), count in sorted(self._requests.items()):
            labels = (
                f'code="{code}",resource="{resource}",subresource="{subresource}",'
                f'verb="{verb.upper()}"'
            )
            yield f"apiserver_request_total{{{labels}}} {count}"


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE_BYTES
