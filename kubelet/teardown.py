"""Ends every container of a node and removes every kernel object that the node made.

Run by `podium down` as `python -m kubelet --data-dir D --node NAME --teardown`, whether or not
anything else is alive. Images, logs and the database stay. Safe to repeat.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kubelet import apparmor, engine
from kubelet.mount_points import unmount_below
from kubelet.network import PodNetwork
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Runtime
from kubelet.runtime.tree_removal import remove_tree

log = logging.getLogger("teardown")

Object = dict[str, Any]

AT_ONCE = 256


def tear_down(node: Object, network: PodNetwork, node_dir: str, grace_s: float) -> None:
    """`node` is its entry in cluster.json. All Pods at once, each container with its grace period
    but at most `grace_s`."""
    if Path(node_dir, "runtime").exists():  # else it never ran
        with engine.connected(node, node_dir) as runtime:
            _stop_containers(runtime, grace_s)
    engine.erase(node, node_dir)
    apparmor.unload(node["cgroupRoot"])
    network.remove()
    pods = Path(node_dir) / "pods"
    if pods.exists():
        unmount_below(str(pods))
        remove_tree(pods)


def _stop_containers(runtime: Runtime, grace_s: float) -> None:
    containers = [c for c in runtime.list_containers() if c.state != "exited"]
    log.info("stopping %d containers", len(containers))

    def stop(container_id: str, wanted_s: float) -> None:
        try:
            runtime.stop_container(container_id, min(wanted_s, grace_s))
        except RuntimeFailure as failure:
            log.warning("%s: %s", container_id, failure)  # `erase` kills what is left

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for status in containers:
            pool.submit(stop, status.id, float(status.labels.get("grace", grace_s)))
