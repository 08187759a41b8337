"""Containers that begin and end because a clock says so. Room kubelet/simulated; one Pod's, used by
one thread at a time."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from typing import Any

from kubelet.backoff import Backoff
from kubelet.pod_plan import Start, is_sidecar
from kubelet.runtime.protocol import ContainerStatus
from kubelet.simulated.wishes import INIT_RUNS_FOR_S, Wishes

Object = dict[str, Any]

STOPPED = 143  # exit code of a container that obeys SIGTERM
ENGINE = "simulated"


@dataclass
class Containers:
    """`ends_at` is when a running one will end, and with which exit code."""

    pod_ip: str
    found: dict[str, ContainerStatus] = field(default_factory=dict)
    ends_at: dict[str, tuple[float, int]] = field(default_factory=dict)
    backoffs: dict[str, Backoff] = field(default_factory=dict)

    def start(self, pod: Object, start: Start, wishes: Wishes, now: float) -> None:
        """Run a container from now on."""
        name, container_id = start.container["name"], secrets.token_hex(32)
        if start.failed_at is not None:
            self.backoffs.setdefault(name, Backoff()).tried(start.failed_at, now)
        self.found[container_id] = ContainerStatus(
            id=container_id, sandbox_id=pod["metadata"]["uid"], name=name, attempt=start.attempt,
            state="running", pid=0, created_at=now, started_at=now, finished_at=0.0, exit_code=0,
            reason="", message="", log_path="", labels={}, engine=ENGINE,
        )  # fmt: skip
        if _is_init(pod, name):
            if not is_sidecar(start.container):
                self.ends_at[container_id] = (now + INIT_RUNS_FOR_S, 0)
        elif wishes.exit_code is not None:
            self.ends_at[container_id] = (now + wishes.run_for_s, wishes.exit_code)

    def end_what_is_due(self, now: float) -> None:
        for container_id, (at, code) in list(self.ends_at.items()):
            if at <= now:
                self._end(container_id, code, now)

    def stop(self, now: float) -> None:
        """All of them."""
        for container_id, status in list(self.found.items()):
            if status.state == "running":
                self._end(container_id, STOPPED, now)

    def next_end_s(self, now: float) -> float | None:
        """Seconds until the next one ends; None: none will by itself."""
        ends = [at - now for at, _ in self.ends_at.values()]
        return max(0.0, min(ends)) if ends else None

    def _end(self, container_id: str, code: int, now: float) -> None:
        self.ends_at.pop(container_id, None)
        self.found[container_id] = replace(
            self.found[container_id], state="exited", exit_code=code, finished_at=now,
            reason="Error" if code else "Completed",
        )  # fmt: skip
        name = self.found[container_id].name
        old = [c for c in self.found.values() if c.name == name and c.state == "exited"]
        for forgotten in sorted(old, key=lambda c: c.attempt)[:-2]:  # two tell all a status shows
            del self.found[forgotten.id]


def _is_init(pod: Object, name: str) -> bool:
    return any(c["name"] == name for c in pod["spec"].get("initContainers") or ())
