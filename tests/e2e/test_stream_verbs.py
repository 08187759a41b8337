"""attach, cp, port-forward and top with the `podium` command."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.cluster import PODIUM
from tests.support.namespaced import Namespaced, a_script, a_sleeper

COUNT = (
    "import socket; s = socket.create_server(('127.0.0.1', 9000)); print('up', flush=True)\n"
    "while True:\n c, _ = s.accept(); n = 0\n while d := c.recv(65536): n += len(d)\n"
    " c.sendall(str(n).encode()); c.close()"
)


@contextmanager
def started(ns: Namespaced, *args: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [*PODIUM, "-n", ns.name, *args], env=ns.cluster.environment(), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def podium(ns: Namespaced, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return ns.cluster.podium("-n", ns.name, *args, check=check)


def test_attach_speaks_to_the_container(ns: Namespaced) -> None:
    ns.apply(a_sleeper(command=["cat"], stdin=True, stdinOnce=True))
    ns.wait("pod/web", "condition=Ready")
    with started(ns, "attach", "-i", "web") as process:
        out, _ = process.communicate(b"hello\n", timeout=60)
    assert (process.returncode, out) == (0, b"hello\n")
    ns.wait("pod/web", "jsonpath={.status.containerStatuses[0].restartCount}=1")


def test_directories_are_copied_both_ways(ns: Namespaced, tmp_path: Path) -> None:
    ns.apply(a_sleeper())
    ns.wait("pod/web", "condition=Ready")
    (tmp_path / "site" / "deep").mkdir(parents=True)
    sent = os.urandom(3_000_000)
    (tmp_path / "site" / "deep" / "file").write_bytes(sent)
    podium(ns, "cp", f"{tmp_path}/site", "web:/tmp")
    assert ns.sh("web", "wc -c < /tmp/site/deep/file") == "3000000"
    podium(ns, "cp", "web:/tmp/site", f"{tmp_path}/back")
    assert (tmp_path / "back" / "deep" / "file").read_bytes() == sent
    missing = podium(ns, "cp", "web:/tmp/none", str(tmp_path), check=False)
    assert missing.returncode == 1
    assert "No such file" in missing.stderr


def test_ports_are_forwarded_and_half_of_a_connection_may_end(ns: Namespaced) -> None:
    ns.apply(a_sleeper(command=["python3", "-c", COUNT]))
    ns.cluster.until(lambda: ns.kubectl("logs", "web", check=False).stdout == "up\n")
    with started(ns, "port-forward", "web", ":9000", ":9") as process:
        assert process.stdout
        assert process.stderr
        lines = [process.stdout.readline().decode() for _ in range(2)]
        ports = [int(re.findall(r"127\.0\.0\.1:(\d+) ->", line)[0]) for line in lines]
        for _ in range(2):
            with socket.create_connection(("127.0.0.1", ports[0]), timeout=60) as sock:
                sock.sendall(b"x" * 3_000_000)
                sock.shutdown(socket.SHUT_WR)
                assert sock.recv(100) == b"3000000"
        with socket.create_connection(("127.0.0.1", ports[1]), timeout=60) as sock:
            assert sock.recv(100) == b""
        assert b"connection refused" in process.stderr.readline()


def test_top_shows_pods_containers_and_nodes(ns: Namespaced) -> None:
    ns.apply(a_script("busy", "while :; do :; done", resources={"limits": {"cpu": "100m"}}))
    ns.wait("pod/busy", "condition=Ready")
    ns.cluster.until(lambda: podium(ns, "top", "pods").stdout)
    head, row = podium(ns, "top", "pods", "--containers").stdout.splitlines()
    assert head.split() == ["POD", "NAME", "CPU(cores)", "MEMORY(bytes)"]
    assert re.fullmatch(r"busy +main +\d+m +\d+Mi", row)
    node = podium(ns, "top", "nodes", "--no-headers").stdout.split()
    assert (node[0], len(node)) == (ns.cluster.nodes[0], 5)
    gone = podium(ns, "top", "pod", "gone", check=False)
    assert f'podmetrics.metrics.k8s.io "{ns.name}/gone" not found' in gone.stderr
