"""The engine under test: a launcher, a client, and short names for what the tests do with them."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from kubelet.runtime import leftovers
from kubelet.runtime.client import PodiumRuntime
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    Runtime,
    RuntimeEvent,
    SandboxConfig,
)
from tests.support.waiting import PATIENCE

# What Kubernetes gives a container that asks for nothing special.
DEFAULT_CAPABILITIES = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID",
    "CAP_SYS_CHROOT", "CAP_AUDIT_WRITE",
]  # fmt: skip
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
WAIT_S = 20 * PATIENCE


def until(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """The first true value of `condition`; fails the test after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
    return value


class Pods:
    """Sandboxes and containers on any Runtime; removes what it made when the test is over."""

    def __init__(self, runtime: Runtime, logs: Path) -> None:
        self.runtime, self.logs = runtime, logs
        self.events: list[RuntimeEvent] = []
        self._made: list[str] = []
        threading.Thread(target=self._follow, args=(runtime.events(),), daemon=True).start()

    def _follow(self, feed: Iterator[RuntimeEvent]) -> None:
        for event in feed:
            self.events.append(event)

    def sandbox(self, name: str = "web", **config: Any) -> str:
        uid = f"{name}-{os.urandom(4).hex()}"
        words = {"hostname": name, "cgroup_parent": f"kubepods/pod{uid}"} | config
        self._made.append(uid)
        return self.runtime.run_pod_sandbox(SandboxConfig(id=uid, **words)).id

    def config(self, *argv: str, **config: Any) -> ContainerConfig:
        words: dict[str, Any] = {
            "name": "main", "attempt": 0, "argv": list(argv), "env": {"PATH": PATH}, "cwd": "/",
            "log_path": str(self.logs / f"{os.urandom(4).hex()}.log"),
            "capabilities": DEFAULT_CAPABILITIES,
        }  # fmt: skip
        return ContainerConfig(**(words | config))

    def create(self, *argv: str, sandbox: str = "", **config: Any) -> str:
        sandbox = sandbox or self.sandbox()
        return self.runtime.create_container(sandbox, self.config(*argv, **config))

    def start(self, *argv: str, sandbox: str = "", **config: Any) -> ContainerStatus:
        return self.runtime.start_container(self.create(*argv, sandbox=sandbox, **config))

    def sleeper(self, **config: Any) -> ContainerStatus:
        return self.start("sleep", "1000", **config)

    def script(self, text: str, **config: Any) -> ContainerStatus:
        return self.start("sh", "-c", text, **config)

    def ended(self, status: ContainerStatus, timeout_s: float = WAIT_S) -> ContainerStatus:
        def look() -> ContainerStatus | None:
            now = self.runtime.container_status(status.id)
            return now if now.state == "exited" else None

        found = until(look, timeout_s)
        assert isinstance(found, ContainerStatus)
        return found

    def output_of(self, text: str, **config: Any) -> str:
        """What a script prints, stdout and stderr together, once it has ended."""
        return log_text(self.ended(self.script(text, **config)))

    def run(self, container: ContainerStatus, *argv: str, stdin: bytes = b"") -> tuple[int, str]:
        """Exit code and output of an exec."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as got:
            given.write(stdin)
            given.seek(0)
            session = self.runtime.exec(
                container.id, list(argv), stdin_fd=given.fileno(), stdout_fd=got.fileno(),
                stderr_fd=got.fileno(),
            )  # fmt: skip
            code = session.wait(WAIT_S)
            got.seek(0)
            return code, got.read().decode()

    def sh(self, container: ContainerStatus, text: str) -> str:
        return self.run(container, "sh", "-c", text)[1].strip()

    def has_event(self, kind: str, thing: str) -> bool:
        return any(e.kind == kind and thing in (e.container_id, e.sandbox_id) for e in self.events)

    def close(self) -> None:
        for uid in self._made:
            self.runtime.remove_pod_sandbox(uid)


def log_text(status: ContainerStatus) -> str:
    """A log as the container wrote it."""
    records = Path(status.log_path).read_bytes().splitlines()
    pieces = [record.split(b" ", 3)[2:] for record in records]
    return b"".join(text + b"\n" * (tag == b"F") for tag, text in pieces).decode(errors="replace")


class Engine:
    """A launcher process and a client of it, below `root`."""

    def __init__(self, root: Path, cgroup_root: str) -> None:
        self.root, self.cgroup_root = str(root), cgroup_root
        self.launcher = self.start_launcher()
        self.runtime = PodiumRuntime(self.root, cgroup_root)

    def start_launcher(self) -> subprocess.Popen[bytes]:
        """Returns when it is ready: a client waits ten seconds for one, which an emulated machine
        may need longer."""
        command = [sys.executable, "-m", "kubelet.runtime", "--root", self.root]
        reader, writer = os.pipe()
        with open(reader, "rb") as ready:
            self.launcher = subprocess.Popen(
                [*command, "--cgroup-root", self.cgroup_root],
                pass_fds=(writer,), env=os.environ | {"PODIUM_READY_FD": str(writer)},
            )  # fmt: skip
            os.close(writer)
            assert select.select([ready], [], [], WAIT_S)[0], "the launcher is not ready in time"
            assert ready.read() == b"ready\n"
        return self.launcher

    def kill_launcher(self) -> None:
        self.launcher.kill()
        self.launcher.wait()

    def restart_client(self) -> PodiumRuntime:
        """As when the kubelet is killed and comes back."""
        self.runtime.close()
        self.runtime = PodiumRuntime(self.root, self.cgroup_root)
        return self.runtime

    def find_leftovers(self) -> list[str]:
        return leftovers.find_leftovers(self.root, self.cgroup_root)

    def close(self) -> None:
        self.runtime.close()
        leftovers.remove_everything(self.root, self.cgroup_root)
        self.kill_launcher()
        assert self.find_leftovers() == []
