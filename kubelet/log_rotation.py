"""Keeps container logs within bounds: clock work of the kubelet (agent.py).

A log over MAX_BYTES is renamed with the time, and its shim opens a new one; of the renamed ones the
newest MAX_FILES - 1 stay. Readers find them by their names (log_reader.py).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Runtime

log = logging.getLogger("log-rotation")

MAX_BYTES = 10 * 1024 * 1024
MAX_FILES = 5
EVERY_S = 10


def rotate_logs(runtime: Runtime, max_bytes: int = MAX_BYTES) -> int:
    """The number of logs rotated."""
    rotated = 0
    for status in runtime.list_containers():
        path = Path(status.log_path)
        try:
            if status.state == "running" and path.stat().st_size >= max_bytes:
                path.rename(f"{path}.{datetime.now(UTC):%Y%m%d-%H%M%S.%f}")
                runtime.reopen_log(status.id)
                _remove_oldest(path)
                rotated += 1
        except (OSError, RuntimeFailure) as failure:
            log.warning("%s: not rotated: %s", path, failure)
    return rotated


def _remove_oldest(path: Path) -> None:
    for old in sorted(path.parent.glob(f"{path.name}.*"), reverse=True)[MAX_FILES - 1 :]:
        old.unlink(missing_ok=True)
