"""The fields that are files in a container: what resolves names, and device nodes.

Room kubelet/inspect; reads only. The files are looked up as the container sees them, from its own
root, and no link in it leads out (`man 2 openat2`).
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import Any

from kubelet.inspect.enforced import path_of
from kubelet.inspect.processes import Process
from kubelet.inspect.rows import row
from kubelet.runtime import syscalls
from podium.api.resource_annotations import DEVICES, device_requests

Object = dict[str, Any]

_MAX_BYTES = 4096
_SHOWN = 200  # characters


def rows(pod: Object, spec: Object, first: Process) -> Iterator[Object]:
    root = first.open("root", os.O_PATH | os.O_DIRECTORY)
    try:
        yield from _names(pod["spec"], first.pid, root)
        yield from _devices(pod, spec, first.pid, root)
    finally:
        os.close(root)


def _names(spec: Object, pid: int, root: int) -> Iterator[Object]:
    place = f"/proc/{pid}/root/etc"
    with contextlib.suppress(OSError):
        live = _shown(_lines(root, "/etc/resolv.conf"))
        asked = spec.get("dnsConfig") or spec.get("dnsPolicy")
        field = "spec.dnsConfig" if spec.get("dnsConfig") else "spec.dnsPolicy"
        yield row(field, asked, f"{place}/resolv.conf", "move_mount(2)", live)
    if aliases := spec.get("hostAliases"):
        with contextlib.suppress(OSError):
            addresses = {one["ip"] for one in aliases}
            lines = _lines(root, "/etc/hosts")
            live = _shown([line for line in lines if line.partition(" ")[0] in addresses])
            asked = [f"{one['ip']}: {' '.join(one['hostnames'])}" for one in aliases]
            yield row("spec.hostAliases", asked, f"{place}/hosts", "move_mount(2)", live)


def _devices(pod: Object, spec: Object, pid: int, root: int) -> Iterator[Object]:
    base = path_of(pod, spec["name"])
    wanted = [
        (f"{base}.volumeDevices[{one['name']}].devicePath", one["devicePath"], one["devicePath"])
        for one in spec.get("volumeDevices") or ()
    ]
    key = f"{DEVICES}/{spec['name']}"
    asked = (pod["metadata"].get("annotations") or {}).get(key)
    for one in device_requests(asked) if asked else ():
        wanted.append((f"metadata.annotations[{key}]", one.path, asked))
    for field, path, said in wanted:
        with contextlib.suppress(OSError):
            fd = syscalls.open_in_root(root, path, os.O_PATH | os.O_NOFOLLOW)
            try:
                found = os.fstat(fd)
            finally:
                os.close(fd)
            kind = "block" if stat.S_ISBLK(found.st_mode) else "character"
            numbers = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
            yield row(field, said, f"/proc/{pid}/root{path}", "mknod(2)", f"{kind} {numbers}")


def _lines(root: int, path: str) -> list[str]:
    """Without the blanks that are too much; OSError for what is no file."""
    fd = syscalls.open_in_root(root, path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise FileNotFoundError(path)
        lines = os.read(fd, _MAX_BYTES).decode(errors="replace").splitlines()
    finally:
        os.close(fd)
    return [" ".join(line.split()) for line in lines if line.strip()]


def _shown(lines: list[str]) -> str:
    text = "; ".join(lines)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
