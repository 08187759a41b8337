"""The end of a Pod on this node: stopped with grace, said so, cleaned away, forgotten.

Room kubelet; called by pod_sync.py, in its worker threads, which never wait (container_stop.py does
that). Everything here may be cut short at any point and done again.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any

from kubelet.container_config import ContainerConfigs
from kubelet.container_stop import ContainerStops, Ending, order
from kubelet.network import PodNetwork
from kubelet.pod_plan import specs_by_name
from kubelet.runtime.protocol import Runtime
from kubelet.runtime.tree_removal import remove_tree
from kubelet.static_pods import StaticPods
from kubelet.volumes import Volumes
from podium.client.errors import Conflict, NotFound
from podium.client.http import Client

log = logging.getLogger("pod-end")
Object = dict[str, Any]

ORPHAN_GRACE_S = 2.0  # of a Pod that the API no longer knows: Kubernetes' minimum


class PodEnd:
    """Ends Pods and removes what is left of them."""

    def __init__(
        self, *, client: Client, runtime: Runtime, network: PodNetwork, volumes: Volumes,
        configs: ContainerConfigs, stops: ContainerStops, statics: StaticPods,
    ) -> None:  # fmt: skip
        self._client = client
        self._runtime = runtime
        self._network = network
        self._volumes = volumes
        self._configs = configs
        self._stops = stops
        self._statics = statics

    def stop(self, uid: str, grace_s: float, pod: Object | None = None, ip: str = "") -> bool:
        """Whether all containers have ended. If not they have been told to, sidecars after the
        others; the Pod is looked at again whenever one has ended. A shorter grace period replaces
        a longer one. With `pod`, events tell of it and preStop hooks are run."""
        living = [c for c in self._runtime.list_containers(uid) if c.state != "exited"]
        if not living:
            return True
        specs = specs_by_name(pod) if pod is not None else {}
        turns = order(pod, living) if pod is not None else {}
        endings = [
            Ending(c, grace_s, after=turns.get(c.id, ())).known_by(pod, specs.get(c.name), ip)
            for c in living
        ]
        self._stops.begin(endings)
        return False

    def clean_up(self, uid: str) -> None:
        """Everything of a Pod that is in the kernel or on the disk, but its logs."""
        self._runtime.remove_pod_sandbox(uid)
        self._network.detach(uid)
        self._volumes.clean_up(uid)

    def has_left(self, uid: str) -> bool:
        """Whether there is something to clean up."""
        if any(sandbox.id == uid for sandbox in self._runtime.list_pod_sandboxes()):
            return True
        return self._volumes.pod_dir(uid).exists()

    def remove_logs(self, uid: str) -> None:
        for directory in self._configs.log_dirs_of(uid):
            with contextlib.suppress(OSError):  # what goes on being written is tried again
                remove_tree(directory)

    def delete(self, pod: Object) -> None:
        """Let the API server forget it; a static Pod's mirror goes when the next look misses it."""
        about = pod["metadata"]
        if self._statics.has(about["uid"]):
            self._statics.ended(about["uid"])
            return
        try:
            self._client.delete(
                "pods", about["name"], about["namespace"], grace_s=0, uid=about["uid"]
            )
        except (NotFound, Conflict):
            log.debug("%s: gone already", about["uid"])

    def known(self) -> set[str]:
        """Uids of all that is on this node, whatever the API says."""
        sandboxes = {sandbox.id for sandbox in self._runtime.list_pod_sandboxes()}
        there = sandboxes | set(self._network.attached()) | set(self._volumes.pods())
        return there | self._configs.pods_with_logs()
