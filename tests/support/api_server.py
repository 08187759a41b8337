"""The real API server alone, as a process of its own, for tests of its clients.

    with running_api_server(tmp_path) as server:
        client = server.client()             # as system:masters
        client = server.client("controllers")

No kubelet and no controllers: a test plays those (`make_ready`). Needs no root.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from podium.cli import cluster_config, pki
from podium.client.config import load_kubeconfig
from podium.client.http import Client
from tests.support.waiting import PATIENCE

HOUSE = Path(__file__).resolve().parents[2]
START_S = 30.0 * PATIENCE


class ApiServerProcess:
    """`python -m apiserver` on a free port; `data_dir` holds its database and keys."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        config = cluster_config.single_node(
            "abc123",
            data_dir,
            host="127.0.0.1",
            port=_free_port(),
            pod_cidr="10.244.0.0/16",
            node_name="node-1",
        )
        pki.create_pki(data_dir, ["node-1"], config.host, config.port)
        cluster_config.write(data_dir, config)
        self.port = config.port
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    def start(self) -> None:
        """Start it and wait until it serves."""
        read_fd, write_fd = os.pipe()
        try:
            self.process = run_component("apiserver", self.data_dir, write_fd)
        finally:
            os.close(write_fd)
        await_ready(read_fd, self.process, self.data_dir / "apiserver.log")

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        for client in self._clients:
            client.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def compact(self, upto: int) -> None:
        """As if all up to that revision had grown too old."""
        with sqlite3.connect(self.data_dir / "podium.db") as database:
            database.execute("DELETE FROM change WHERE rv <= ?", (upto,))
            database.execute("UPDATE meta SET v = ? WHERE k = 'compact_rv'", (upto,))
        database.close()

    def kubeconfig(self, identity: str = "admin") -> Path:
        """ "admin", "controllers", "scheduler" or "node-node-1"."""
        name = f"{identity}.kubeconfig"
        return self.data_dir / name if identity == "admin" else self.data_dir / "pki" / name

    def client(self, identity: str = "admin", *, patience_s: float = 5.0) -> Client:
        """A client of this server, closed with it."""
        config = load_kubeconfig(self.kubeconfig(identity))
        client = Client(config, user_agent="test", connect_patience_s=patience_s)
        self._clients.append(client)
        return client


def run_component(module: str, data_dir: Path, ready_fd: int) -> subprocess.Popen[bytes]:
    """`python -m <module> --data-dir D`, logging to D/<module>.log."""
    with open(data_dir / f"{module}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, "--data-dir", str(data_dir)],
            env={**os.environ, "PYTHONPATH": str(HOUSE), "PODIUM_READY_FD": str(ready_fd)},
            pass_fds=(ready_fd,),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def await_ready(read_fd: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the line that a component writes when it serves."""
    try:
        told = bool(select.select([read_fd], [], [], START_S)[0]) and os.read(read_fd, 16)
    finally:
        os.close(read_fd)
    if told != b"ready\n":
        process.kill()
        process.wait()
        raise AssertionError(f"it did not become ready:\n{log.read_text()[-4000:]}")


@contextmanager
def running_api_server(data_dir: Path) -> Iterator[ApiServerProcess]:
    """Started, and stopped at the end."""
    server = ApiServerProcess(data_dir)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
