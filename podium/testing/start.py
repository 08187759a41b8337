"""Room podium/testing: starts a guardian and waits for its cluster."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from podium.cli.supervisor import component_environment

if TYPE_CHECKING:
    from podium.testing.cluster import PodiumCluster

FAKE_NODES = "PODIUM_FAKE_NODES"
START_S = 150.0
STOP_S = 60.0


class CannotStart(Exception):
    """There is no cluster; the message says why."""


@contextmanager
def running_cluster() -> Iterator[PodiumCluster]:
    """A cluster in a directory of its own; with PODIUM_FAKE_NODES=n, of n simulated nodes."""
    fake_nodes = _fake_nodes()
    if not fake_nodes and os.geteuid() != 0:
        raise CannotStart(
            f"containers are made by root; as somebody else set {FAKE_NODES}=1 (or more) for "
            "simulated nodes"
        )
    data_dir = Path(tempfile.mkdtemp(prefix="podium-test-"))
    try:
        guardian = _start_guardian(data_dir, fake_nodes)
    except OSError as error:
        data_dir.rmdir()
        raise CannotStart(str(error)) from None
    try:
        from podium.testing.cluster import PodiumCluster  # while the guardian works

        _await(guardian)
        cluster = PodiumCluster(data_dir)
        try:
            yield cluster
        finally:
            cluster.close()
    finally:
        _end(guardian)
        with suppress(OSError):
            data_dir.rmdir()  # the guardian has removed it, unless it ended before it was one


def _fake_nodes() -> int:
    text = os.environ.get(FAKE_NODES, "").strip() or "0"
    if not text.isascii() or not text.isdigit() or int(text) > 200:
        raise CannotStart(f"{FAKE_NODES}={text}: must be a number up to 200")
    return int(text)


def _start_guardian(data_dir: Path, fake_nodes: int) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-P", "-m", "podium.testing.guardian", str(data_dir), str(fake_nodes)]
    return subprocess.Popen(
        argv,
        env=component_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def _await(guardian: subprocess.Popen[bytes]) -> None:
    assert guardian.stdout is not None
    is_told = bool(select.select([guardian.stdout], [], [], START_S)[0])
    line = guardian.stdout.readline() if is_told else b""
    if not line:
        raise CannotStart(f"it was not up after {START_S:.0f} s" if not is_told else "it ended")
    if error := json.loads(line).get("error"):
        raise CannotStart(error)


def _end(guardian: subprocess.Popen[bytes]) -> None:
    assert guardian.stdin is not None
    assert guardian.stdout is not None
    with suppress(BrokenPipeError):
        guardian.stdin.close()
    guardian.stdout.close()
    guardian.wait(STOP_S)
