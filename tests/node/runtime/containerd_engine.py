"""containerd under test: Debian's program with a configuration and a cgroup root of its own."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kubelet.containerd import daemon
from kubelet.containerd.daemon import socket_path
from kubelet.containerd.runtime import ContainerdRuntime
from kubelet.runtime import leftovers


class ContainerdEngine:
    """A containerd process and a client of it, below `root`."""

    def __init__(self, root: Path, cgroup_root: str) -> None:
        self.root, self.cgroup_root = str(root), cgroup_root
        root.mkdir()
        self._log = (root.parent / "containerd.log").open("ab")
        self.daemon = self.start_daemon()
        self.runtime = ContainerdRuntime(self.root, cgroup_root)

    def start_daemon(self) -> subprocess.Popen[bytes]:
        command = daemon.command(self.root, f"{self.root}-images", self.cgroup_root)
        self.daemon = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        return self.daemon

    def kill_daemon(self) -> None:
        self.daemon.kill()
        self.daemon.wait()

    def close(self) -> None:
        for sandbox in self.runtime.list_pod_sandboxes():
            self.runtime.remove_pod_sandbox(sandbox.id)
        self.runtime.close()
        self.daemon.terminate()
        self.daemon.wait()
        self._log.close()
        daemon.erase(self.root, self.cgroup_root)
        assert leftovers.find_leftovers(self.root, self.cgroup_root) == []
        assert not os.path.exists(socket_path(self.cgroup_root))
