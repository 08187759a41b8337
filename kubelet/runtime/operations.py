"""What the runtime has done, in the words of what did it: a list of small tuples.

Runs in the shim and in the container child; standard library only. The functions that bring
something about (syscalls.py, a few here) note it when it has succeeded, if somebody records:
`("mount", "proc", "/proc", "proc", 14, "")`. From those notes kubelet/inspect/as_commands.py writes
the shell script that builds the same by hand. Nothing is recorded but the making of a sandbox and
of a container; the list is bounded, and is gone when it has been handed on.
"""

from __future__ import annotations

import json
import os
from typing import Any

Operation = tuple[Any, ...]

MAX_OPERATIONS = 2000
MAX_BYTES = 128 << 10  # what is handed on at a time: fits into a message between processes

_noted: list[Operation] | None = None  # None: nobody records


def begin() -> None:
    global _noted
    _noted = []


def end() -> list[Operation]:
    """What was done since `begin`; from now on nothing is recorded."""
    global _noted
    done, _noted = _noted or [], None
    return done


def note(*operation: Any) -> None:
    if _noted is not None and len(_noted) < MAX_OPERATIONS:
        _noted.append(operation)


def packed(done: list[Operation]) -> bytes:
    """A line; what is too long keeps its beginning, and says so at its end."""
    line = json.dumps(done, separators=(",", ":")).encode()
    if len(line) > MAX_BYTES or len(done) == MAX_OPERATIONS:
        line = json.dumps([*done[: len(done) // 4], ("cut off",)]).encode()
        line = line if len(line) <= MAX_BYTES else b'[["cut off"]]'
    return line


def unpacked(text: str) -> list[Operation]:
    """All lines together; one that is spoiled counts as nothing."""
    done: list[Operation] = []
    for line in text.splitlines():
        try:
            done += [tuple(operation) for operation in json.loads(line)]
        except (ValueError, TypeError):
            continue
    return done


# ---- what has no other place to be told ----


def mkdir(path: str, mode: int = 0o755) -> None:
    os.mkdir(path, mode)
    note("mkdir", path, mode)


def mknod(path: str, mode: int, device: int) -> None:
    os.mknod(path, mode, device)
    note("mknod", path, mode, os.major(device), os.minor(device))


def symlink(target: str, path: str) -> None:
    os.symlink(target, path)
    note("symlink", target, path)


def give(path: str, owner: int) -> None:
    """To a user and the group of the same number; to root goes without saying."""
    os.chown(path, owner, owner)
    if owner:
        note("chown", path, owner)


def chroot(path: str) -> None:
    os.chroot(path)
    note("chroot", path)
