"""What to do next for a Pod: from its spec and what has run, to which containers to start. Pure.

Room kubelet; called by pod_sync.py at every look. Init containers run one by one and to their end
before the others; after a lost sandbox (the machine was down, the shim died) everything that the
restartPolicy lets run begins anew, init containers first.
Source: kubelet `computePodActions` in `pkg/kubelet/kuberuntime`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from kubelet.backoff import Backoff, go_duration
from kubelet.probes.plan import Verdict
from kubelet.runtime.protocol import ContainerStatus

Object = dict[str, Any]

KILLED = 137  # exit code of a container that vanished while it ran


@dataclass(frozen=True)
class Trace:
    """The newest instance of a container: what the runtime says, or, once the runtime has lost it,
    what the status says that there was ("lost")."""

    attempt: int
    state: Literal["created", "running", "exited", "lost"]
    exit_code: int
    finished_at: float  # seconds since the epoch; 0.0 = not known
    id: str = ""


@dataclass(frozen=True)
class Start:
    """A container to start. `created_id`: made by a life before this one, still to be started.
    `failed_at`: when its predecessor ended, None for the first."""

    container: Object
    attempt: int
    created_id: str = ""
    failed_at: float | None = None


@dataclass(frozen=True)
class Kill:
    """A container to end because a probe says so; `probe` ("livenessProbe") may have a grace period
    of its own."""

    container: Object
    id: str
    probe: str
    message: str


@dataclass
class Plan:
    """`waiting` is (reason, message) by container name; `again_s` when to look again."""

    starts: list[Start] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    again_s: float | None = None
    is_over: bool = False  # nothing runs, and nothing will


def newest(containers: Sequence[ContainerStatus], name: str) -> ContainerStatus | None:
    """The runtime's latest instance of a container."""
    return max((c for c in containers if c.name == name), key=lambda c: c.attempt, default=None)


def specs_by_name(pod: Object) -> dict[str, tuple[str, Object]]:
    """(field path, container) of every container: "spec.initContainers{db}"."""
    return {
        container["name"]: (f"spec.{kind}{{{container['name']}}}", container)
        for kind in ("initContainers", "containers")
        for container in pod["spec"].get(kind) or ()
    }


def container_statuses(status: Object) -> dict[str, Object]:
    """By container name, init containers as well."""
    both = (status.get("initContainerStatuses") or (), status.get("containerStatuses") or ())
    return {found["name"]: found for one in both for found in one}


def trace(
    name: str, containers: Sequence[ContainerStatus], written: Mapping[str, Object]
) -> Trace | None:
    """None: it never ran."""
    found = newest(containers, name)
    if found is not None:
        return Trace(found.attempt, found.state, found.exit_code, found.finished_at, found.id)
    old = written.get(name)
    if old is None or not old.get("containerID"):
        return None
    ended = (old.get("state") or {}).get("terminated")
    if ended is None and not (old.get("state") or {}).get("running"):
        ended = (old.get("lastState") or {}).get("terminated")
    if ended is None:
        return Trace(old.get("restartCount", 0), "lost", KILLED, 0.0)
    return Trace(old.get("restartCount", 0), "lost", ended["exitCode"], _seconds(ended))


def _seconds(ended: Object) -> float:
    text = ended.get("finishedAt")
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else 0.0


def restarts(policy: str, exit_code: int) -> bool:
    """Whether the restartPolicy brings back what ended so."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def make_plan(
    pod: Object,
    status: Object,
    containers: Sequence[ContainerStatus],
    *,
    has_sandbox: bool,
    backoffs: Mapping[str, Backoff],
    now: float,
    verdicts: Mapping[str, Verdict] | None = None,
) -> Plan:
    """`status` is the newest that was written, `containers` what the runtime has, `verdicts` what
    probes say by container id."""
    return _Planner(
        pod, status, containers, has_sandbox=has_sandbox, backoffs=backoffs, now=now,
        verdicts=verdicts or {},
    ).plan()  # fmt: skip


class _Planner:
    def __init__(
        self, pod: Object, status: Object, containers: Sequence[ContainerStatus],
        *, has_sandbox: bool, backoffs: Mapping[str, Backoff], now: float,
        verdicts: Mapping[str, Verdict],
    ) -> None:  # fmt: skip
        self._pod, self._spec = pod, pod["spec"]
        self._policy = self._spec.get("restartPolicy") or "Always"
        self._containers, self._has_sandbox = containers, has_sandbox
        self._backoffs, self._now, self._verdicts = backoffs, now, verdicts
        written = container_statuses(status)
        self._traces = {
            container["name"]: trace(container["name"], containers, written)
            for field in ("initContainers", "containers")
            for container in self._spec.get(field) or ()
        }
        self._plan = Plan()

    def plan(self) -> Plan:
        for container in self._spec["containers"]:
            self._kill_if_failed(container)
        wanted = [c for c in self._spec["containers"] if self._wants_start(c)]
        if not wanted and not any(self._lives(c) for c in self._spec["containers"]):
            self._plan.is_over = True
        elif self._has_begun() or self._are_inits_done():
            for container in wanted:
                self._start_or_wait(container)
        return self._plan

    def _kill_if_failed(self, container: Object) -> None:
        found = self._traces[container["name"]]
        if found is None or found.state != "running":
            return
        if probe := self._verdicts.get(found.id, Verdict()).failed:
            message = f"Container {container['name']} failed {probe} probe"
            message += "" if self._policy == "Never" else ", will be restarted"
            self._plan.kills.append(Kill(container, found.id, f"{probe}Probe", message))

    def _has_begun(self) -> bool:
        """Whether the init containers of this sandbox are done: one of the others was made."""
        names = {container["name"] for container in self._spec["containers"]}
        return self._has_sandbox and any(c.name in names for c in self._containers)

    def _lives(self, container: Object) -> bool:
        found = self._traces[container["name"]]
        return self._has_sandbox and found is not None and found.state in ("created", "running")

    def _wants_start(self, container: Object) -> bool:
        found = self._traces[container["name"]]
        if found is None or found.state == "created":
            return True
        if found.state == "running":
            return not self._has_sandbox
        return restarts(self._policy, found.exit_code)

    def _are_inits_done(self) -> bool:
        """Start the init container whose turn it is, if none runs; True when all have succeeded."""
        for container in self._spec.get("initContainers") or ():
            found = self._traces[container["name"]]
            is_here = self._has_sandbox and found is not None and found.state != "lost"
            if found is None or not is_here or found.state == "created":
                self._start_or_wait(container)
                return False
            if found.state == "running":
                return False
            if found.exit_code != 0:
                if self._policy == "Never":
                    self._plan.is_over = True
                else:
                    self._start_or_wait(container)
                return False
        return True

    def _start_or_wait(self, container: Object) -> None:
        name, plan = container["name"], self._plan
        found = self._traces[name]
        if found is None:
            plan.starts.append(Start(container, 0))
        elif found.state == "created" and self._has_sandbox:
            plan.starts.append(Start(container, found.attempt, created_id=found.id))
        elif self._has_sandbox and (wait_s := self._wait_s(name, found)) > 0:
            plan.waiting[name] = ("CrashLoopBackOff", self._backing_off(name))
            plan.again_s = wait_s if plan.again_s is None else min(wait_s, plan.again_s)
        else:
            plan.starts.append(Start(container, found.attempt + 1, failed_at=found.finished_at))

    def _wait_s(self, name: str, found: Trace) -> float:
        backoff = self._backoffs.get(name)
        if backoff is None or found.state == "lost":
            return 0.0
        return backoff.due(found.finished_at) - self._now

    def _backing_off(self, name: str) -> str:
        about = self._pod["metadata"]
        return (
            f"back-off {go_duration(self._backoffs[name].delay_s)} restarting failed container="
            f"{name} pod={about['name']}_{about['namespace']}({about['uid']})"
        )
