"""A whole cluster for a test: `podium up -d` in a temporary data directory, purged at the end.

    with running_cluster(tmp_path) as cluster:
        cluster.kubectl("get", "nodes")
        cluster.podium("apply", "-f", "manifests/01-pod.yaml")

What it tells of containers it takes from the kernel (/proc, cgroups), not from Podium's records.
"""

from __future__ import annotations

import base64
import json
import os
import re
import select
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml

from podium.cli import cluster_config, processes
from tests.support.waiting import PATIENCE

HOUSE = Path(__file__).resolve().parents[2]
T = TypeVar("T")


class Cluster:
    """A running cluster and the ways to talk to it and to look at it."""

    def __init__(self, data_dir: Path) -> None:
        config = cluster_config.read(data_dir)
        assert config is not None
        self.data_dir = data_dir
        self.id, self.port = config.id, config.port
        self.server = cluster_config.server_url(config)
        self.nodes = [node.name for node in config.nodes]
        self.kubeconfig = data_dir / "admin.kubeconfig"
        self._cache = tempfile.mkdtemp(prefix="podium-kubectl-")

    def close(self) -> None:
        shutil.rmtree(self._cache)

    # --- commands -------------------------------------------------------------------------------

    def podium(
        self, *args: str, stdin: str | None = None, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run `podium` for this cluster; with `check`, a failure fails the test with its output."""
        return _run(self._argv("podium", args), self.environment(), stdin, check, timeout_s)

    def podium_anywhere(self, *args: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `podium` without telling it of this cluster."""
        return run_podium(*args, check=check)

    def kubectl(
        self, *args: str, stdin: str | None = None, check: bool = True, timeout_s: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run the real kubectl as the admin."""
        return _run(self._argv("kubectl", args), self.environment(), stdin, check, timeout_s)

    def first_lines(self, argv: tuple[str, ...], until: str, timeout_s: float = 30) -> list[str]:
        """What a command (kubectl or podium) prints up to the first line that holds `until`."""
        process = subprocess.Popen(
            self._argv(argv[0], argv[1:]), env=self.environment(), stdout=subprocess.PIPE
        )
        try:
            return _lines_until(process, until, timeout_s)
        finally:
            process.kill()
            process.communicate()

    def _argv(self, program: str, args: tuple[str, ...]) -> list[str]:
        return [*PODIUM, *args] if program == "podium" else [program, *map(_patient, args)]

    def environment(self) -> dict[str, str]:
        return {
            **_environment(),
            "PODIUM_DATA_DIR": str(self.data_dir),
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": self._cache,
            "HOME": self._cache,
        }

    def until(self, condition: Callable[[], T], timeout_s: float = 30) -> T:
        """Ask again until the answer is true, and give it; fails after `timeout_s`."""
        deadline = time.monotonic() + timeout_s * PATIENCE
        while not (answer := condition()):
            assert time.monotonic() < deadline, f"still {answer!r} after {timeout_s:g} s"
            time.sleep(0.05)
        return answer

    def admin_tls_context(self) -> ssl.SSLContext:
        """For urllib: trusts the cluster's CA and shows the admin's certificate."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        context = ssl.create_default_context(cafile=str(self.data_dir / "pki" / "ca.crt"))
        user = config["users"][0]["user"]
        pem = base64.b64decode(user["client-key-data"])
        pem += base64.b64decode(user["client-certificate-data"])
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name)
        return context

    # --- components -----------------------------------------------------------------------------

    def components(self) -> list[dict[str, Any]]:
        """As `podium status -o json` shows them, without starting a command."""
        return [
            {"name": c.name, "pid": c.pid, "ready": c.ready, "restarts": c.restarts}
            for c in processes.read_components(self.data_dir)
        ]

    def pids(self) -> dict[str, int]:
        """Component name → pid, of those that run."""
        return {c["name"]: c["pid"] for c in self.components() if c["pid"]}

    def supervisor_pid(self) -> int:
        supervisor = processes.read_supervisor(self.data_dir)
        assert supervisor is not None, "the supervisor does not run"
        return supervisor.pid

    # --- containers, seen from the kernel -------------------------------------------------------

    def container_processes(self) -> list[int]:
        """Every process in a cgroup of this cluster."""
        return [pid for pid, path in _cgroup_paths().items() if f"podium-{self.id}" in path]

    def sandbox_uids(self) -> set[str]:
        """The uids of the Pods that have a process."""
        found = (re.search(r"/pod([0-9a-f-]{36})", path) for path in self._paths())
        return {match[1] for match in found if match}

    def pod_uids(self) -> set[str]:
        """The uids of the Pods that the API calls Running."""
        pods = json.loads(self.kubectl("get", "pods", "-A", "-o", "json").stdout)["items"]
        return {p["metadata"]["uid"] for p in pods if p["status"].get("phase") == "Running"}

    def shim_pid(self, pod_uid: str) -> int:
        """The parent of a container's PID 1."""
        return int(_status(self._first_processes(pod_uid)[0])["PPid"])

    def container_cgroups(self, pod: dict[str, Any]) -> ContainerCgroups:
        """The cgroup files of a Pod's (first) container."""
        return ContainerCgroups(self._first_processes(pod["metadata"]["uid"])[0])

    def container_pid(self, pod: dict[str, Any]) -> int:
        """The host's pid of a process in a Pod's (first) container, whatever namespaces it has."""
        container_id = pod["status"]["containerStatuses"][0]["containerID"].partition("://")[2]
        return next(pid for pid, path in _cgroup_paths().items() if container_id in path)

    def first_process(self, pod_uid: str) -> int:
        """The host's pid of a process that is PID 1 in a container of this Pod."""
        return self._first_processes(pod_uid)[0]

    def _paths(self) -> list[str]:
        return [path for path in _cgroup_paths().values() if f"podium-{self.id}" in path]

    def _first_processes(self, pod_uid: str) -> list[int]:
        """The host's pids of the processes that are PID 1 of a container of this Pod."""
        pids = [pid for pid, path in _cgroup_paths().items() if f"pod{pod_uid}" in path]
        first = [pid for pid in pids if _status(pid).get("NSpid", "").split()[-1:] == ["1"]]
        assert first, f"no container of pod {pod_uid} runs"
        return first


class ContainerCgroups:
    """Reads a container's cgroup files, whichever version this machine has."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        self._paths = {names: path for _, names, path in (line.split(":", 2) for line in lines)}

    def read(self, v1_file: str, v2_file: str, above: int = 0) -> str:
        """The content of a file by its names in cgroup v1 and v2; with `above` 1 of the Pod's
        cgroup, with 2 of its QoS class'."""
        controller = v1_file.partition(".")[0]
        for names, path in self._paths.items():
            if controller in names.split(","):
                directory = Path(f"/sys/fs/cgroup/{controller}{path}")
                return _ancestor(directory, above).joinpath(v1_file).read_text().strip()
        directory = Path(f"/sys/fs/cgroup{self._paths['']}")
        return _ancestor(directory, above).joinpath(v2_file).read_text().strip()


def _ancestor(directory: Path, above: int) -> Path:
    return directory if above == 0 else directory.parents[above - 1]


PODIUM = [sys.executable, "-P", "-m", "podium.cli.main"]


@contextmanager
def running_cluster(data_dir: Path, *options: str) -> Iterator[Cluster]:
    """Start a cluster on a free port; `options` go to `podium up`. Purged at the end."""
    where = ("--data-dir", str(data_dir))
    try:
        run_podium("up", "-d", "--port", "0", *where, *options)
        cluster = Cluster(data_dir)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        run_podium("down", "--purge", "--grace-period", "1", *where)


def run_podium(
    *args: str, stdin: str | None = None, check: bool = True, timeout_s: float = 180
) -> subprocess.CompletedProcess[str]:
    """Run the `podium` of this working tree."""
    return _run([*PODIUM, *args], _environment(), stdin, check, timeout_s)


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("PODIUM_DATA_DIR", "KUBECONFIG")}
    # `make test` puts kubectl beside the interpreter on machines that have none.
    path = os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)])
    return {**kept, "PATH": path, "PYTHONPATH": str(HOUSE)}


def _patient(arg: str) -> str:
    """An option of kubectl's with a bound, such as --timeout=30s, as long as this machine needs."""
    option, is_bound, rest = arg.partition("timeout=")
    is_bound = is_bound and option.startswith("--") and rest.endswith("s")
    return f"{option}timeout={int(rest[:-1]) * PATIENCE:.0f}s" if is_bound else arg


def _run(
    argv: list[str], env: dict[str, str], stdin: str | None, check: bool, timeout_s: float
) -> subprocess.CompletedProcess[str]:
    given = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(
        argv,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout_s * PATIENCE,
        check=False,
        **given,
    )
    if check and done.returncode != 0:
        shown = " ".join(argv)
        raise AssertionError(f"{shown}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def _lines_until(process: subprocess.Popen[bytes], until: str, timeout_s: float) -> list[str]:
    assert process.stdout is not None
    deadline, text = time.monotonic() + timeout_s * PATIENCE, ""
    while not any(until in line for line in text.split("\n")[:-1]):
        left = deadline - time.monotonic()
        is_told = bool(select.select([process.stdout], [], [], max(0, left))[0])
        assert is_told, f"no line with {until!r} after {timeout_s:g} s:\n{text}"
        data = os.read(process.stdout.fileno(), 65536)
        assert data, f"ended without a line with {until!r}:\n{text}"
        text += data.decode()
    return text.split("\n")[:-1]


def _cgroup_paths() -> dict[int, str]:
    """Pid → the text of /proc/<pid>/cgroup, of every process of the machine."""
    found = {}
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            found[int(directory.name)] = (directory / "cgroup").read_text()
        except OSError:
            continue  # it ended while we looked
    return found


def _status(pid: int) -> dict[str, str]:
    """/proc/<pid>/status; empty if the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
