"""`python -m podium.otlp --data-dir D`: the exporter's process. SIGTERM ends it."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(prog="podium.otlp")
    parser.add_argument("--data-dir", required=True, help="the cluster's data directory")
    data_dir = Path(parser.parse_args().data_dir)
    logging.basicConfig(
        stream=sys.stderr, level="INFO", format="%(levelname)s %(name)s %(message)s"
    )
    endpoint = json.loads((data_dir / "cluster.json").read_bytes())["otlpEndpoint"]

    from podium.client.config import load_kubeconfig
    from podium.client.http import Client
    from podium.otlp.exporter import Exporter

    config = load_kubeconfig(data_dir / "pki" / "controllers.kubeconfig")
    exporter = Exporter(Client(config, user_agent="podium-otlp"), endpoint)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: exporter.stop())
    if fd := os.environ.pop("PODIUM_READY_FD", ""):
        os.write(int(fd), b"ready\n")
        os.close(int(fd))
    exporter.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
