"""`up`, `down` and `status` as processes, with small stand-ins for the components.

A copy of podium/ stands beside modules called apiserver, controllers and kubelet that only say that
they are ready; so this tests the starting and stopping, not the cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import podium
from podium.cli import processes
from tests.support.deep_trees import make_deep
from tests.support.interruptible import INTERRUPTIBLE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="podium up needs root")

READY = (
    "import os, signal\n"
    "fd = int(os.environ['PODIUM_READY_FD']); os.write(fd, b'ready\\n'); os.close(fd)\n"
    "signal.pause()\n"
)
KUBELET = f"""
import pathlib, sys
if "--teardown" in sys.argv:
    pathlib.Path(sys.argv[sys.argv.index("--data-dir") + 1], "torn-down").touch()
    sys.exit(0)
{READY}"""


class House:
    """A working tree with stand-ins, and a data directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.data = root / "house", root / "data"
        shutil.copytree(Path(podium.__file__).parent, self.root / "podium")
        for name in ("apiserver", "controllers", "kubelet", "kubelet/runtime", "kubelet/simulated"):
            (self.root / name).mkdir()
            (self.root / name / "__init__.py").touch()
            self.write(f"{name}/__main__.py", KUBELET if name == "kubelet" else READY)
        self.write("kubelet/runtime/__main__.py", READY)
        self.write("kubelet/simulated/__main__.py", READY)

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    def argv(self, *args: str) -> list[str]:
        return [sys.executable, "-P", "-m", "podium.cli.main", "--data-dir", str(self.data), *args]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(self.root)}

    def podium(self, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*args),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def up(self, *args: str) -> subprocess.CompletedProcess[str]:
        return self.podium("up", "-d", "--port", "0", *args)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.podium("status", "-o", "json").stdout)
        return found

    def alive(self) -> list[str]:
        """What runs of this house, by what /proc says and not by what was recorded."""
        lines = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().replace("\0", " ")
            except OSError:
                continue  # it ended while we looked
            if str(self.data) in words:
                lines.append(words)
        return lines


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.podium("down", "--purge")
    assert house.alive() == []


def test_up_returns_when_every_component_is_ready(house: House) -> None:
    done = house.up("--node-name", "n1")
    assert done.returncode == 0, done.stderr
    for name in ("apiserver", "controllers", "launcher", "kubelet", "node n1 is Ready"):
        assert name in done.stdout
    status = house.status()
    assert status["state"] == "running"
    assert [c["name"] for c in status["components"]] == [
        "apiserver",
        "controllers",
        "launcher",
        "kubelet",
    ]
    assert all(c["ready"] for c in status["components"])


def test_up_twice_says_so_and_changes_nothing(house: House) -> None:
    house.up()
    before = house.status()["components"]
    again = house.up()
    assert again.returncode == 0
    assert f"already running in {house.data}" in again.stdout
    assert house.status()["components"] == before


def test_down_stops_everything_and_keeps_the_data(house: House) -> None:
    house.up()
    (house.data / "podium.db").write_text("precious")
    done = house.podium("down")
    assert done.returncode == 0, done.stderr
    assert house.alive() == []
    assert (house.data / "torn-down").exists()
    assert (house.data / "podium.db").read_text() == "precious"
    assert house.status()["state"] == "stopped"
    assert house.up().returncode == 0


def test_purge_empties_the_data_directory(house: House) -> None:
    house.up()
    (house.data / "nodes" / "claim").mkdir(parents=True)
    make_deep(house.data / "nodes" / "claim", 2000)  # as a container can
    assert house.podium("down", "--purge").returncode == 0
    assert list(house.data.iterdir()) == []


def test_down_works_after_everything_was_killed(house: House) -> None:
    house.up()
    status = house.status()
    for pid in [status["supervisor"]["pid"], *(c["pid"] for c in status["components"][:2])]:
        os.kill(pid, signal.SIGKILL)
    assert house.status()["state"] == "unsupervised"
    assert house.podium("down").returncode == 0
    assert house.alive() == []


def test_up_takes_over_after_the_supervisor_was_killed(house: House) -> None:
    house.up()
    before = house.status()
    os.kill(before["supervisor"]["pid"], signal.SIGKILL)
    assert house.up().returncode == 0
    after = house.status()
    assert after["state"] == "running"
    old = {c["pid"] for c in before["components"]}
    assert not old & {c["pid"] for c in after["components"]}
    assert [processes.identify(pid) for pid in old] == [None] * 4


def test_a_component_that_cannot_start_is_told_and_nothing_stays(house: House) -> None:
    house.write("apiserver/__main__.py", "raise SystemExit('podium.db: file is not a database')")
    done = house.up()
    assert done.returncode == 1
    assert "error: the cluster did not start: apiserver ended with exit code 1" in done.stderr
    assert "podium.db: file is not a database" in done.stderr
    assert house.alive() == []


def test_old_log_lines_are_not_shown_as_the_reason(house: House) -> None:
    house.up()
    house.podium("down")
    log = house.data / "log" / "apiserver.log"
    log.write_text("an old complaint\n" * 3)
    house.write("apiserver/__main__.py", "raise SystemExit('a new complaint')")
    stderr = house.up().stderr
    assert "a new complaint" in stderr
    assert "an old complaint" not in stderr


def test_in_the_foreground_ctrl_c_stops_it_like_down(house: House) -> None:
    process = subprocess.Popen(
        [*INTERRUPTIBLE, *house.argv("up", "--port", "0")],
        env=house.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "press Ctrl-C" in line:
                break
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 0
    assert "stopped the cluster" in rest
    assert house.alive() == []
    assert (house.data / "torn-down").exists()


def test_a_killed_foreground_supervisor_is_told(house: House) -> None:
    process = subprocess.Popen(
        house.argv("up", "--port", "0"),
        env=house.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            if "press Ctrl-C" in line:
                break
        supervisor = processes.read_supervisor(house.data)
        assert supervisor is not None
        os.kill(supervisor.pid, signal.SIGKILL)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "the supervisor was killed" in stderr


def test_a_failed_teardown_is_told_and_keeps_the_data(house: House) -> None:
    house.up()
    broken = KUBELET.replace("sys.exit(0)", "sys.exit('cgroup is busy')")
    house.write("kubelet/__main__.py", broken)
    done = house.podium("down", "--purge")
    assert done.returncode == 1
    assert "cgroup is busy" in done.stderr
    assert (house.data / "cluster.json").exists()
    house.write("kubelet/__main__.py", KUBELET)


def test_purge_refuses_to_walk_through_a_mount(house: House) -> None:
    house.up()
    kept = house.root / "kept"
    kept.mkdir()
    (kept / "precious").touch()
    target = house.data / "nodes" / "mounted here"
    target.mkdir()
    subprocess.run(["mount", "--bind", kept, target], check=True)
    try:
        done = house.podium("down", "--purge")
        assert done.returncode == 1
        assert f"{target} is still mounted" in done.stderr
        assert (kept / "precious").exists()
    finally:
        subprocess.run(["umount", target], check=True)


def test_a_cluster_keeps_its_id_port_and_keys_over_a_restart(house: House) -> None:
    house.up()
    before = (house.data / "cluster.json").read_text(), (house.data / "pki/ca.crt").read_text()
    house.podium("down")
    house.podium("up", "-d")
    after = (house.data / "cluster.json").read_text(), (house.data / "pki/ca.crt").read_text()
    assert after == before


def test_the_second_start_is_quick(house: House) -> None:
    house.up()
    house.podium("down")
    began = time.monotonic()
    house.podium("up", "-d")
    assert time.monotonic() - began < 5  # a bound against hanging; the bench measures


def test_simulated_nodes_need_no_launcher_and_nothing_to_tear_down(house: House) -> None:
    done = house.up("--fake-nodes", "3")
    assert "node fake-1, fake-2, fake-3 is Ready" in done.stdout
    names = [component["name"] for component in house.status()["components"]]
    assert names == ["apiserver", "controllers", "kubelet"]
    assert house.podium("down").returncode == 0
    assert not (house.data / "torn-down").exists()
    other = house.up("--fake-nodes", "2")
    assert "this cluster's nodes are 3 simulated, and that cannot be changed" in other.stderr
    assert house.up().returncode == 0


def test_how_much_of_the_past_is_kept_is_checked_and_remembered(house: House) -> None:
    refused = house.up("--history", "5s")
    assert refused.returncode != 0
    assert "a history of 5s is too short: must be at least 10m" in refused.stderr
    assert not house.data.exists()
    house.up("--history", "2d,5000")
    house.podium("down")
    house.podium("up", "-d")
    assert json.loads((house.data / "cluster.json").read_text())["history"] == "2d,5000"


def test_two_ups_at_once_make_one_cluster(house: House) -> None:
    both = [
        subprocess.Popen(
            house.argv("up", "-d", "--port", "0"),
            env=house.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("is Ready after" in output for output in outputs) == 1
    assert sum("already running" in output for output in outputs) == 1
