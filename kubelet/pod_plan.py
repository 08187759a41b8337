"""What to do next for a Pod: from its spec and what has run, to which containers to start. Pure.

Room kubelet; called by pod_sync.py at every look. Init containers run one by one and to their end
before the others; sidecars among them are only waited for until they have started. After a lost
sandbox (the machine was down, the shim died) everything that the restartPolicy lets run begins
anew, init containers first. Ephemeral containers run once.
Source: kubelet `computePodActions`, `computeInitContainerActions` in `pkg/kubelet/kuberuntime`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from kubelet.backoff import Backoff, go_duration
from kubelet.probes.plan import Verdict
from kubelet.runtime.protocol import ContainerStatus

Object = dict[str, Any]

KINDS = ("initContainers", "containers", "ephemeralContainers")  # of containers in a PodSpec
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
        for kind in KINDS
        for container in pod["spec"].get(kind) or ()
    }


def is_sidecar(container: Object) -> bool:
    """An init container that goes on running beside the others (KEP-753)."""
    return container.get("restartPolicy") == "Always"


def container_statuses(status: Object) -> dict[str, Object]:
    """By container name, of all kinds."""
    kinds = ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses")
    return {found["name"]: found for kind in kinds for found in status.get(kind) or ()}


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
    restarting: Collection[str] = (),
) -> Plan:
    """`status` is the newest that was written, `containers` what the runtime has, `verdicts` what
    probes say by container id, `restarting` the ids of those that are to run again whatever the
    restartPolicy says."""
    return _Planner(
        pod, status, containers, has_sandbox=has_sandbox, backoffs=backoffs, now=now,
        verdicts=verdicts or {}, restarting=restarting,
    ).plan()  # fmt: skip


class _Planner:
    def __init__(
        self, pod: Object, status: Object, containers: Sequence[ContainerStatus],
        *, has_sandbox: bool, backoffs: Mapping[str, Backoff], now: float,
        verdicts: Mapping[str, Verdict], restarting: Collection[str],
    ) -> None:  # fmt: skip
        self._pod, self._spec = pod, pod["spec"]
        self._policy = self._spec.get("restartPolicy") or "Always"
        self._containers, self._has_sandbox = containers, has_sandbox
        self._backoffs, self._now, self._verdicts = backoffs, now, verdicts
        self._restarting = restarting
        written = container_statuses(status)
        self._traces = {
            container["name"]: trace(container["name"], containers, written)
            for kind in KINDS
            for container in self._spec.get(kind) or ()
        }
        self._plan = Plan()

    def plan(self) -> Plan:
        mains, has_begun = self._spec["containers"], self._has_begun()
        wanted = [container for container in mains if self._wants_start(container)]
        if not wanted and not any(self._lives(container) for container in mains):
            self._plan.is_over = True
            return self._plan
        is_initialized = self._advance_inits(has_begun=has_begun) or has_begun
        if self._plan.is_over:
            return self._plan
        for container in mains:
            self._kill_if_failed(container, "Container")
        for container in wanted if is_initialized else ():
            self._start_or_wait(container)
        self._start_ephemeral_containers()
        return self._plan

    def _has_begun(self) -> bool:
        """Whether the init containers of this sandbox are done: one of the others was made."""
        names = {container["name"] for container in self._spec["containers"]}
        return self._has_sandbox and any(c.name in names for c in self._containers)

    def _is_here(self, container: Object) -> bool:
        """Whether this sandbox has seen it."""
        found = self._traces[container["name"]]
        return self._has_sandbox and found is not None and found.state != "lost"

    def _lives(self, container: Object) -> bool:
        found = self._traces[container["name"]]
        return self._is_here(container) and found is not None and found.state != "exited"

    def _wants_start(self, container: Object) -> bool:
        found = self._traces[container["name"]]
        if found is None or found.state == "created":
            return True
        if found.state == "running":
            return not self._has_sandbox
        return restarts(self._policy, found.exit_code) or found.id in self._restarting

    def _kill_if_failed(self, container: Object, title: str) -> None:
        found = self._traces[container["name"]]
        if found is None or found.state != "running" or not self._has_sandbox:
            return
        if probe := self._verdicts.get(found.id, Verdict()).failed:
            message = f"{title} {container['name']} failed {probe} probe"
            if title == "Container" and self._policy != "Never":
                message += ", will be restarted"
            self._plan.kills.append(Kill(container, found.id, f"{probe}Probe", message))

    # ---- init containers, and sidecars among them ----

    def _advance_inits(self, *, has_begun: bool) -> bool:
        """Start the init container whose turn it is, and every sidecar that should run and does
        not. True when all have succeeded or, sidecars, have started. Whatever comes before one that
        has begun already had its turn."""
        inits = self._spec.get("initContainers") or ()
        begun = max((i for i, c in enumerate(inits) if self._is_here(c)), default=-1)
        for index, container in enumerate(inits):
            is_in_question = not has_begun and index >= begun
            if is_sidecar(container):
                if not self._keep_running(container) and is_in_question:
                    return False
            elif is_in_question and not self._has_succeeded(container):
                return False
        return True

    def _keep_running(self, container: Object) -> bool:
        """Whether the sidecar has started, which its startup probe and its postStart hook say."""
        found = self._traces[container["name"]]
        if found is None or not self._is_here(container) or found.state != "running":
            self._start_or_wait(container)
            return False
        self._kill_if_failed(container, "Init container")
        return self._verdicts.get(found.id, Verdict()).is_started

    def _has_succeeded(self, container: Object) -> bool:
        found = self._traces[container["name"]]
        if found is None or not self._is_here(container) or found.state == "created":
            self._start_or_wait(container)
            return False
        if found.state == "running":
            return False
        if found.exit_code == 0:
            return True
        if self._policy == "Never":
            self._plan.is_over = True
        else:
            self._start_or_wait(container)
        return False

    # ---- ephemeral containers ----

    def _start_ephemeral_containers(self) -> None:
        """Once each, whatever the others do."""
        for container in self._spec.get("ephemeralContainers") or () if self._has_sandbox else ():
            found = self._traces[container["name"]]
            if found is None or found.state == "created":
                self._start_or_wait(container)

    # ---- one container ----

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
