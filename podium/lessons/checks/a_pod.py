"""Lesson 5: containers of a Pod share address and volumes, not their files."""

from __future__ import annotations

from collections.abc import Iterator

from podium.client.errors import NotFound
from podium.lessons.kernel import Process
from podium.lessons.world import Finding, Object, Outcome, World

PORT = 8080
NOTE = "tmp/note"


def check(world: World) -> Iterator[Finding]:
    """Init container, port, file, volume, and the Pod that is gone."""
    pod = world.pod("team")
    server, reader = _both(world)
    yield Finding(
        "prepare has succeeded before the others began",
        _prepared_before(pod),
        "make the Pod as the lesson says",
    )
    yield Finding(
        f"port {PORT} is open in the network namespace that both are in",
        server.namespace("net") == reader.namespace("net") and server.listens(PORT),
        "look with: kubectl -n lesson-5 logs team -c server",
    )
    yield Finding(
        f"the server has its file /{NOTE}",
        (server.root / NOTE).exists(),
        "make the Pod as the lesson says",
    )
    mounts = [process.mount("/shared") for process in (server, reader)]
    yield Finding(
        "/shared is one directory of the host in both",
        None not in mounts and len({(m.device, m.source_root) for m in mounts if m}) == 1,
        "mount the volume into both containers",
    )
    yield Finding(
        "what reader wrote to /shared, the server has",
        (server.root / "shared/answer").exists(),
        "kubectl -n lesson-5 exec team -c reader -- sh -c 'echo read > /shared/answer'",
    )
    yield Finding(
        "the Pod alone ran once, and nobody has made it again",
        _was_deleted(world, "alone") and "alone" not in _names(world),
        "run it, wait until it is Ready, and delete it",
    )


def outcome(world: World) -> Outcome:
    """What the reader can get at."""
    server, reader = _both(world)
    port = reader.listens(PORT)
    file = (reader.root / NOTE).exists()
    return Outcome(
        "c" if port and file else "b" if port else "a",
        f"both are in the network namespace {server.namespace('net')}, so they share the loopback "
        f"interface and its ports. Their mount namespaces are two, {server.namespace('mnt')} and "
        f"{reader.namespace('mnt')}, with a root and a /tmp each. Files are shared by volumes.",
    )


def _both(world: World) -> tuple[Process, Process]:
    pod = world.pod("team")
    return world.process(pod, "server"), world.process(pod, "reader")


def _prepared_before(pod: Object) -> bool:
    status = pod["status"]
    prepared = status.get("initContainerStatuses", [{}])[0].get("state", {}).get("terminated", {})
    began = [
        one.get("state", {}).get("running", {}).get("startedAt", "")
        for one in status.get("containerStatuses", [])
    ]
    return bool(prepared.get("exitCode") == 0 and prepared["finishedAt"] <= min(began, default=""))


def _was_deleted(world: World, name: str) -> bool:
    try:
        return any(change["type"] == "DELETED" for change in world.history("pods", name))
    except NotFound:
        return False


def _names(world: World) -> set[str]:
    return {pod["metadata"]["name"] for pod in world.all("pods")}
