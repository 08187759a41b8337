"""What ended containers had to say: their termination message, or the end of their log.

Room kubelet; called by pod_sync.py. Source: Kubernetes docs "Determine the Reason for Pod Failure".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kubelet.log_reader import LogOptions, read_log
from kubelet.pod_files import termination_message
from kubelet.pod_plan import specs_by_name
from kubelet.runtime.protocol import ContainerStatus

Object = dict[str, Any]

MAX_LOG_LINES, MAX_LOG_BYTES = 80, 2048


def last_words(pod: Object, containers: Sequence[ContainerStatus], pod_dir: Path) -> dict[str, str]:
    """By container id, of those that said something."""
    specs, found = specs_by_name(pod), {}
    for status in containers:
        if status.state != "exited" or status.name not in specs:
            continue
        _, container = specs[status.name]
        message = termination_message(container, pod_dir, status.attempt)
        uses_log = container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not message and uses_log and status.exit_code != 0:
            message = _end_of_log(Path(status.log_path))
        if message:
            found[status.id] = message
    return found


def _end_of_log(path: Path) -> str:
    pieces = read_log(path, LogOptions(tail_lines=MAX_LOG_LINES))
    return b"".join(pieces)[-MAX_LOG_BYTES:].decode(errors="replace")
