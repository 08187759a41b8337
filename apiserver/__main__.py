"""The API server's process: `python -m apiserver --data-dir D`. Started by `podium up`.

Says "ready" on the pipe PODIUM_READY_FD once it serves. It may start before the cluster's keys are
made: the pipe PODIUM_KEYS_FD then tells when they are. SIGTERM ends it; a database or a port that
cannot be used ends it at once with a message and exit code 1.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apiserver.server import ApiServer

log = logging.getLogger("apiserver")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m apiserver")
    parser.add_argument("--data-dir", required=True, type=Path)
    arguments = parser.parse_args()
    logging.basicConfig(
        level=os.environ.get("PODIUM_LOG_LEVEL", "INFO"),
        format="%(asctime)s.%(msecs)03d %(levelname)s apiserver %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )
    for chatty in ("alembic", "apscheduler"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    sys.setswitchinterval(0.0005)  # the writer's thread must not wait 5 ms for each of its turns
    gc.disable()  # until it serves: to look for garbage among imports takes a fifth of their time
    from apiserver.cluster_file import read_config
    from apiserver.errors import ServerError
    from apiserver.server import ApiServer

    if not _keys_are_made():
        return 1  # `podium up` has gone, and tells why
    try:
        server = ApiServer(read_config(arguments.data_dir))
    except ServerError as error:
        log.error("%s", error)
        return 1
    except OSError as error:
        log.error("cannot serve: %s", error)
        return 1
    return _serve(server)


def _keys_are_made() -> bool:
    """Wait for them, if `podium up` has started us before it made them."""
    fd = os.environ.pop("PODIUM_KEYS_FD", "")
    if not fd:
        return True
    with open(int(fd), "rb", buffering=0) as pipe:
        return bool(pipe.read(1))


def _serve(server: ApiServer) -> int:
    import gevent
    from gevent.event import Event

    ended = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, ended.set)
    server.start()
    gc.freeze()  # what has been imported stays: the collector need not look at it again
    gc.set_threshold(20_000, 20, 50)
    gc.enable()
    log.info("serving on https://%s:%d", server.http.host, server.port)
    _say_ready()
    ended.wait()
    server.stop()
    return 0


def _say_ready() -> None:
    fd = os.environ.pop("PODIUM_READY_FD", "")
    if fd:
        with os.fdopen(int(fd), "w") as pipe:
            pipe.write("ready\n")


if __name__ == "__main__":
    sys.exit(main())
