"""Lesson 2: what the containers of a Pod share are namespaces."""

from __future__ import annotations

import platform
from collections.abc import Iterator

from podium.lessons.kernel import Process, myself
from podium.lessons.world import Finding, Outcome, World

SHARED, OWN = ("net", "ipc", "uts"), ("pid", "mnt", "cgroup")
NEW_NAME = "renamed"


def check(world: World) -> Iterator[Finding]:
    """Inodes of /proc/<pid>/ns, and the hostname that was changed."""
    left, right = _both(world)
    host = myself()
    for kind in SHARED:
        inodes = {one.namespace(kind) for one in (left, right)}
        yield Finding(
            f"left and right share the {kind} namespace {min(inodes)}, not the host's",
            len(inodes) == 1 and host.namespace(kind) not in inodes,
            "make the Pod as the lesson says, without hostNetwork or hostIPC",
        )
    for kind in OWN:
        yield Finding(
            f"left, right and the host each have a {kind} namespace of their own",
            len({one.namespace(kind) for one in (left, right, host)}) == 3,
            "make the Pod as the lesson says, without shareProcessNamespace",
        )
    yield Finding(
        f'the hostname in the uts namespace of left is "{NEW_NAME}"',
        left.hostname() == NEW_NAME,
        f"enter it: nsenter --target <pid of left> --uts hostname {NEW_NAME}",
    )


def outcome(world: World) -> Outcome:
    """Who sees the new name."""
    left, right = _both(world)
    sees_right = right.hostname() == NEW_NAME
    sees_host = platform.node() == NEW_NAME
    answer = "c" if sees_host else "b" if sees_right else "a"
    return Outcome(
        answer,
        f"left and right are in the same uts namespace, {left.namespace('uts')}, so they have "
        f"one hostname between them. The host is in {myself().namespace('uts')}, and is still "
        f'called "{platform.node()}".',
    )


def _both(world: World) -> tuple[Process, Process]:
    pod = world.pod("pair")
    return world.process(pod, "left"), world.process(pod, "right")
