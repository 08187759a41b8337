"""The launcher says once what every shim will say, so that the shims share more of its memory.

Runs in the launcher before its first fork. Since Python 3.11 a function rewrites its own bytecode
when it is run often (PEP 659); in a shim that is a write into memory shared with all others, and so
a copy. What has been rewritten before the fork stays shared: 0.1 MiB less for each Pod.
"""

from __future__ import annotations

import socket

from kubelet.runtime import capabilities
from kubelet.runtime.messages import (
    Receiver,
    container_config,
    container_status,
    encode,
    sandbox_config,
    sandbox_status,
    to_dict,
)
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    Mount,
    SandboxConfig,
    SandboxStatus,
)

TIMES = 12  # the interpreter rewrites a function when it has run eight times

_SPOKEN = (
    (SandboxConfig("id", "web", "kubepods"), sandbox_config),
    (
        ContainerConfig(
            "main", 0, ["true"], {"PATH": "/bin"}, "/", "/log",
            mounts=[Mount("/source", "/target")] * 4, capabilities=list(capabilities.NAMES[:14]),
        ),
        container_config,
    ),
    (SandboxStatus("id", "ready", 1, "/proc/1/ns/net", 1.0, {}), sandbox_status),
    (
        ContainerStatus(
            id="id", sandbox_id="id", name="main", attempt=0, state="created", pid=0,
            created_at=1.0, started_at=0.0, finished_at=0.0, exit_code=0, reason="", message="",
            log_path="/log", labels={},
        ),
        container_status,
    ),
)  # fmt: skip


def rehearse() -> None:
    """Send, receive and read each kind of message a few times, to oneself; takes milliseconds."""
    here, there = socket.socketpair()
    with here, there:
        receiver = Receiver()
        for _ in range(TIMES):
            for value, read in _SPOKEN:
                here.send(encode({"id": 1, "result": to_dict(value)}))
                for message in receiver.receive(there) or ():
                    read(message["result"])
