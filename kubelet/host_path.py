"""hostPath volumes: a path of the node, checked against the type that the Pod expects.

Room kubelet; called by volumes.py. Source: Kubernetes `pkg/volume/hostpath/host_path.go`.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any

Object = dict[str, Any]

_KINDS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class WrongHostPath(Exception):
    """The path is not what the volume says it is."""


def check_host_path(source: Object) -> str:
    """The path, made if its type says so; raises WrongHostPath or OSError."""
    path, kind = str(source["path"]), source.get("type") or ""
    if kind in ("", "DirectoryOrCreate") and not os.path.exists(path):
        os.makedirs(path, mode=0o755, exist_ok=True)
    elif kind == "FileOrCreate" and not os.path.exists(path):
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    if kind:
        is_kind, words = _KINDS[kind.removesuffix("OrCreate")]
        try:
            mode = os.stat(path).st_mode
        except FileNotFoundError:
            mode = 0
        if not is_kind(mode):
            raise WrongHostPath(f"hostPath type check failed: {path} is not {words}")
    return path
