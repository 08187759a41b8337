"""Keeps container logs within bounds: clock work of the kubelet (agent.py).

A log over `max_bytes` is renamed with the time, and its shim opens a new one; of the renamed ones
the newest `max_files` - 1 stay, compressed but for the very newest. Readers find them by their
names (log_reader.py).
"""

from __future__ import annotations

import gzip
import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path

from kubelet.log_reader import BLOCK
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
                _keep_newest(path, max_files)
                rotated += 1
        except (OSError, RuntimeFailure) as failure:
            log.warning("%s: not rotated: %s", path, failure)
    return rotated


def _keep_newest(path: Path, max_files: int) -> None:
    """Of the rotated ones; all but the very newest are compressed: nobody writes to them."""
    for unfinished in path.parent.glob(f"{path.name}.*.tmp"):
        unfinished.unlink()
    rotated = sorted(path.parent.glob(f"{path.name}.*"), reverse=True)
    for old in rotated[max_files - 1 :]:
        old.unlink(missing_ok=True)
    for old in rotated[1 : max_files - 1]:
        if old.suffix != ".gz":
            _compress(old)


def _compress(path: Path) -> None:
    unfinished = path.with_name(f"{path.name}.tmp")
    with open(path, "rb") as plain, gzip.open(unfinished, "wb", compresslevel=6) as packed:
        shutil.copyfileobj(plain, packed, BLOCK)
    unfinished.rename(path.with_name(f"{path.name}.gz"))
    path.unlink()
