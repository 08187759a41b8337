"""Room controllers: puts the controllers together and runs them, as long as we hold the lease.

Called by `__main__.py`. All controllers share one set of informers, one watch per kind, and two
identities: the scheduler writes as the scheduler, all others as the controller manager. Informers
follow the cluster whether we lead or not, so that a successor starts with a warm cache.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import logging
import os
import threading
from pathlib import Path
from typing import Any, Protocol

from podium.client.backoff import Backoff
from podium.client.clock import Clock, SystemClock
from podium.client.config import load_kubeconfig
from podium.client.errors import ClientError
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.lease import Lease

# Module, class, and the identity it writes with.
REGISTRY = (
    ("controllers.deployment", "DeploymentController", "controllers"),
    ("controllers.replicaset", "ReplicaSetController", "controllers"),
    ("controllers.scheduler", "Scheduler", "scheduler"),
    ("controllers.garbage_collector", "GarbageCollector", "controllers"),
    ("controllers.namespace", "NamespaceController", "controllers"),
    ("controllers.node_lifecycle", "NodeLifecycleController", "controllers"),
    ("controllers.service_account", "ServiceAccountController", "controllers"),
)
LEASE_NAME = "kube-controller-manager"
LEASE_S, RENEW_S, CANDIDATE_RETRY_S = 15, 5.0, 1.0
CONNECT_PATIENCE_S = 2.0

_log = logging.getLogger("manager")


class Controller(Protocol):
    """What the registry names; built with (client, informers, recorder, clock)."""

    name: str

    def start(self) -> None: ...

    def stop(self) -> None: ...


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
        built = (self._build(*entry) for entry in REGISTRY)
        self._controllers = [controller for controller in built if controller is not None]
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
        for controller in self._controllers:
            controller.stop()
        self._lease.release()
        for recorder in self._recorders.values():
            recorder.stop()
        self._informers.stop()
        for client in self._clients.values():
            client.close()

    # --- building -------------------------------------------------------------------------------

    def _build(self, module: str, class_name: str, identity: str) -> Controller | None:
        made: Any = _find(module, class_name)
        if made is None:
            _log.warning("there is no %s.%s", module, class_name)
            return None
        recorder = self._recorders[identity].under(getattr(made, "component", made.name))
        controller: Controller = made(
            self._clients[identity], self._informers, recorder, self._clock
        )
        return controller


def _find(module: str, class_name: str) -> Any:
    """A controller's class; None if it is not there (yet)."""
    if importlib.util.find_spec(module) is None:
        return None
    return getattr(importlib.import_module(module), class_name, None)


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
