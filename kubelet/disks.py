"""Which disk a file lies on: the device whose queue the kernel can throttle.

Room kubelet; called by cgroup_values.py for the directories that a container writes to.
"""

from __future__ import annotations

import os

MAX_LAYERS = 8  # of file systems upon each other


def disk_below(
    path: str, *, sys: str = "/sys", mountinfo: str = "/proc/self/mountinfo"
) -> tuple[int, int] | None:
    """(major, minor) of the whole disk below `path`; None where there is none: tmpfs, NFS.

    A partition's requests go through its disk's queue, so it is the disk that can be throttled.
    Device mapper, RAID and loop devices have queues of their own and are what is found. btrfs and
    overlay have numbers that belong to no device: there the mount says what lies below.
    """
    for _ in range(MAX_LAYERS):
        device = os.stat(path).st_dev
        number = f"{os.major(device)}:{os.minor(device)}"
        if os.path.exists(f"{sys}/dev/block/{number}"):
            return _whole_disk(number, sys)
        below = _below(number, mountinfo)
        if below is None:
            return None
        if below.startswith("/dev/"):
            node = os.stat(below).st_rdev
            return _whole_disk(f"{os.major(node)}:{os.minor(node)}", sys)
        path = below
    return None


def _whole_disk(number: str, sys: str) -> tuple[int, int]:
    directory = os.path.realpath(f"{sys}/dev/block/{number}")
    if os.path.exists(f"{directory}/partition"):
        with open(f"{os.path.dirname(directory)}/dev", encoding="ascii") as file:
            number = file.read().strip()
    major, _, minor = number.partition(":")
    return int(major), int(minor)


def _below(number: str, mountinfo: str) -> str | None:
    """What a file system without a device of its own is on: a device node, or a directory."""
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            before, _, after = line.rstrip("\n").partition(" - ")
            kind, source, options = after.split(" ", 2)
            if before.split(" ")[2] != number:
                continue
            if kind == "overlay":
                pairs = (option.partition("=") for option in options.split(","))
                return next((value for name, _, value in pairs if name == "upperdir"), None)
            return source if source.startswith("/dev/") else None
    return None


def heeds_weights(
    disk: tuple[int, int], *, sys: str = "/sys", costs: str = "/sys/fs/cgroup/io.cost.qos"
) -> bool:
    """Whether an I/O weight changes anything there: its scheduler is BFQ, or v2 has iocost on."""
    number = f"{disk[0]}:{disk[1]}"
    if "[bfq]" in _text(f"{sys}/dev/block/{number}/queue/scheduler"):
        return True
    lines = (line.split() for line in _text(costs).splitlines())
    return any(words[0] == number and "enable=1" in words for words in lines if words)


def _text(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""
