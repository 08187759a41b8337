"""What is mounted below a directory of ours, and taking it off again. Room kubelet."""

from __future__ import annotations

import os

from kubelet.runtime import syscalls


def unmount_below(directory: str) -> None:
    """Every mount in a directory of ours, the deepest first (`man 5 proc_pid_mountinfo`)."""
    inside = os.path.realpath(directory) + "/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        points = [_unescaped(line.split(" ")[4]) for line in file]
    for point in sorted((p for p in points if p.startswith(inside)), key=len, reverse=True):
        syscalls.umount(point, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)


def _unescaped(path: str) -> str:
    """mountinfo writes space, tab, newline and backslash as octal."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
