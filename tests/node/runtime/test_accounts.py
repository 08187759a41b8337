"""What the kernel counts for real containers, seen through the runtime's stats."""

from __future__ import annotations

import os

from kubelet.runtime.protocol import ContainerStats, Resources
from tests.node.runtime.engine import Pods, until


def test_bytes_read_from_a_disk_past_the_cache_are_counted(pods: Pods) -> None:
    container = pods.sleeper()
    assert "copied" in pods.sh(container, "dd if=/dev/zero of=/f bs=64k count=32 oflag=direct 2>&1")
    assert "copied" in pods.sh(container, "dd if=/f of=/dev/null bs=64k iflag=direct 2>&1")
    found = pods.runtime.container_stats(container.id).io
    assert sum(io.write_bytes for io in found) >= 2 << 20
    assert sum(io.read_bytes for io in found) >= 2 << 20
    assert all(os.path.exists(f"/sys/dev/block/{io.major}:{io.minor}") for io in found)


def test_memory_swap_and_process_limits_are_shown_as_the_kernel_has_them(pods: Pods) -> None:
    container = pods.sleeper(resources=Resources(memory_bytes=64 << 20, pids=50))
    found = pods.runtime.container_stats(container.id)
    assert (found.memory_limit_bytes, found.pids_limit) == (64 << 20, 50)
    assert found.swap_limit_bytes in (0, None)
    assert found.memory_rss_bytes > 0
    assert found.page_faults > 0


def test_throttling_by_the_cpu_limit_is_counted(pods: Pods) -> None:
    spinner = pods.script("while :; do :; done", resources=Resources(cpu_quota_us=5_000))

    def throttled() -> ContainerStats | None:
        found = pods.runtime.container_stats(spinner.id)
        return found if found.cpu_throttled_periods else None

    found = until(throttled)
    assert found.cpu_periods >= found.cpu_throttled_periods
    assert found.cpu_throttled_ns > 0
