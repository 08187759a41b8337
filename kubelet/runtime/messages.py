"""How the kubelet's client, the launcher and the shims talk: JSON lines over Unix sockets.

    → {"id": 7, "do": "start", "container": "3f…"}          a request; descriptors may travel along
    ← {"event": "container_started", "container": {…}}      pushed to everyone connected
    ← {"id": 7, "result": {…}}  or  {"id": 7, "error": "CommandNotFound", "message": "…"}

A shim pushes an event before the answer that follows from it: who has the answer has seen it.
"""

from __future__ import annotations

import json
import os
import socket
from dataclasses import asdict
from typing import Any

from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    Device,
    IdMapping,
    IoLimit,
    Mount,
    Resources,
    SandboxConfig,
    SandboxStatus,
)

Message = dict[str, Any]
RECEIVE_BYTES = 65_536
FDS_MAX = 8  # in one message; an exec needs three


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Receiver:
    """Puts the bytes and descriptors of one stream together into messages."""

    def __init__(self) -> None:
        self._buffer = b""
        self.fds: list[int] = []

    def receive(self, channel: socket.socket) -> list[Message] | None:
        """The messages that one `recvmsg` completes; None at the end of the stream."""
        data, fds, _flags, _address = socket.recv_fds(channel, RECEIVE_BYTES, FDS_MAX)
        for fd in fds:
            os.set_inheritable(fd, False)
        self.fds += fds
        if not data:
            return None
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def take_fds(self, count: int) -> list[int]:
        """The descriptors that belong to the message being handled."""
        taken, self.fds = self.fds[:count], self.fds[count:]
        return taken

    def close(self) -> None:
        """Close what nobody took."""
        for fd in self.take_fds(len(self.fds)):
            os.close(fd)


def to_dict(value: SandboxConfig | ContainerConfig | SandboxStatus | ContainerStatus) -> Message:
    return asdict(value)


def sandbox_config(fields: Message) -> SandboxConfig:
    ids = fields["user_namespace"]
    return SandboxConfig(
        **{
            **fields,
            "resources": _resources(fields["resources"]),
            "user_namespace": IdMapping(**ids) if ids else None,
        }
    )


def _resources(fields: Message) -> Resources:
    typed = {
        "io": tuple(IoLimit(**limit) for limit in fields["io"]),
        "hugepages": tuple((size, amount) for size, amount in fields["hugepages"]),
    }
    return Resources(**{**fields, **typed})


def container_config(fields: Message) -> ContainerConfig:
    typed = {
        "mounts": [Mount(**mount) for mount in fields["mounts"]],
        "devices": [Device(**device) for device in fields["devices"]],
        "resources": _resources(fields["resources"]),
    }
    return ContainerConfig(**{**fields, **typed})


def sandbox_status(fields: Message) -> SandboxStatus:
    return SandboxStatus(**fields)


def container_status(fields: Message) -> ContainerStatus:
    return ContainerStatus(**fields)
