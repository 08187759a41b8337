"""Room controllers: puts the controllers together and runs them, as long as we hold the lease.

Called by `__main__.py`. All controllers share one set of informers, one watch per kind, and two
identities: the scheduler writes as the scheduler, all others as the controller manager. Informers
follow the cluster whether we lead or not, so that a successor starts with a warm cache.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
from pathlib import Path
from typing import Protocol

from controllers.deployment import DeploymentController
from controllers.ephemeral_volume import EphemeralVolumeController
from controllers.garbage_collector import GarbageCollector
from controllers.local_path_provisioner import LocalPathProvisioner
from controllers.namespace import NamespaceController
from controllers.node_lifecycle import NodeLifecycleController
from controllers.pod_garbage_collector import PodGarbageCollector
from controllers.replicaset import ReplicaSetController
from controllers.scheduler.binding import LOOP as BINDING_LOOP
from controllers.scheduler.scheduler import Scheduler
from controllers.service_account import ServiceAccountController
from controllers.taint_eviction import TaintEvictionController
from controllers.volume_binder import VolumeBinder
from controllers.volume_protection import VolumeProtection
from podium.api import debugging
from podium.client.backoff import Backoff
from podium.client.clock import Clock, SystemClock
from podium.client.config import load_kubeconfig
from podium.client.debug_watch import DebugWatch
from podium.client.errors import ClientError
from podium.client.event_recorder import EventRecorder, Recorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.lease import Lease
from podium.client.span_sender import SpanSender


class Controller(Protocol):
    """One loop or a few. It looks through informers and writes through the client."""

    name: str
    component: str  # what its events say they come from

    def __init__(
        self, client: Client, informers: InformerFactory, recorder: Recorder, clock: Clock
    ) -> None: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


# What runs, by the identity that it writes with.
REGISTRY: dict[str, tuple[type[Controller], ...]] = {
    "controllers": (
        DeploymentController,
        ReplicaSetController,
        GarbageCollector,
        NamespaceController,
        NodeLifecycleController,
        PodGarbageCollector,
        ServiceAccountController,
        TaintEvictionController,
        VolumeBinder,
        LocalPathProvisioner,
        VolumeProtection,
        EphemeralVolumeController,
    ),
    "scheduler": (Scheduler,),
}
LEASE_NAME = "kube-controller-manager"
LEASE_S, RENEW_S, CANDIDATE_RETRY_S = 15, 5.0, 1.0
CONNECT_PATIENCE_S = 2.0

_log = logging.getLogger("manager")


class Manager:
    """`run()` until `stop()` is called, from a signal or another thread."""

    def __init__(self, data_dir: str | Path, clock: Clock | None = None) -> None:
        self._data_dir = Path(data_dir)
        self._clock = clock or SystemClock()
        self._stopping = threading.Event()
        self._clients = {
            identity: _client(self._data_dir, identity) for identity in ("controllers", "scheduler")
        }
        self._informers = InformerFactory(self._clients["controllers"])
        self._recorders = {
            identity: EventRecorder(client, identity, clock=self._clock)
            for identity, client in self._clients.items()
        }
        self._spans = SpanSender(self._clients["controllers"], "controllers")
        self._controllers = [
            self._build(kind, identity) for identity, kinds in REGISTRY.items() for kind in kinds
        ]
        self._debugger = DebugWatch(
            self._clients["controllers"], debugged_loops(), self._informers, clock=self._clock
        )
        self._lease = Lease(
            self._clients["controllers"],
            LEASE_NAME,
            identity=f"{_cluster_id(self._data_dir)}-controllers",
            duration_s=LEASE_S,
            clock=self._clock,
        )

    def run(self) -> int:
        """The exit code: 0 after `stop()`, 1 when the lease was lost."""
        self._informers.start()
        self._spans.start()
        try:
            if not self._become_leader() or not self._wait_synced():
                return 0
            for controller in self._controllers:
                controller.start()
            _tell_ready()
            _log.info("%d controllers run", len(self._controllers))
            gc.collect()
            gc.freeze()  # what is there now stays: no collection need look at it again
            return self._lead()
        finally:
            self._shut_down()

    def stop(self) -> None:
        """End `run()` soon. Safe to repeat; may be called from a signal handler."""
        self._stopping.set()

    # --- leading --------------------------------------------------------------------------------

    def _become_leader(self) -> bool:
        """Wait for the lease; False when told to stop."""
        backoff = Backoff()
        told_holder = None
        while not self._stopping.is_set():
            delay_s = CANDIDATE_RETRY_S
            try:
                if self._lease.try_lead():
                    return True
                backoff.reset()
                if told_holder != self._lease.holder:
                    told_holder = self._lease.holder
                    _log.info("%s leads; standing by", told_holder)
            except ClientError as error:
                _log.debug("lease: %s", error)
                delay_s = backoff.next_s()
            self._stopping.wait(delay_s)
        return False

    def _lead(self) -> int:
        """Renew until told to stop."""
        while not self._stopping.wait(RENEW_S):
            try:
                if not self._lease.try_lead():
                    _log.error("the lease is now held by %s", self._lease.holder)
                    return 1
            except ClientError as error:
                _log.warning("lease not renewed: %s", error)
                if not self._lease.is_held:
                    return 1  # a server that we alone cannot reach may have another leader now
        return 0

    def _wait_synced(self) -> bool:
        while not self._stopping.is_set():
            if self._informers.wait_synced(1.0):
                return True
        return False

    def _shut_down(self) -> None:
        self._debugger.stop()
        for client in self._clients.values():
            client.close()  # from now on no call waits for a server that is not there
        for controller in self._controllers:
            controller.stop()
        self._lease.release()
        self._spans.stop()
        for recorder in self._recorders.values():
            recorder.stop()
        self._informers.stop()

    # --- building -------------------------------------------------------------------------------

    def _build(self, kind: type[Controller], identity: str) -> Controller:
        recorder = self._recorders[identity].under(kind.component)
        return kind(self._clients[identity], self._informers, recorder, self._clock)


def debugged_loops() -> dict[str, str]:
    """Which loops breakpoints can stop, by what they call them: all under their own names, but that
    the scheduler is stopped where it writes its decisions."""
    names = {name: name for name in debugging.LOOPS if name != Scheduler.name}
    return {**names, BINDING_LOOP: Scheduler.name}


def _client(data_dir: Path, identity: str) -> Client:
    config = load_kubeconfig(data_dir / "pki" / f"{identity}.kubeconfig")
    return Client(config, user_agent=f"podium-{identity}", connect_patience_s=CONNECT_PATIENCE_S)


def _cluster_id(data_dir: Path) -> str:
    return str(json.loads((data_dir / "cluster.json").read_bytes())["id"])


def _tell_ready() -> None:
    """To the supervisor, through the pipe it gave us."""
    fd = os.environ.pop("PODIUM_READY_FD", None)
    if fd is not None:
        os.write(int(fd), b"ready\n")
        os.close(int(fd))
