"""What a Pod's start consists of, as spans of the causal trace. Room kubelet; used by pod_sync.py.

A look at a Pod repeats what is done already; told is only what was done the first time: image,
sandbox, network, volumes, and of each container create, start and its process, at last ready. A
process has a span whose id is the first half of its container's id, so that a kubelet that adopts
what another life of it has started tells of the same process, not of a second one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kubelet.runtime.protocol import ContainerStatus
from podium.api.trace_context import now_us
from podium.client import tracing

Object = dict[str, Any]


class PodTrace:
    """Of one Pod, in one life of the kubelet. Used by one thread at a time."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._began_us: dict[str, int] = {}

    @contextmanager
    def once(self, name: str, **attributes: Any) -> Iterator[dict[str, Any]]:
        """A phase that counts when it succeeds for the first time; from its first try on."""
        which = f"{name} {attributes.get('container', '')} {attributes.get('attempt', '')}"
        if which in self._told:
            yield {}
            return
        began_us = self._began_us.setdefault(which, now_us())
        with tracing.within_phase() as span_id:
            yield attributes
        self._told.add(which)
        self._began_us.pop(which, None)
        tracing.tell_phase(name, began_us, now_us(), attributes, span_id=span_id)

    def new_sandbox(self) -> None:
        """The old one is lost: everything is done again."""
        self._told.clear()

    def running(self, container: ContainerStatus) -> None:
        """A container's process, once."""
        if container.id in self._told or not container.started_at:
            return
        self._told.add(container.id)
        at_us = int(container.started_at * 1e6)
        ended_us = int(container.finished_at * 1e6) or at_us
        attributes = {
            "container": container.name, "pid": container.pid, "attempt": container.attempt,
            "containerID": f"{container.engine}://{container.id}",
        }  # fmt: skip
        tracing.tell_phase(
            "process", at_us, ended_us, attributes, kind="process", span_id=container.id[:16]
        )

    def ready(self, old: Object, new: Object, containers: list[ContainerStatus]) -> None:
        """The status that is about to be written says for the first time that the Pod is Ready."""
        if "ready" in self._told or not _is_ready(new):
            return
        self._told.add("ready")
        if _is_ready(old):
            return  # an earlier life of the kubelet has told
        started = [int(c.started_at * 1e6) for c in containers if c.started_at]
        now = now_us()
        tracing.tell_phase("ready", min(max(started, default=now), now), now, {})


def step(name: str, began_s: float, ended_s: float) -> None:
    """What the runtime did within a call of this thread: a part of the phase under way."""
    tracing.tell_phase(name, int(began_s * 1e6), int(ended_s * 1e6), {"isPartOf": "container"})


def _is_ready(status: Object) -> bool:
    return any(
        condition["type"] == "Ready" and condition["status"] == "True"
        for condition in status.get("conditions") or ()
    )
