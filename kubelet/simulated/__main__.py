"""`python -m kubelet.simulated --data-dir D`: all simulated nodes of a cluster, in one process.
SIGTERM ends it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from kubelet.machine import host_address
from kubelet.readiness import say_ready
from kubelet.simulated.containers import ENGINE
from kubelet.simulated.node import SimulatedNode


def main() -> int:
    parser = argparse.ArgumentParser(prog="kubelet.simulated")
    parser.add_argument("--data-dir", type=Path, required=True)
    data_dir = parser.parse_args().data_dir
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("PODIUM_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    config = json.loads((data_dir / "cluster.json").read_text())
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threads, registered = [], []
    for entry in config["nodes"]:
        if entry["runtime"] != ENGINE:
            continue
        node, is_ready = (
            SimulatedNode(data_dir, entry, host_address(config["host"])),
            threading.Event(),
        )
        threads.append(threading.Thread(target=node.run, args=(stopping, is_ready)))
        registered.append(is_ready)
    for thread in threads:
        thread.start()
    for is_ready in registered:
        is_ready.wait()
    if not stopping.is_set():
        say_ready()
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
