"""Controllers in this process against the real API server, with a clock of the test's choice.

with running(server, NamespaceController) as room:
    room.client.delete("namespaces", "lab")
    eventually(lambda: room.find("namespaces", "lab") is None)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from podium.client.clock import Clock, SystemClock
from podium.client.errors import NotFound
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from tests.support.api_server import ApiServerProcess
from tests.support.builders import unstored
from tests.support.waiting import PATIENCE, eventually

Object = dict[str, Any]
SYNC_S = 10.0 * PATIENCE


class Room:
    """What a test asks and does; `controllers` are those that run, in the order given."""

    def __init__(self, server: ApiServerProcess, clock: Clock) -> None:
        self.client = server.client()
        self.clock = clock
        self.controllers: list[Any] = []

    def create(self, res: str, obj: Object, namespace: str | None = None) -> Object:
        """A builder's object, as one would send it; a kubelet sends its Node with a status."""
        sent = unstored(obj)
        if obj["kind"] == "Node":
            sent["status"] = obj["status"]
        return self.client.create(res, sent, namespace)

    def find(self, res: str, name: str, namespace: str | None = None) -> Object | None:
        try:
            return self.client.get(res, name, namespace)
        except NotFound:
            return None

    def list(self, res: str, namespace: str | None = None) -> list[Object]:
        return list(self.client.list(res, namespace)["items"])

    def set_status(self, res: str, obj: Object, status: Object) -> Object:
        """As its kubelet or controller would."""
        about = obj["metadata"]
        return self.client.patch(
            res, about["name"], about.get("namespace"), {"status": status}, subresource="status"
        )

    def events(self, namespace: str, reason: str) -> list[str]:
        found = self.client.list("events", namespace, field_selector=f"reason={reason}")
        return [event["message"] for event in found["items"]]

    def revision(self) -> str:
        """It moves with every write to the cluster, whatever was written."""
        return str(self.client.list("nodes")["metadata"]["resourceVersion"])


@contextmanager
def running(
    server: ApiServerProcess, *kinds: Any, clock: Clock | None = None, **options: Any
) -> Iterator[Room]:
    """The controllers run until the end; `options` go to all of their constructors."""
    room = Room(server, clock or SystemClock())
    recorders: list[EventRecorder] = []
    factories: dict[str, InformerFactory] = {}

    def client_of(kind: Any) -> Client:
        return server.client("scheduler" if kind.name == "scheduler" else "controllers")

    for kind in kinds:
        client = client_of(kind)
        factory = factories.setdefault(client.config.server + kind.name, InformerFactory(client))
        recorder = EventRecorder(client, kind.component)
        recorders.append(recorder)
        room.controllers.append(kind(client, factory, recorder, room.clock, **options))
    try:
        for factory in factories.values():
            factory.start()
            assert factory.wait_synced(SYNC_S)
        for controller in room.controllers:
            controller.start()
        yield room
    finally:
        for stoppable in (*room.controllers, *recorders, *factories.values()):
            stoppable.stop()


def clean(server: ApiServerProcess, *kinds: str) -> None:
    """Remove all objects of these kinds, whatever holds them."""
    client = server.client()
    for kind in kinds:
        for obj in client.list(kind)["items"]:
            about = obj["metadata"]
            namespace, name = about.get("namespace"), about["name"]
            try:
                if about.get("finalizers"):
                    client.patch(kind, name, namespace, {"metadata": {"finalizers": None}})
                client.delete(kind, name, namespace, grace_s=0, propagation="Background")
            except NotFound:
                continue
        eventually(lambda kind=kind: not client.list(kind)["items"])  # type: ignore[misc]
