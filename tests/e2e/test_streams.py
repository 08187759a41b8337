"""exec, attach, port-forward and cp with the real kubectl, over WebSocket and over SPDY."""

from __future__ import annotations

import hashlib
import os
import re
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster
from tests.support.namespaced import Namespaced, a_sleeper
from tests.support.terminal import Terminal

SPDY = {
    "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false",
    "KUBECTL_PORT_FORWARD_WEBSOCKETS": "false",
}
MEGABYTE = 1 << 20


@pytest.fixture(params=["websocket", "spdy"])
def client(request: pytest.FixtureRequest, ns: Namespaced) -> Client:
    return Client(ns, SPDY if request.param == "spdy" else {})


class Client:
    """kubectl with bytes in and out."""

    def __init__(self, ns: Namespaced, environment: dict[str, str] | None = None) -> None:
        self.ns = ns
        self.env = {**ns.cluster.environment(), **(environment or {})}

    def argv(self, *args: str) -> list[str]:
        return ["kubectl", "-n", self.ns.name, *args]

    def run(self, *args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self.argv(*args), input=stdin, env=self.env, capture_output=True, timeout=90,
            check=False,
        )  # fmt: skip

    @contextmanager
    def started(self, *args: str) -> Iterator[subprocess.Popen[bytes]]:
        with subprocess.Popen(
            self.argv(*args), env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def forward(self, *args: str) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
        """A port-forward from a free port to `args` ("pod/web", "80")."""
        what, port = args
        with self.started("port-forward", what, f":{port}", "--address=127.0.0.1") as process:
            assert process.stdout
            line = process.stdout.readline().decode()
            found = re.search(r"127\.0\.0\.1:(\d+) ->", line)
            assert found, line + (process.stderr.read().decode() if process.stderr else "")
            yield int(found[1]), process


def a_pod(ns: Namespaced, command: str = "sleep infinity", **container: Any) -> None:
    ns.apply(a_sleeper(command=["sh", "-c", command], **container))
    ns.wait("pod/web", "condition=Ready")


# ---- exec ----------------------------------------------------------------------------------------


def test_exec_keeps_streams_and_exit_code_apart(client: Client) -> None:
    a_pod(client.ns)
    done = client.run("exec", "web", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.returncode, done.stdout) == (3, b"out\n")
    assert done.stderr == b"err\ncommand terminated with exit code 3\n"


def test_a_large_stdin_ends_and_arrives_whole(client: Client) -> None:
    a_pod(client.ns)
    sent = os.urandom(16 * MEGABYTE)
    done = client.run("exec", "-i", "web", "--", "sh", "-c", "sleep 1; sha256sum", stdin=sent)
    assert done.stdout.split()[0].decode() == hashlib.sha256(sent).hexdigest(), done.stderr


def test_a_large_output_arrives_whole_however_slowly_it_is_read(client: Client) -> None:
    a_pod(client.ns)
    script = "dd if=/dev/zero bs=1M count=32 status=none | tr '\\0' x"
    with client.started("exec", "web", "--", "sh", "-c", script) as process:
        assert process.stdout
        assert process.stdout.read(1) == b"x"
        process.stdout.peek()  # type: ignore[attr-defined]
        rest = process.stdout.read()
    assert len(rest) == 32 * MEGABYTE - 1
    assert rest.strip(b"x") == b""


def test_many_execs_at_a_time(client: Client) -> None:
    a_pod(client.ns)
    answers: list[bytes] = []

    def one(number: int) -> None:
        answers.append(client.run("exec", "web", "--", "echo", f"no {number}").stdout)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [f"no {n}\n".encode() for n in range(8)]


def test_a_terminal_has_the_size_of_the_clients_and_follows_it(client: Client) -> None:
    a_pod(client.ns)
    with Terminal(client.argv("exec", "-it", "web", "--", "sh"), client.env) as screen:
        screen.type("until stty size | grep 80; do sleep 0.1; done\n")
        screen.until("24 80")
        screen.resize(132, 43)
        screen.type("until stty size | grep 132; do sleep 0.1; done\n")
        screen.until("43 132")
        screen.type("exit 7\n")
        screen.until("exit code 7")
        assert screen.process.wait(30) == 7


def test_exec_into_what_is_not_running_says_so(client: Client) -> None:
    a_pod(client.ns)
    done = client.run("exec", "web", "-c", "other", "--", "true")
    assert b"container other is not valid for pod web" in done.stderr
    done = client.run("exec", "web", "--", "no-such-program")
    assert b'exec: "no-such-program": executable file not found in $PATH' in done.stderr


def test_exec_reaches_an_init_container_while_it_runs(ns: Namespaced) -> None:
    pod = a_sleeper()
    first = {"name": "first", "image": "host", "command": ["sleep", "infinity"]}
    pod["spec"]["initContainers"] = [first]
    ns.apply(pod)
    running = "jsonpath={.status.initContainerStatuses[0].state.running.startedAt}"
    ns.cluster.until(lambda: ns.out("get", "pod", "web", "-o", running))
    assert ns.sh("web", "tr '\\0' ' ' < /proc/1/cmdline", "-c", "first") == "sleep infinity"
    waiting = ns.kubectl("exec", "web", "-c", "main", "--", "true", check=False)
    assert 'container not found ("main")' in waiting.stderr


# ---- attach --------------------------------------------------------------------------------------


def test_attach_carries_stdin_and_what_is_printed_from_then_on(client: Client) -> None:
    a_pod(client.ns, "cat", stdin=True)
    with client.started("attach", "-i", "web") as first:
        assert first.stdin
        assert first.stdout
        first.stdin.write(b"hello\n")
        first.stdin.flush()
        assert first.stdout.readline() == b"hello\n"
        with client.started("attach", "web") as second:
            assert second.stdout
            seen = threading.Event()

            def write() -> None:
                while not seen.wait(0.1):
                    first.stdin.write(b"again\n")  # type: ignore[union-attr]
                    first.stdin.flush()  # type: ignore[union-attr]

            writer = threading.Thread(target=write)
            writer.start()
            assert second.stdout.readline() == b"again\n"
            seen.set()
            writer.join()
    assert client.ns.get("pod", "web")["status"]["phase"] == "Running"


def test_run_takes_stdin_and_gives_the_exit_code(client: Client) -> None:
    done = client.run(
        "run", "once", "--image=host", "-i", "--rm", "--restart=Never", "--",
        "sh", "-c", "cat; echo end; exit 4", stdin=b"begin\n",
    )  # fmt: skip
    assert done.returncode == 4
    assert b"begin\nend\n" in done.stdout


def test_run_with_a_terminal(client: Client) -> None:
    argv = client.argv("run", "shell", "--image=host", "-it", "--rm", "--restart=Never", "--", "sh")
    with Terminal(argv, client.env) as screen:
        screen.until("press")
        screen.type("\nuntil stty size | grep 80; do sleep 0.1; done; tty\n")
        screen.until("24 80")
        screen.until("/dev/pts/")
        screen.type("exit\n")
        screen.until('pod "shell" deleted')


def test_after_the_kubelet_was_killed_one_attaches_anew(ns: Namespaced) -> None:
    client = Client(ns)
    a_pod(ns, "cat", stdin=True)
    with client.started("attach", "-i", "web") as process:
        kill_kubelet(ns.cluster)
        assert process.wait(30) is not None
    with client.started("attach", "-i", "web") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"still there\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"still there\n"
    assert ns.get("pod", "web")["status"]["containerStatuses"][0]["restartCount"] == 0


def kill_kubelet(cluster: Cluster) -> None:
    name = next(name for name in cluster.pids() if "kubelet" in name)
    before = cluster.pids()[name]
    os.kill(before, 9)

    def is_back() -> bool:
        components = {c["name"]: c for c in cluster.components()}
        return components[name]["pid"] not in (0, None, before) and components[name]["ready"]

    cluster.until(is_back)


# ---- port-forward --------------------------------------------------------------------------------

SERVE = "cd /tmp; head -c 3000000 /dev/urandom > file; exec python3 -u -m http.server 8080"


def a_web_server(ns: Namespaced, **spec: Any) -> str:
    """Its file's checksum, once it answers."""
    pod = a_sleeper(command=["sh", "-c", SERVE])
    pod["spec"] |= spec
    ns.apply(pod)
    ns.wait("pod/web", "condition=Ready")
    ns.cluster.until(lambda: "Serving" in ns.out("logs", "web"))
    return ns.sh("web", "sha256sum < /tmp/file").split()[0]


def test_many_connections_go_through_one_forward(client: Client) -> None:
    wanted = a_web_server(client.ns)
    got: list[str] = []
    with client.forward("pod/web", "8080") as (port, _):

        def fetch() -> None:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=60) as answer:
                got.append(hashlib.sha256(answer.read()).hexdigest())

        threads = [threading.Thread(target=fetch) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert got == [wanted] * 6


def test_ports_of_the_nodes_network_are_forwarded_too(ns: Namespaced) -> None:
    wanted = a_web_server(ns, hostNetwork=True)
    with (
        Client(ns).forward("pod/web", "8080") as (port, _),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/file", timeout=60) as answer,
    ):
        assert hashlib.sha256(answer.read()).hexdigest() == wanted


def test_half_of_a_forwarded_connection_may_end_first(client: Client) -> None:
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 9000)); print('up', flush=True)\n"
        "while True:\n c, _ = s.accept(); n = 0\n while d := c.recv(65536): n += len(d)\n"
        " c.sendall(str(n).encode()); c.close()"
    )
    client.ns.apply(a_sleeper(command=["python3", "-c", script]))
    client.ns.cluster.until(lambda: client.ns.kubectl("logs", "web", check=False).stdout == "up\n")
    with (
        client.forward("pod/web", "9000") as (port, _),
        socket.create_connection(("127.0.0.1", port), timeout=60) as sock,
    ):
        sock.sendall(b"x" * (5 * MEGABYTE))
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(100) == str(5 * MEGABYTE).encode()


def test_a_port_where_nobody_listens_is_told(client: Client) -> None:
    a_pod(client.ns)
    with client.forward("pod/web", "9") as (port, process):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            assert sock.recv(10) == b""
        assert process.stderr
        line = process.stderr.readline().decode()
    uid = client.ns.get("pod", "web")["metadata"]["uid"]
    assert f"error forwarding port 9 to pod web_{client.ns.name}, uid {uid}: " in line
    assert "127.0.0.1:9: connect: connection refused" in line


# ---- cp ------------------------------------------------------------------------------------------


def test_files_are_copied_in_and_out_whole(client: Client, tmp_path: Path) -> None:
    a_pod(client.ns)
    (tmp_path / "in").mkdir()
    sent = os.urandom(20 * MEGABYTE)
    (tmp_path / "in" / "big").write_bytes(sent)
    (tmp_path / "in" / "with space").write_text("small")
    done = client.run("cp", f"{tmp_path}/in", "web:/tmp/dir")
    assert done.returncode == 0, done.stderr
    assert client.ns.sh("web", "cat '/tmp/dir/with space'") == "small"
    done = client.run("cp", "web:/tmp/dir", f"{tmp_path}/out")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "big").read_bytes() == sent
