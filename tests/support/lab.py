"""One namespace of a real API server, controllers that run in this process, and a test that plays
the kubelet: the verbs that the controllers' tests are written in."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from podium.api.meta import is_pod_active
from podium.client.clock import SystemClock
from podium.client.errors import NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from tests.support.builders import CREATED, Object, a_namespace, a_readiness, unstored
from tests.support.waiting import PATIENCE, eventually

SYNC_S = 10.0 * PATIENCE


class Lab:
    """`start(DeploymentController)` runs it; `create`, `pods`, `make_ready` use the API."""

    def __init__(self, client: Client, identity: Client, namespace: str) -> None:
        self.client = client
        self.namespace = namespace
        self.identity = CountingClient(identity)
        self.informers = InformerFactory(self.identity)  # type: ignore[arg-type]
        self.recorder = EventRecorder(identity, "test")
        self.controllers: list[Any] = []
        client.create("namespaces", unstored(a_namespace(namespace)))

    def start(self, *kinds: Any) -> None:
        """Build controllers as the manager does, and run them."""
        for kind in kinds:
            recorder = self.recorder.under(kind.component)
            self.controllers.append(kind(self.identity, self.informers, recorder, SystemClock()))
        self.informers.start()
        assert self.informers.wait_synced(SYNC_S)
        for controller in self.controllers:
            controller.start()

    def close(self) -> None:
        for controller in self.controllers:
            controller.stop()
        self.informers.stop()
        self.recorder.stop()
        self.client.delete("namespaces", self.namespace)

    # --- verbs ----------------------------------------------------------------------------------

    def create(self, resource: str, obj: Object) -> Object:
        return self.client.create(resource, unstored(obj), self.namespace)

    def get(self, resource: str, name: str = "web") -> Object:
        return self.client.get(resource, name, self.namespace)

    def patch(self, resource: str, name: str, patch: Any, **options: Any) -> Object:
        return self.client.patch(resource, name, self.namespace, patch, **options)

    def items(self, resource: str) -> list[Object]:
        return list(self.client.list(resource, self.namespace)["items"])

    def pods(self) -> list[Object]:
        """Those that have neither ended nor are ending."""
        return [pod for pod in self.items("pods") if is_pod_active(pod)]

    def scale(self, resource: str, replicas: int, name: str = "web") -> None:
        self.patch(resource, name, {"spec": {"replicas": replicas}})

    def make_ready(self, *pods: Object, ready: bool = True, since: str = CREATED) -> None:
        """As a kubelet would say."""
        status = {"status": a_readiness(ready, since)}
        for pod in pods:
            self.patch("pods", pod["metadata"]["name"], status, subresource="status")

    def end_pods(self) -> None:
        """Let every Pod that is ending end, as its kubelet would."""
        for pod in self.items("pods"):
            if pod["metadata"].get("deletionTimestamp"):
                self.remove(pod)

    def remove(self, pod: Object) -> None:
        try:
            self.client.delete("pods", pod["metadata"]["name"], self.namespace, grace_s=0)
        except NotFound:
            return

    def eventually(self, condition: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        return eventually(condition, timeout_s)

    def play_kubelet(self) -> None:
        """One round: what is not ready becomes ready, what is ending ends."""
        self.end_pods()
        self.make_ready(*(pod for pod in self.pods() if not _is_running(pod)))

    def events(self, reason: str) -> list[str]:
        found = self.items("events")
        return sorted(event["message"] for event in found if event["reason"] == reason)


def _is_running(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running"


class CountingClient:
    """A Client that notes what is written through it, events apart."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self.writes: list[str] = []
        self.refusal: Exception | None = None  # what each create raises, as a quota would

    def with_patience(self, seconds: float) -> Client:
        return self._client.with_patience(seconds)

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._client, name)
        if name not in ("create", "update", "patch", "delete"):
            return function

        def counted(resource: str, about: Any, *args: Any, **options: Any) -> Any:
            shown = about["metadata"].get("name", "") if isinstance(about, dict) else about
            with self._lock:
                self.writes.append(f"{name} {resource} {shown}".strip())
            if name == "create" and self.refusal is not None:
                raise self.refusal
            return function(resource, about, *args, **options)

        return counted
