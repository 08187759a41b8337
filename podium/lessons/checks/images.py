"""Lesson 4: what a container writes and removes lies over the image; and docker run's options."""

from __future__ import annotations

from collections.abc import Iterator

from podium.lessons.kernel import Process
from podium.lessons.world import Finding, Outcome, World

REMOVED = "etc/group"


def check(world: World) -> Iterator[Finding]:
    """Two roots of one image, and the options of `worker`."""
    one, two = (world.process(world.pod(name)) for name in ("one", "two"))
    roots = [process.mount("/") for process in (one, two)]
    yield Finding(
        "one and two have roots of their own, both of them overlays",
        all(root is not None and root.type == "overlay" for root in roots)
        and len({root.device for root in roots if root}) == 2,
        "make both Pods with the image host",
    )
    yield Finding(
        "what one has written is not in two",
        (one.root / "etc/note").exists() and not (two.root / "etc/note").exists(),
        "kubectl -n lesson-4 exec one -- sh -c 'echo mine > /etc/note'",
    )
    yield Finding(
        f"one has removed /{REMOVED}",
        not (one.root / REMOVED).exists(),
        f"kubectl -n lesson-4 exec one -- rm /{REMOVED}",
    )
    yield from _options(world.process(world.pod("worker")))


def _options(worker: Process) -> Iterator[Finding]:
    root = worker.mount("/")
    for option, holds in (
        ("-e COLOUR=blue", worker.environment.get("COLOUR") == "blue"),
        ("-w /tmp", worker.working_directory == "/tmp"),
        ("-u 1000", worker.status("Uid").split()[1] == "1000"),
        ("--cap-drop ALL", int(worker.status("CapBnd"), 16) == 0),
        ("--read-only", root is not None and "ro" in root.options),
        ("--memory 64m", worker.memory_limit() == 64 * 2**20),
        ("--cpus 0.5", worker.cpu_limit() == 0.5),
    ):
        yield Finding(
            f"worker's process {worker.pid} has what docker calls {option}",
            holds,
            "apply the manifest of worker as it is in the lesson",
        )


def outcome(world: World) -> Outcome:
    """Whether the second container still has the file."""
    two = world.process(world.pod("two"))
    return Outcome(
        "b" if (two.root / REMOVED).exists() else "a",
        f"two still has /{REMOVED}: the image below is shared and never changed. In one's upper "
        "directory lies a character device with the numbers 0, 0, a whiteout: overlay shows "
        "nothing where it finds one. It took space instead of giving some back.",
    )
