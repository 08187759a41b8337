"""Lesson 3: limits are numbers in a cgroup; too much CPU is slow, too much memory is the end."""

from __future__ import annotations

from collections.abc import Iterator

from podium.lessons.world import Finding, Outcome, World, container_status, last_end

MEMORY_BYTES, CPUS = 32 * 2**20, 0.2


def check(world: World) -> Iterator[Finding]:
    """The running container's numbers, and how the one before ended."""
    pod = world.pod("greedy")
    process = world.process(pod)
    memory_bytes, cpus = process.memory_limit(), process.cpu_limit()
    yield Finding(
        f"the kernel limits its memory to {memory_bytes} bytes",
        memory_bytes == MEMORY_BYTES,
        f"resources.limits.memory: 32Mi would be {MEMORY_BYTES}",
    )
    yield Finding(
        f"the kernel limits it to {cpus or 'any number of'} CPUs",
        cpus == CPUS,
        "resources.limits.cpu: 200m would be 20000 of every 100000 µs",
    )
    throttled = process.cgroup_figures("cpu.stat", "cpu.stat").get("nr_throttled", 0)
    yield Finding(
        f"it had to wait for CPU {throttled} times",
        throttled > 0,
        "let it count for a second",
    )
    yield Finding(
        "its first process is dead because it took too much memory",
        last_end(pod).get("exitCode") not in (None, 0),
        "give it what it waits for: kubectl -n lesson-3 exec greedy -- touch /tmp/go",
    )


def outcome(world: World) -> Outcome:
    """What ended it."""
    ended = last_end(world.pod("greedy"))
    was_killed = ended.get("reason") == "OOMKilled"
    restarts = container_status(world.pod("greedy"))["restartCount"]
    return Outcome(
        "b" if was_killed else "a",
        f"the reason is {ended.get('reason')}, the exit code {ended.get('exitCode')}. The kernel "
        "promises memory freely and finds out only when a page is touched; by then no call is "
        "left that could fail, so it kills the process (signal 9, so 128 + 9). CPU can be had "
        f"later, memory that is in use cannot. The kubelet has started it again: {restarts}.",
    )
