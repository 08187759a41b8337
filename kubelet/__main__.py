"""`python -m kubelet --data-dir D --node NAME`: the agent of one node, one process.

It registers the Node, follows the Pods bound to it, and keeps the kernel as they say. SIGTERM ends
it and leaves the containers running; `--teardown` ends them. SIGPWR says that the machine is going
down, where there is no logind to say so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> int:
    args = _arguments()
    if args.check_config is not None:
        return _check(args.check_config)
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("PODIUM_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    config = json.loads((args.data_dir / "cluster.json").read_text())
    node = next((node for node in config["nodes"] if node["name"] == args.node), None)
    if node is None:
        print(f"kubelet: there is no node {args.node} in {args.data_dir}", file=sys.stderr)
        return 2
    return (_tear_down if args.teardown else _run)(args, config, node)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="kubelet", description="The agent of one node.")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--node")
    parser.add_argument(
        "--check-config", type=Path, metavar="FILE", help="say what is wrong with it, and end"
    )
    parser.add_argument("--teardown", action="store_true", help="end every container and go")
    parser.add_argument(
        "--grace", type=float, default=5.0, help="seconds at most that containers get to end"
    )
    args = parser.parse_args()
    if args.check_config is None and None in (args.data_dir, args.node):
        parser.error("--data-dir and --node are required")
    return args


def _check(path: Path) -> int:
    from kubelet import configuration

    try:
        configuration.parse(path.read_text(), str(path))
    except (OSError, UnicodeDecodeError, configuration.ConfigurationError) as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def _run(args: argparse.Namespace, config: dict[str, Any], node: dict[str, Any]) -> int:
    from kubelet.agent import Kubelet
    from kubelet.configuration import ConfigurationError

    try:
        kubelet = Kubelet(args.data_dir, config, node)
    except ConfigurationError as failure:
        print(failure, file=sys.stderr)
        return 2
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: kubelet.stop())
    signal.signal(signal.SIGPWR, lambda *_: kubelet.shut_down())
    kubelet.run()
    return 0


def _tear_down(args: argparse.Namespace, config: dict[str, Any], node: dict[str, Any]) -> int:
    from kubelet.agent import network_of, node_dir_of
    from kubelet.teardown import tear_down

    network = network_of(args.data_dir, config, node)
    tear_down(node, network, str(node_dir_of(args.data_dir, node)), args.grace)
    return 0


if __name__ == "__main__":
    sys.exit(main())
