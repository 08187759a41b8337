"""What only those inside can read: /proc/sys shows each process its own namespaces' values.

Room kubelet/inspect; reads only. The asking thread goes in, reads, and comes back
(namespace_visit.py): another one would cost two changes of who runs, which on a busy machine is
more than all the rest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kubelet.inspect.processes import Process
from kubelet.namespace_visit import visiting
from kubelet.runtime.cgroups.hierarchy import read as read_file


@dataclass
class Inside:
    """`sysctls` by file; what the kernel does not have is missing."""

    hostname: str = ""
    sysctls: dict[str, str] = field(default_factory=dict)


def read(process: Process, sysctl_files: Iterable[str]) -> Inside:
    """Raises ProcessLookupError."""
    found = Inside()
    with _entered(process, "uts"):
        found.hostname = os.uname().nodename
    for path in sysctl_files:
        kind = "net" if path.startswith("/proc/sys/net/") else "ipc"
        with contextlib.suppress(FileNotFoundError), _entered(process, kind):
            found.sysctls[path] = read_file(path).strip()
    return found


@contextlib.contextmanager
def _entered(process: Process, kind: str) -> Iterator[None]:
    there = process.open(f"ns/{kind}")
    try:
        with visiting(kind, there):
            yield
    finally:
        os.close(there)
