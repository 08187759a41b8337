"""The statistics pages of the kubelet's server, by path. Room kubelet; called by server.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from kubelet.metrics import KubeletMetrics
from kubelet.runtime.protocol import Runtime
from kubelet.stats.metrics import cadvisor_metrics, resource_metrics, volume_metrics
from kubelet.stats.sampler import Sampler
from kubelet.stats.summary import summary
from podium.api.exposition import CONTENT_TYPE


@dataclass(frozen=True)
class Page:
    """`window_s`: over how long the CPU averages are, 0 where there are none."""

    body: str
    content_type: str = CONTENT_TYPE
    window_s: float = 0.0


class Statistics:
    """One per kubelet; safe for many threads."""

    def __init__(self, sampler: Sampler, metrics: KubeletMetrics, runtime: Runtime) -> None:
        self._sampler, self._metrics, self._runtime = sampler, metrics, runtime

    def page(self, path: str, query: Mapping[str, str]) -> Page | None:
        """None if there is no such page."""
        match path.strip("/"):
            case "metrics":
                volumes = volume_metrics(self._sampler.snapshot())
                return Page(self._metrics.text(self._runtime) + volumes)
            case "metrics/probes":
                return Page(self._metrics.probes.text())
            case "metrics/resource":
                return Page(resource_metrics(self._sampler.snapshot()))
            case "metrics/cadvisor":
                return Page(cadvisor_metrics(self._sampler.snapshot()))
            case "stats/summary":
                is_brief = query.get("only_cpu_and_memory") in ("true", "1")
                snapshot = self._sampler.snapshot()
                body = json.dumps(summary(snapshot, only_cpu_and_memory=is_brief))
                return Page(body, "application/json", snapshot.window_s)
        return None

    def asked(self, method: str, path: str) -> None:
        """A request has come, for whatever page."""
        self._metrics.request(method, path.strip("/").partition("/")[0])
