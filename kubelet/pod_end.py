"""The end of a Pod on this node: stopped with grace, said so, cleaned away, forgotten.

Room kubelet; called by pod_sync.py, in its worker threads. Whoever waits for a grace period to pass
does so in a thread of its own, which queues the Pod again when its containers have ended; the
workers never wait. Everything here may be cut short at any point and done again.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubelet.container_config import ContainerConfigs
from kubelet.network import PodNetwork
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Runtime
from kubelet.volumes import Volumes
from podium.client.errors import Conflict, NotFound
from podium.client.event_recorder import Recorder
from podium.client.http import Client

log = logging.getLogger("pod-end")
Object = dict[str, Any]

ORPHAN_GRACE_S = 2.0  # of a Pod that the API no longer knows: Kubernetes' minimum
SHORTER_BY_S = 0.5  # a new grace period counts if it ends so much sooner
STOP_RETRY_S = 1.0


@dataclass
class _Stopping:
    """Containers that are being stopped, until when (monotonic), by which threads."""

    until: float
    ids: set[str] = field(default_factory=set)


class PodEnd:
    """`requeue(uid)` has the Pod looked at again."""

    def __init__(
        self, *, client: Client, runtime: Runtime, network: PodNetwork, volumes: Volumes,
        configs: ContainerConfigs, recorder: Recorder, requeue: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._client = client
        self._runtime = runtime
        self._network = network
        self._volumes = volumes
        self._configs = configs
        self._recorder = recorder
        self._requeue = requeue
        self._lock = threading.Lock()
        self._stopping: dict[str, _Stopping] = {}

    def stop(self, uid: str, grace_s: float, pod: Object | None = None) -> bool:
        """Whether all containers have ended. If not they have been told to, will be killed after
        `grace_s`, and the Pod is looked at again then. A shorter grace period replaces a longer
        one. With `pod`, events tell of it."""
        living = [c for c in self._runtime.list_containers(uid) if c.state != "exited"]
        if not living:
            with self._lock:
                self._stopping.pop(uid, None)
            return True
        until = time.monotonic() + grace_s
        with self._lock:
            stopping = self._stopping.setdefault(uid, _Stopping(until))
            if until < stopping.until - SHORTER_BY_S:
                stopping.until, again = until, set(stopping.ids)
            else:
                again = set()
            new = {c.id for c in living} - stopping.ids
            stopping.ids |= new
        for container in living:
            if container.id in new and pod is not None:
                self._tell(pod, container)
            if container.id in new | again:
                self._stop_in_background(uid, container, grace_s)
        return False

    def _tell(self, pod: Object, container: ContainerStatus) -> None:
        self._recorder.event(
            pod, "Normal", "Killing", f"Stopping container {container.name}",
            field_path=f"spec.containers{{{container.name}}}",
        )  # fmt: skip

    def _stop_in_background(self, uid: str, container: ContainerStatus, grace_s: float) -> None:
        def stop() -> None:
            try:
                self._runtime.stop_container(container.id, grace_s)
            except RuntimeFailure as failure:
                log.warning("%s: stopping %s failed: %s", uid, container.name, failure)
                time.sleep(STOP_RETRY_S)
            with self._lock:  # if it lives still, the next look stops it again
                if uid in self._stopping:
                    self._stopping[uid].ids.discard(container.id)
            self._requeue(uid)

        threading.Thread(target=stop, name=f"stop-{container.name}", daemon=True).start()

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
            shutil.rmtree(directory, ignore_errors=True)  # a reader may hold a file of it open

    def delete(self, pod: Object) -> None:
        """Let the API server forget it."""
        about = pod["metadata"]
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
