"""Room podium/lessons: what a lesson's check sees, the API and the kernel behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from podium.client.errors import NotFound
from podium.client.http import Client
from podium.lessons import kernel
from podium.lessons.kernel import Process

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check. `hint` says what to do if it does not hold."""

    what: str
    holds: bool
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened, as the letter that predicts it, and why."""

    answer: str
    because: str


class Missing(Exception):
    """Something without which a check cannot go on."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class NotRoot(PermissionError):
    """The kernel does not show us what it would show root."""


class World:
    """A lesson's namespace. `components`: pids of the cluster's own processes, as far as known."""

    def __init__(self, client: Client, namespace: str, components: Mapping[str, int]) -> None:
        self.client = client
        self.namespace = namespace
        self.components = components

    # --- the API --------------------------------------------------------------------------------

    def get(self, resource: str, name: str) -> Object:
        """An object of the lesson; raises Missing."""
        try:
            return self.client.get(resource, name, self.namespace)
        except NotFound:
            singular = resource.partition(".")[0].removesuffix("s")
            raise Missing(
                f'there is a {singular} "{name}" in {self.namespace}',
                "make it as the lesson says",
            ) from None

    def pod(self, name: str) -> Object:
        return self.get("pods", name)

    def all(self, resource: str, selector: str | None = None) -> list[Object]:
        """The lesson's objects of a kind."""
        found = self.client.list(resource, self.namespace, label_selector=selector)
        return list(found["items"])

    def events(self, name: str, reason: str) -> list[Object]:
        """The events about an object of the lesson with a reason."""
        about = f"involvedObject.name={name},reason={reason}"
        found = self.client.list("events", self.namespace, field_selector=about)
        return list(found["items"])

    def history(self, resource: str, name: str, namespace: str | None = "") -> list[Object]:
        """An object's changes, newest first (docs/see-inside/time-travel.md); of the lesson's
        namespace, or of None."""
        where = self.namespace if namespace == "" else "-"
        path = f"/podium/v1/history/{resource}/{where}/{name}"
        found = self.client.raw("GET", path, query={"size": 1000}).json()["items"]
        return list(found)

    # --- the kernel -----------------------------------------------------------------------------

    def process(self, pod: Object, container: str | None = None) -> Process:
        """The first process of a Pod's container (of its only one); raises Missing, NotRoot."""
        require_root()
        status = container_status(pod, container)
        container_id = status.get("containerID", "").partition("://")[2]
        found = kernel.first_process(container_id) if container_id else None
        if found is None:
            name = pod["metadata"]["name"]
            raise Missing(
                f"a process of the Pod {name} runs on this machine",
                f"look with: kubectl -n {self.namespace} describe pod {name}",
            )
        return found

    def component(self, name: str) -> Process:
        """One of the cluster's own processes."""
        pid = self.components.get(name)
        if not pid:
            raise Missing(f"the {name} runs on this machine", "look with: podium status")
        return Process(pid)


def require_root() -> None:
    """Raises NotRoot unless the kernel will show everything."""
    if os.geteuid() != 0:
        raise NotRoot("this lesson's check reads /proc and cgroups: run it as root, on the node")


def container_status(pod: Object, container: str | None = None) -> Object:
    """A container's status; empty while there is none."""
    statuses: list[Object] = (pod.get("status") or {}).get("containerStatuses") or []
    return next((one for one in statuses if container in (None, one["name"])), {})


def last_end(pod: Object, container: str | None = None) -> Object:
    """How a container ended before it was started again: {"exitCode": 137, "reason": …}."""
    ended: Object = (container_status(pod, container).get("lastState") or {}).get("terminated", {})
    return ended
