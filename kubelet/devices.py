"""The device nodes of the machine that a container is given by annotation.

Room kubelet; called by container_config.py. As with CRI-O, a node hands out only what is harmless:
a device is power over the machine, and an annotation needs no privileges.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from kubelet.environment import ConfigMissing
from kubelet.runtime.protocol import Device
from podium.api.resource_annotations import DEVICES, device_requests

Object = dict[str, Any]

HANDED_OUT = ("/dev/fuse", "/dev/net/tun")


def devices_of(pod: Object, container: Object) -> list[Device]:
    """Raises ConfigMissing for what this node does not hand out, or has not got."""
    annotations = pod["metadata"].get("annotations") or {}
    value = annotations.get(f"{DEVICES}/{container['name']}")
    return [] if value is None else [_device(r.path, r.permissions) for r in device_requests(value)]


def _device(path: str, permissions: str) -> Device:
    if path not in HANDED_OUT:
        names = ", ".join(HANDED_OUT)
        raise ConfigMissing(f"device {path} is not handed out by this node, only {names}")
    try:
        found = os.stat(path)
    except FileNotFoundError:
        raise ConfigMissing(f"device {path}: this node has none") from None
    return Device(
        path, "b" if stat.S_ISBLK(found.st_mode) else "c", os.major(found.st_rdev),
        os.minor(found.st_rdev), permissions, stat.S_IMODE(found.st_mode),
    )  # fmt: skip
