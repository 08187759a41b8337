"""Room podium/testing: the guardian, a process that owns one cluster of a test session.

`python -m podium.testing.guardian D [FAKE_NODES]`: it starts a cluster in D, says so in a line of
JSON on its standard output, and removes everything when its standard input ends, which it does
however the session ends: by itself, by Ctrl-C, by SIGKILL. It has a session of its own, so that
what the terminal sends to pytest does not reach it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
from pathlib import Path

from podium.cli import down, preflight, up
from podium.cli.progress import Progress
from podium.testing.places import take_places


def main(argv: list[str]) -> int:
    """Until standard input ends."""
    data_dir, fake_nodes = Path(argv[0]), int(argv[1]) if len(argv) > 1 else 0
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))  # as if pytest had gone
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        _tell(_start(data_dir, fake_nodes))
        _wait_for_end()
    finally:
        down.bring_down(data_dir, True, 0.0, Progress(io.StringIO()))
        shutil.rmtree(data_dir, ignore_errors=True)
    return 0


def _start(data_dir: Path, fake_nodes: int) -> dict[str, str]:
    """{} or {"error": "…"}."""
    try:
        places = take_places(needs_network=not fake_nodes)
        _start.holds = places.holds  # type: ignore[attr-defined]  # until this process ends
        wishes = up.Wishes(
            port=places.port, pod_cidr=places.pod_cidr or None, fake_nodes=fake_nodes or None
        )
        up.bring_up(data_dir, wishes, Progress(io.StringIO()))
    except (preflight.Unfit, ValueError, OSError) as error:
        return {"error": str(error)}
    except up.StartFailed as failure:
        lines = down.tail(failure.log) if failure.log else []
        return {"error": "\n".join([str(failure), *lines])}
    return {}


def _tell(answer: dict[str, str]) -> None:
    with os.fdopen(os.dup(1), "w") as out:
        out.write(json.dumps(answer) + "\n")
    os.close(1)
    os.open(os.devnull, os.O_WRONLY)


def _wait_for_end() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        return  # closed by SIGTERM


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
