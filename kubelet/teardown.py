"""Ends every container of a node and removes every kernel object that the node made.

Run by `podium down` as `python -m kubelet --data-dir D --node NAME --teardown`, whether or not
anything else is alive. Images, logs and the database stay. Safe to repeat.
"""

from __future__ import annotations

import logging
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from kubelet.mount_points import unmount_below
from kubelet.network import PodNetwork
from kubelet.runtime.client import PodiumRuntime
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.leftovers import remove_everything

log = logging.getLogger("teardown")

AT_ONCE = 256


def tear_down(
    runtime: PodiumRuntime, network: PodNetwork, node_dir: str, cgroup_root: str, grace_s: float
) -> None:
    """All Pods at once, each container with its grace period but at most `grace_s`."""
    containers = [c for c in runtime.list_containers() if c.state != "exited"]
    log.info("stopping %d containers", len(containers))

    def stop(container_id: str, wanted_s: float) -> None:
        try:
            runtime.stop_container(container_id, min(wanted_s, grace_s))
        except RuntimeFailure as failure:
            log.warning("%s: %s", container_id, failure)  # remove_everything kills what is left

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for status in containers:
            pool.submit(stop, status.id, float(status.labels.get("grace", grace_s)))
    runtime.close()
    remove_everything(f"{node_dir}/runtime", cgroup_root)
    network.remove()
    pods = Path(node_dir) / "pods"
    if pods.exists():
        unmount_below(str(pods))
        shutil.rmtree(pods)
