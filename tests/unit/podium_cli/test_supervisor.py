"""The supervisor with real processes: small scripts stand for the components."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from podium.cli import processes
from podium.cli.supervisor import KEYS_ARE_MADE

WITH_KEYS = "import os; assert os.read(int(os.environ['PODIUM_KEYS_FD']), 1)"
READY = (
    "import os, signal; os.write(int(os.environ['PODIUM_READY_FD']), b'ready\\n'); signal.pause()"
)
STUBBORN = f"import signal; signal.signal(15, signal.SIG_IGN); {READY}"
RUN = """
import json, sys
from pathlib import Path
from podium.cli import processes, supervisor
data_dir, commands, fds = Path(sys.argv[1]), json.loads(sys.argv[2]), map(int, sys.argv[3:])
supervisor.STOP_GRACE_S = 0.3
assert supervisor.take_lock(data_dir) is not None
processes.write_supervisor(data_dir)
sys.exit(supervisor.Supervisor(data_dir, commands, *fds).run())
"""


class Supervised:
    """A supervisor process and what it tells."""

    def __init__(self, data_dir: Path, keys_fd: int = -1, **scripts: str) -> None:
        self.data_dir = data_dir
        for name in ("run", "log"):
            (data_dir / name).mkdir(exist_ok=True)
        commands = {name: [sys.executable, "-c", script] for name, script in scripts.items()}
        self.fd, write_fd = os.pipe()
        fds = [write_fd, keys_fd] if keys_fd >= 0 else [write_fd]
        argv = [sys.executable, "-c", RUN, str(data_dir), json.dumps(commands), *map(str, fds)]
        self.process = subprocess.Popen(argv, pass_fds=fds)
        os.close(write_fd)
        self._buffer = b""

    def events(self, until: str, timeout_s: float = 20) -> list[dict[str, Any]]:
        """Everything told up to and including an event of this kind."""
        told: list[dict[str, Any]] = []
        deadline = time.monotonic() + timeout_s
        while not told or told[-1]["event"] != until:
            while b"\n" not in self._buffer:
                left = deadline - time.monotonic()
                assert select.select([self.fd], [], [], max(0, left))[0], f"no {until}: {told}"
                data = os.read(self.fd, 4096)
                assert data, f"the supervisor ended before {until}: {told}"
                self._buffer += data
            line, _, self._buffer = self._buffer.partition(b"\n")
            told.append(json.loads(line))
        return told

    def components(self) -> dict[str, processes.Component]:
        return {c.name: c for c in processes.read_components(self.data_dir)}

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(10)


def until(condition: Callable[[], object], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    made: list[Supervised] = []

    def start(keys_fd: int = -1, **scripts: str) -> Supervised:
        made.append(Supervised(tmp_path, keys_fd, **scripts))
        return made[-1]

    yield start
    for supervised in made:
        if supervised.process.poll() is None:
            supervised.stop()
        processes.end([c.process for c in processes.read_components(tmp_path) if c.pid], 1)
        os.close(supervised.fd)


def test_it_tells_when_every_component_is_ready(supervise: Callable[..., Supervised]) -> None:
    told = supervise(apiserver=READY, kubelet=READY).events("up")
    assert {e["name"] for e in told if e["event"] == "ready"} == {"apiserver", "kubelet"}


def test_the_api_server_begins_before_there_are_keys_and_the_others_after(
    supervise: Callable[..., Supervised],
) -> None:
    keys_fd, write_fd = os.pipe()
    supervised = supervise(keys_fd, kubelet=READY, apiserver=f"{WITH_KEYS}; {READY}")
    assert [e["name"] for e in supervised.events("started")] == ["apiserver"]
    assert not select.select([supervised.fd], [], [], 0.3)[0]
    os.write(write_fd, KEYS_ARE_MADE)
    told = supervised.events("up")
    assert [e["name"] for e in told if e["event"] == "started"] == ["kubelet"]
    os.close(write_fd)
    os.close(keys_fd)


def test_nothing_stays_when_the_keys_are_not_made(supervise: Callable[..., Supervised]) -> None:
    keys_fd, write_fd = os.pipe()
    supervised = supervise(keys_fd, apiserver=f"{WITH_KEYS}; {READY}", kubelet=READY)
    supervised.events("started")
    os.close(write_fd)
    supervised.process.wait(10)
    assert not any(c.pid for c in supervised.components().values())
    os.close(keys_fd)


def test_it_records_pids_that_can_be_verified(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(apiserver=READY)
    supervised.events("up")
    component = supervised.components()["apiserver"]
    assert component.ready
    assert component.is_alive()
    assert processes.read_supervisor(supervised.data_dir) == processes.identify(
        supervised.process.pid
    )


def test_a_killed_component_is_back_within_two_seconds(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise(apiserver=READY, kubelet=READY)
    supervised.events("up")
    before = supervised.components()
    os.kill(before["kubelet"].pid, signal.SIGKILL)
    until(lambda: supervised.components()["kubelet"].pid not in (0, before["kubelet"].pid), 2)
    until(lambda: supervised.components()["kubelet"].ready, 2)
    assert supervised.components()["kubelet"].restarts == 1
    assert supervised.components()["apiserver"].pid == before["apiserver"].pid


def test_a_component_that_dies_before_it_was_ready_fails_the_start(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise(apiserver="import sys; sys.exit('no such database')", kubelet=READY)
    failed = supervised.events("failed")[-1]
    assert (failed["name"], failed["code"]) == ("apiserver", 1)
    assert supervised.process.wait(10) == 1
    assert not any(c.pid for c in supervised.components().values())
    assert "no such database" in (supervised.data_dir / "log/apiserver.log").read_text()


def test_who_dies_again_and_again_is_started_more_and_more_slowly(
    supervise: Callable[..., Supervised], tmp_path: Path
) -> None:
    once = f"import pathlib, sys\np = pathlib.Path({str(tmp_path / 'ran')!r})\n"
    once += f"if p.exists(): p.write_text(p.read_text() + 'x'); sys.exit(3)\np.touch()\n{READY}"
    supervised = supervise(apiserver=once)
    supervised.events("up")
    os.kill(supervised.components()["apiserver"].pid, signal.SIGKILL)
    began = time.monotonic()
    until(lambda: len((tmp_path / "ran").read_text()) >= 3)
    assert time.monotonic() - began >= 0.2 + 0.4
    assert supervised.stop() == 0


def test_sigterm_ends_everything_even_the_stubborn(supervise: Callable[..., Supervised]) -> None:
    supervised = supervise(apiserver=READY, kubelet=STUBBORN)
    supervised.events("up")
    pids = [c.process for c in supervised.components().values()]
    assert supervised.stop() == 0
    assert not any(pid.is_alive() for pid in pids)


def test_components_outlive_a_killed_supervisor_and_are_still_found(
    supervise: Callable[..., Supervised],
) -> None:
    supervised = supervise(apiserver=READY)
    supervised.events("up")
    supervised.process.kill()
    supervised.process.wait()
    assert processes.read_supervisor(supervised.data_dir) is None
    left = [c.process for c in processes.read_components(supervised.data_dir)]
    assert left[0].is_alive()
    assert processes.end(left, 2) == []


def test_a_recorded_pid_that_is_somebody_elses_now_is_left_alone() -> None:
    me = processes.identify(os.getpid())
    assert me is not None
    stranger = processes.ProcessId(me.pid, me.start + 1, me.boot)
    assert not stranger.is_alive()
    assert processes.end([stranger], 0.1) == []
    before_the_reboot = processes.ProcessId(me.pid, me.start, "another-boot")
    assert processes.end([before_the_reboot], 0.1) == []
