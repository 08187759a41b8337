"""What a process sees as its file system, from its own mountinfo. Room kubelet/inspect; pure.

(`man 5 proc_pid_mountinfo`; the fields of a row are named as there)
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kubelet.inspect.enforced import path_of
from kubelet.inspect.rows import row

Object = dict[str, Any]

_ESCAPE = re.compile(r"\\(\d{3})")
_PROPAGATION = ("shared", "master", "unbindable")


def read(text: str) -> list[Object]:
    """Every mount, in the order in which they were made."""
    return [_mount(line) for line in text.splitlines() if " - " in line]


def _mount(line: str) -> Object:
    before, _, after = line.partition(" - ")
    _id, _parent, device, root, target, options, *tags = before.split(" ")
    kind, source, super_options = after.split(" ", 2)
    propagation = [tag for tag in tags if tag.partition(":")[0] in _PROPAGATION]
    return {
        "target": _plain(target), "type": kind, "source": _plain(source), "root": _plain(root),
        "device": device, "options": options.split(","), "superOptions": super_options,
        "propagation": " ".join(propagation) or "private",
    }  # fmt: skip


def _plain(word: str) -> str:
    """ "\\040" is a blank."""
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), word) if "\\" in word else word


def layers(mounts: Sequence[Object], told: Sequence[str], upper: str) -> Object | None:
    """The overlay that is the root, lowest layer first; None for another kind of root. `told` and
    `upper` are what the engine knows: an overlay that was mounted by descriptors shows no paths."""
    root = next((one for one in mounts if one["target"] == "/"), None)
    if root is None or root["type"] != "overlay":
        return None
    options = dict(word.partition("=")[::2] for word in root["superOptions"].split(","))
    shown = options.get("lowerdir", "").split(":")[::-1]
    lower = shown if all(not path.startswith("/proc/") for path in shown) else list(told)
    above = options.get("upperdir", "")
    return {
        "lower": [{"digest": _digest(path), "directory": path} for path in lower],
        "upper": upper if above.startswith("/proc/") or not above else above,
        "isReadOnly": "ro" in root["options"],
        "isVolatile": "volatile" in options,
    }


def _digest(path: str) -> str:
    """A layer's directory is called by what it holds; "" for one that is not."""
    name = os.path.basename(path).removeprefix("sha256:")
    return f"sha256:{name}" if re.fullmatch("[0-9a-f]{64}", name) else ""


def rows(pod: Object, spec: Object, pid: int, mounts: Sequence[Object]) -> Iterator[Object]:
    """The fields that are mounts, beside the mounts that they became."""
    base = path_of(pod, spec["name"])
    # What was mounted last at a place is what is seen there.
    at: Callable[[str], Object | None] = {one["target"]: one for one in mounts}.get
    if root := at("/"):
        asked = (spec.get("securityContext") or {}).get("readOnlyRootFilesystem")
        field = f"{base}.securityContext.readOnlyRootFilesystem"
        yield _row(field, _yes(asked), pid, "mount_setattr(2)", root)
        yield _row(f"{base}.image", spec.get("image", ""), pid, "mount(2)", root)
    for one in spec.get("volumeMounts") or ():
        if found := at(one["mountPath"].rstrip("/") or "/") or at(f"/run{one['mountPath'][8:]}"):
            asked = one["mountPath"] + (" readOnly" if one.get("readOnly") else "")
            field = f"{base}.volumeMounts[{one['name']}].mountPath"
            yield _row(field, asked, pid, "move_mount(2)", found)
            yield from _size(pod, one["name"], pid, found)
    if found := at(path := spec.get("terminationMessagePath") or "/dev/termination-log"):
        yield _row(f"{base}.terminationMessagePath", path, pid, "move_mount(2)", found)
    if masked := [one["target"] for one in mounts if _hides(one)]:
        asked = (spec.get("securityContext") or {}).get("procMount")
        live = f"{len(masked)} places below /proc and /sys hidden or read-only"
        field = f"{base}.securityContext.procMount"
        yield row(field, asked, f"/proc/{pid}/mountinfo", "mount(2)", live)


def _size(pod: Object, volume: str, pid: int, mount: Object) -> Iterator[Object]:
    """An emptyDir in memory has its limit as an option."""
    spec = next((one for one in pod["spec"].get("volumes") or () if one["name"] == volume), {})
    medium = (spec.get("emptyDir") or {}).get("medium")
    if medium:
        options = mount["superOptions"].split(",")
        live = " ".join(one for one in options if one.startswith(("size=", "pagesize=")))
        asked, field = spec["emptyDir"], f"spec.volumes[{volume}].emptyDir"
        yield row(field, asked, f"/proc/{pid}/mountinfo", "mount(2)", f"{mount['type']} {live}")


def _hides(mount: Object) -> bool:
    return mount["target"].startswith(("/proc/", "/sys/firmware", "/sys/devices/"))


def _row(field: str, asked: str, pid: int, call: str, mount: Object) -> Object:
    words = ",".join(mount["options"])
    live = f"{mount['type']} {words}, {mount['propagation']}"
    return row(field, asked, f"/proc/{pid}/mountinfo", call, live)


def _yes(asked: bool | None) -> str:
    return "" if asked is None else str(bool(asked)).lower()
