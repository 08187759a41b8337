"""Which ids of the node a Pod's user namespace has: 65536 that no other Pod of this node has.

Room kubelet; called by pod_sync.py. A Pod's range is a file in its directory, made before anything
uses the range and removed with the directory, after everything that did: so it is the same after a
crash, and free once the Pod is gone. Source: kubelet `pkg/kubelet/userns`.
"""

from __future__ import annotations

import threading
import zlib
from pathlib import Path

from kubelet.runtime.protocol import IdMapping

LENGTH = 65_536
_FILE = "userns"
_PER_NODE = 1024  # Pods with a user namespace that a node can have at a time
_WINDOWS = 24
_FIRST_SLOT = 0x1000  # ids below belong to users of the host, to their subuids and to services


class NoUserRange(Exception):
    """All ranges of this node are taken: FailedCreatePodSandBox, and a retry may help."""


class UserRanges:
    """`pods` is the directory of Pods' directories. Nodes of one cluster have different windows of
    the machine's ids; other clusters of the machine nearly always do."""

    def __init__(self, pods: Path, cluster_id: str, node_index: int) -> None:
        self._pods = pods
        self._lock = threading.Lock()
        window = (zlib.crc32(cluster_id.encode()) + node_index) % _WINDOWS
        first = _FIRST_SLOT + window * _PER_NODE
        self._slots = range(first, first + _PER_NODE)

    def take(self, uid: str) -> IdMapping:
        """The same one as long as the Pod's directory is there. Raises NoUserRange."""
        with self._lock:
            own = self._pods / uid / _FILE
            if (slot := _read(own)) is None:
                taken = {_read(path) for path in self._pods.glob(f"*/{_FILE}")}
                slot = next((slot for slot in self._slots if slot not in taken), None)
                if slot is None:
                    raise NoUserRange(f"all {_PER_NODE} user namespace ranges are in use")
                _write(own, slot)
            return IdMapping(slot * LENGTH, LENGTH)


def _read(path: Path) -> int | None:
    """None for a file that is not there, or that a loss of power has emptied."""
    try:
        return int(path.read_text())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _write(path: Path, slot: int) -> None:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(f"{slot}\n")
    unfinished.rename(path)
