"""Docker's figures for the same work, where a Docker daemon runs: `docker run -d` of a static
busybox.

Not measured otherwise; then the recorded figures stand in the table.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

IMAGE = "podium-bench:latest"
LABEL = "podium-bench"
AT_ONCE = 4
TIMEOUT_S = 180


def _docker(*args: str, stdin: bytes | None = None) -> str:
    done = subprocess.run(
        ["docker", *args], input=stdin, check=True, capture_output=True, timeout=TIMEOUT_S
    )
    return done.stdout.decode().strip()


def is_there() -> bool:
    """A daemon that answers, and a busybox to make an image of."""
    if shutil.which("docker") is None or shutil.which("busybox") is None:
        return False
    asked = subprocess.run(["docker", "info"], check=False, capture_output=True, timeout=TIMEOUT_S)
    return asked.returncode == 0


def seconds_for(count: int) -> float:
    """Until `docker run -d` has returned for all of them, four at a time."""
    busybox = str(shutil.which("busybox"))
    tar = subprocess.run(
        ["tar", "-cf", "-", "-C", "/", busybox.lstrip("/")], check=True, capture_output=True
    ).stdout
    _docker("import", "-", IMAGE, stdin=tar)
    try:
        began = time.perf_counter()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda _: _run(busybox), range(count)))
        return time.perf_counter() - began
    finally:
        left = _docker("ps", "-aq", "--filter", f"label={LABEL}").split()
        if left:
            _docker("rm", "-f", *left)
        _docker("rmi", IMAGE)


def _run(busybox: str) -> str:
    return _docker("run", "-d", "--label", LABEL, "--entrypoint", busybox, IMAGE, "sleep", "1000")
