"""An image's files as a directory of the node: its layers, stacked and mounted read-only.

Room kubelet; for image volumes and for what containers get of their image's own volumes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from kubelet.runtime import syscalls

_FLAGS = syscalls.MS_RDONLY | syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC


def mount_layers(layers: Sequence[str], target: str) -> None:
    """Mount layers (lowest first) at an empty directory: nothing in it can be written or run.
    Raises OSError. Undone by umount."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
    # Without an upper layer overlayfs wants two lower ones: the empty directory is the lowest
    fds = [os.open(path, flags) for path in (*reversed(layers), target)]
    try:
        lower = ":".join(f"/proc/self/fd/{fd}" for fd in fds)
        if layers:
            syscalls.mount("overlay", target, "overlay", _FLAGS, f"lowerdir={lower}")
        else:
            syscalls.mount("tmpfs", target, "tmpfs", _FLAGS, "mode=755")
    finally:
        for fd in fds:
            os.close(fd)
