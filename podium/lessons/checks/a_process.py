"""Lesson 1: the container's process is a process of the host; killed, it is started again."""

from __future__ import annotations

from collections.abc import Iterator

from podium.lessons.kernel import myself
from podium.lessons.world import Finding, Outcome, World, container_status, last_end


def check(world: World) -> Iterator[Finding]:
    """The process as the kernel has it, and that it is not the first one any more."""
    pod = world.pod("box")
    process = world.process(pod)
    yield Finding(
        f"the container's process 1 is process {process.pid} of this machine",
        process.inner_pid == 1 and process.pid != 1,
        "the Pod must have a PID namespace of its own: no hostPID",
    )
    yield Finding(
        f"its parent, process {process.parent.pid}, is outside of the container",
        process.parent.namespace("pid") == myself().namespace("pid"),
        "run the check on the host, not in a container",
    )
    yield Finding(
        "its first process was killed by signal 9 (exit code 137)",
        last_end(pod).get("exitCode") == 137,
        "find its pid on the host and kill -9 it",
    )
    yield Finding(
        "the container was started again in the same Pod",
        container_status(pod).get("restartCount", 0) >= 1,
        "wait a moment: the kubelet starts it again, later each time",
    )


def outcome(world: World) -> Outcome:
    """The same Pod goes on."""
    pod = world.pod("box")
    restarts = container_status(pod)["restartCount"]
    return Outcome(
        "b",
        f"the shim saw its child end and told the kubelet. The Pod's restartPolicy is "
        f"{pod['spec']['restartPolicy']}, so the kubelet started a new process in the same "
        f"sandbox: uid, name and address {pod['status'].get('podIP')} stayed, restarts: "
        f"{restarts}. A Pod is not its process.",
    )
