"""Users and groups by name, read from an image's own /etc/passwd and /etc/group.

Room kubelet; called by container_config.py. The files are looked for from the topmost layer down,
and read without following links out of the layer.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from kubelet.runtime import syscalls


class UnknownUser(Exception):
    """The image has no such user or group: CreateContainerConfigError."""


@dataclass(frozen=True)
class User:
    """`groups` are the supplementary ones."""

    uid: int
    gid: int
    groups: list[int]
    home: str


def resolve_user(user: int | str, group: int | str | None, layers: Sequence[str]) -> User:
    """By number or name; without a group the user's own. Raises UnknownUser."""
    passwd, groups = _table("etc/passwd", layers), _table("etc/group", layers)
    if isinstance(user, int):
        row = next((r for r in passwd if len(r) > 3 and r[2] == str(user)), None)
        uid = user
    else:
        row = next((r for r in passwd if len(r) > 3 and r[0] == user), None)
        if row is None:
            raise UnknownUser(f"unable to find user {user}: no matching entries in passwd file")
        uid = int(row[2])
    gid = _gid(group, groups) if group is not None else int(row[3]) if row else 0
    name = row[0] if row else ""
    extra = [int(r[2]) for r in groups if len(r) > 3 and name and name in r[3].split(",")]
    home = row[5] if row and len(row) > 5 else ""
    return User(uid, gid, extra, home or ("/root" if uid == 0 else "/"))


def _gid(group: int | str, groups: list[list[str]]) -> int:
    if isinstance(group, int):
        return group
    for row in groups:
        if len(row) > 2 and row[0] == group:
            return int(row[2])
    raise UnknownUser(f"unable to find group {group}: no matching entries in group file")


def _table(path: str, layers: Sequence[str]) -> list[list[str]]:
    """Rows of a colon-separated file; [] when no layer has it."""
    for layer in reversed(layers):
        root = os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fd = syscalls.open_in_root(root, path, os.O_RDONLY)
        except OSError:
            continue
        finally:
            os.close(root)
        with open(fd, encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n").split(":") for line in file]
    return []
