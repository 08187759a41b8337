"""What only those inside can read: /proc/sys shows each process its own namespaces' values.

Room kubelet/inspect; reads only. A thread that goes into the namespaces of a process, reads, and
ends there: namespaces belong to a thread, and nothing has to find its way back. (`man 2 setns`)
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Thread

from kubelet.inspect.processes import Process
from kubelet.runtime import syscalls

_KINDS = ("ipc", "net", "uts")
_MAX_BYTES = 4096


@dataclass
class Inside:
    """`sysctls` by file; what the kernel does not have is missing."""

    hostname: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)


def read(process: Process, sysctl_files: Iterable[str]) -> Inside:
    """Raises ProcessLookupError."""
    found = Inside()
    with contextlib.ExitStack() as opened:
        namespaces = []
        for kind in _KINDS:
            namespaces.append(process.open(f"ns/{kind}"))
            opened.callback(os.close, namespaces[-1])
        reader = Thread(target=_read, args=(namespaces, list(sysctl_files), found))
        reader.start()
        reader.join()
    return found


def _read(namespaces: list[int], files: list[str], found: Inside) -> None:
    with contextlib.suppress(OSError):
        for fd in namespaces:
            syscalls.setns(fd)
        found.hostname = os.uname().nodename
        for path in files:
            with contextlib.suppress(OSError), open(path, "rb") as file:
                found.sysctls[path] = file.read(_MAX_BYTES).decode(errors="replace").strip()
