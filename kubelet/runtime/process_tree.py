"""A process and all that came from it, ended together. Runs in the shim, when an exec is killed.

What belongs to it is found by parent and by session, among the processes of its container's cgroup:
a daemon that has left both is the container's own and stays. Source: `man 5 proc`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Collection

_ROUNDS = 8  # they may fork while they are being killed; each round kills who forked


def kill(root: int, members: Callable[[], Collection[int]]) -> None:
    """SIGKILL `root`, the leader of its session, and its descendants among `members()`."""
    killed: set[int] = set()
    for _ in range(_ROUNDS):
        found = family(root, {pid: _parent_and_session(pid) for pid in members()}) | {root}
        if found <= killed:
            return
        for pid in found - killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed |= found


def family(root: int, processes: dict[int, tuple[int, int]]) -> set[int]:
    """Of `processes` (pid → parent, session) those that are in root's session or come from it."""
    found = {pid for pid, (_, session) in processes.items() if root in (pid, session)}
    while more := {pid for pid, (parent, _) in processes.items() if parent in found} - found:
        found |= more
    return found


def _parent_and_session(pid: int) -> tuple[int, int]:
    """(0, 0) when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0, 0
    return int(fields[1]), int(fields[3])
