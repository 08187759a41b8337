"""Keeps container logs within bounds: clock work of the kubelet (agent.py).

A log over `max_bytes` is renamed with the time, and its shim opens a new one; of the renamed ones
the newest `max_files` - 1 stay. Readers find them by their names (log_reader.py).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Runtime

log = logging.getLogger("log-rotation")


def rotate_logs(runtime: Runtime, max_bytes: int, max_files: int) -> int:
    """The number of logs rotated."""
    rotated = 0
    for status in runtime.list_containers():
        path = Path(status.log_path)
        try:
            if status.state == "running" and path.stat().st_size >= max_bytes:
                path.rename(f"{path}.{datetime.now(UTC):%Y%m%d-%H%M%S.%f}")
                runtime.reopen_log(status.id)
                _remove_oldest(path, max_files)
                rotated += 1
        except (OSError, RuntimeFailure) as failure:
            log.warning("%s: not rotated: %s", path, failure)
    return rotated


def _remove_oldest(path: Path, max_files: int) -> None:
    for old in sorted(path.parent.glob(f"{path.name}.*"), reverse=True)[max_files - 1 :]:
        old.unlink(missing_ok=True)
