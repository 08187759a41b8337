"""Where the engine keeps its things below its root, and how a record is written.

    launcher.sock                        ask here for a shim
    host-image/<fingerprint>/            the skeleton of the image `host`
    shm/<sandbox>/                       /dev/shm of a sandbox; shm/ is one tmpfs
    sandboxes/<sandbox>/shim.sock        the shim answers here
    sandboxes/<sandbox>/sandbox.json     who it is
    sandboxes/<sandbox>/operations.json  how it was made, and so below each container
    sandboxes/<sandbox>/shim.log         only if the shim had something to complain about
    sandboxes/<sandbox>/containers/<container>/state.json, upper/, work/, rootfs/

Used by launcher, shim and the kubelet's client. Records are replaced atomically but not synced:
they describe processes, which do not outlive a loss of power either.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

OPERATIONS = "operations.json"  # what was done to make it, a line of JSON or two
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")


class Layout:
    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(root)
        self.sandboxes = f"{self.root}/sandboxes"
        self.shm = f"{self.root}/shm"
        self.host_image = f"{self.root}/host-image"

    def sandbox(self, sandbox_id: str) -> str:
        """Its directory. ValueError for an id that is not a plain file name."""
        if not _SAFE_NAME.match(sandbox_id):
            raise ValueError(f"sandbox id {sandbox_id!r} is not a plain name")
        return f"{self.sandboxes}/{sandbox_id}"

    def sandbox_record(self, sandbox_id: str) -> str:
        return f"{self.sandbox(sandbox_id)}/sandbox.json"

    def container(self, sandbox_id: str, container_id: str) -> str:
        return f"{self.sandbox(sandbox_id)}/containers/{container_id}"

    def container_record(self, sandbox_id: str, container_id: str) -> str:
        return f"{self.container(sandbox_id, container_id)}/state.json"


def write_record(path: str, record: dict[str, Any]) -> None:
    unfinished = f"{path}.new"
    fd = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(record).encode())
    finally:
        os.close(fd)
    os.rename(unfinished, path)


def write_lines(path: str, *lines: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, b"\n".join(lines))
    finally:
        os.close(fd)


def read_record(path: str) -> dict[str, Any] | None:
    """None if there is none, or if a loss of power has left rubbish."""
    try:
        with open(path, "rb") as file:
            record = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return record if isinstance(record, dict) else None


@contextmanager
def short_path(directory: str, name: str) -> Iterator[str]:
    """A path of a socket that fits into the 107 bytes of `man 7 unix`, however deep it lies."""
    fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def connect(directory: str, name: str) -> socket.socket:
    """A stream to whoever listens there; ConnectionRefusedError or FileNotFoundError if nobody."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with short_path(directory, name) as path:
            channel.connect(path)
    except OSError:
        channel.close()
        raise
    return channel
