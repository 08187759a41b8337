"""Lesson 9: containers outlive the kubelet that started them, and the API server."""

from __future__ import annotations

from collections.abc import Iterator

from podium.api.meta import is_pod_active, is_pod_ready
from podium.lessons.kernel import Process
from podium.lessons.world import Finding, Object, Outcome, World, container_status

REPLICAS = 2


def check(world: World) -> Iterator[Finding]:
    """Who is older than whom, by the kernel's start times."""
    pods = _pods(world)
    yield Finding(
        f"{len(pods)} Pods of the Deployment web are Ready",
        len(pods) == REPLICAS and all(is_pod_ready(pod) for pod in pods),
        "kubectl -n lesson-9 rollout status deploy/web",
    )
    oldest = [world.process(pod) for pod in pods]
    for name in ("kubelet", "apiserver"):
        component = world.component(name)
        yield Finding(
            f"the {name}, process {component.pid}, is younger than the containers",
            all(process.started < component.started for process in oldest),
            f"kill -9 the {name} (its pid: podium status) once the Pods run",
        )
    yield Finding(
        "no container was started again",
        all(container_status(pod)["restartCount"] == 0 for pod in pods),
        "begin anew: podium lesson clean 9",
    )


def outcome(world: World) -> Outcome:
    """What the new kubelet found."""
    pods = _pods(world)
    pids = [world.process(pod).pid for pod in pods]
    parents = sorted({_parent(pid) for pid in pids})
    return Outcome(
        "a",
        f"the processes {', '.join(map(str, pids))} have been there all the time. Their parents "
        f"are not the kubelet but the shims ({', '.join(map(str, parents))}), one a Pod, which "
        "hold the output and the exit codes. A new kubelet lists the shims, compares with the "
        "Pods that the API server tells it of, and finds nothing to do.",
    )


def _pods(world: World) -> list[Object]:
    return [pod for pod in world.all("pods", "app=web") if is_pod_active(pod)]


def _parent(pid: int) -> int:
    return Process(pid).parent.pid
