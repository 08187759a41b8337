"""`python -m controllers --data-dir D`: the controllers' process. SIGTERM ends it."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import time


def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    parser = argparse.ArgumentParser(prog="controllers")
    parser.add_argument("--data-dir", required=True, help="the cluster's data directory")
    parser.add_argument("--log-level", default="INFO")
    arguments = parser.parse_args()
    _set_up_logging(arguments.log_level)

    from controllers.manager import Manager

    manager = Manager(arguments.data_dir)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: manager.stop())
    return manager.run()


def _set_up_logging(level: str) -> None:
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


if __name__ == "__main__":
    sys.exit(main())
