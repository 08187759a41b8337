"""A Pod's status, worked out from its spec, what was written before and what the runtime has. Pure.

Room kubelet; called by pod_sync.py and pod_end.py.
Source: Kubernetes docs "Pod Lifecycle"; kubelet `getPhase`, `convertToAPIContainerStatuses` and
`pkg/kubelet/status/generate.go`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubelet.environment import host_ip
from kubelet.pod_plan import KILLED, KINDS, container_statuses, is_sidecar, newest, restarts
from kubelet.probes.plan import Verdict
from kubelet.resize import shown_resources
from kubelet.resources import qos_class
from kubelet.runtime.protocol import ContainerStatus, Resources
from kubelet.user_label import shown_user
from kubelet.volume_kinds import is_recursive_read_only
from podium.api import meta

Object = dict[str, Any]

NEVER = "1970-01-01T00:00:00Z"  # what Kubernetes shows for a container that ended before it began
TERMINAL = ("Succeeded", "Failed")
MAX_MESSAGES_BYTES = 12 * 1024  # of all containers of a Pod together
_NEVER_SEEN = {
    "exitCode": KILLED,
    "reason": "ContainerStatusUnknown",
    "message": "The container could not be located when the pod was terminated",
}
_ORDER = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


@dataclass
class Observed:
    """What is to be seen of a Pod on its node.

    `waiting` is (reason, message) of what keeps a container from starting, `image_ids` what it was
    started from, both by container name; `messages` is what ended containers left in their
    termination message file and `verdicts` what probes say, by container id; `starting` are the ids
    of those whose postStart hook is not done. `actual` is what the kernel has, by container id, and
    `resize` how far a resize is. `is_ended`: it is deleted, or over, and nothing will start again.
    """

    containers: Sequence[ContainerStatus] = ()
    has_sandbox: bool = False
    pod_ip: str = ""
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    image_ids: Mapping[str, str] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    starting: Collection[str] = ()
    actual: Mapping[str, Resources] = field(default_factory=dict)
    resize: str = ""
    is_ended: bool = False
    has_recursive_read_only: bool = True  # the engine


def is_terminal(status: Object | None) -> bool:
    return (status or {}).get("phase") in TERMINAL


def compute(pod: Object, old: Object, observed: Observed, node: Object, now: str) -> Object:
    """The whole status; `old` is the last one, whose times go on."""
    inits, mains, ephemerals = _container_statuses(pod, old, observed)
    node_ip = host_ip(node)
    status: Object = {
        "phase": _phase(pod, old, inits, mains, observed),
        "conditions": [dict(condition) for condition in old.get("conditions") or ()],
        "hostIP": node_ip,
        "hostIPs": [{"ip": node_ip}],
        "startTime": old.get("startTime") or now,
        "containerStatuses": mains,
        "qosClass": old.get("qosClass") or qos_class(pod),
    }
    if inits:
        status["initContainerStatuses"] = inits
    if ephemerals:
        status["ephemeralContainerStatuses"] = ephemerals
    for name in ("reason", "message"):
        if is_terminal(old) and old.get(name):
            status[name] = old[name]
    if observed.resize or old.get("resize"):
        status["resize"] = observed.resize or None
    pod_ip = observed.pod_ip or old.get("podIP")
    if pod_ip:
        status |= {"podIP": pod_ip, "podIPs": [{"ip": pod_ip}]}
    _set_conditions(pod, status, observed, now)
    return status


def failed(pod: Object, old: Object, reason: str, message: str, now: str) -> Object:
    """A Pod that this node has turned away."""
    return {
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "startTime": old.get("startTime") or now,
        "qosClass": qos_class(pod),
    }


# ---- one container ------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Subject:
    """One container of a Pod's `kind` of containers; `old` is its last status."""

    pod: Object
    container: Object
    kind: str
    observed: Observed
    old: Object

    @property
    def is_init(self) -> bool:
        """One that runs to its end before the others begin."""
        return self.kind == "initContainers" and not is_sidecar(self.container)

    @property
    def policy(self) -> str:
        if self.kind == "ephemeralContainers":
            return "Never"
        return "Always" if is_sidecar(self.container) else _policy_of(self.pod["spec"])

    @property
    def waiting(self) -> Object:
        """The state of one that is to be started."""
        default = "PodInitializing" if self.pod["spec"].get("initContainers") else ""
        known = self.observed.waiting.get(self.container["name"])
        return _waiting(*(known or (default or "ContainerCreating", "")))


def _policy_of(spec: Object) -> str:
    return str(spec.get("restartPolicy") or "Always")


def _container_statuses(
    pod: Object, old: Object, observed: Observed
) -> tuple[list[Object], list[Object], list[Object]]:
    """Of init containers, containers and ephemeral containers, in the spec's order."""
    written = container_statuses(old)

    def of(kind: str) -> list[Object]:
        return [
            _container(_Subject(pod, one, kind, observed, written.get(one["name"]) or {}))
            for one in pod["spec"].get(kind) or ()
        ]

    inits, mains, ephemerals = of("initContainers"), of("containers"), of("ephemeralContainers")
    if observed.is_ended and _was_initialized(inits, mains):
        for status in mains:
            if "waiting" in status["state"]:
                status["state"] = {"terminated": dict(_NEVER_SEEN)}
    return inits, mains, ephemerals


def _was_initialized(inits: list[Object], mains: list[Object]) -> bool:
    """Whether the containers had their turn: what is not seen of one then is a failure."""
    if not inits or any("waiting" not in s["state"] or _last_ended(s) for s in mains):
        return True
    return bool(inits[-1]["started"]) or _exit_code(inits[-1]) == 0


def _container(subject: _Subject) -> Object:
    container, old = subject.container, subject.old
    name = container["name"]
    status: Object = {
        "name": name,
        "image": container["image"],
        "imageID": subject.observed.image_ids.get(name) or old.get("imageID") or "",
        "ready": False,
        "restartCount": old.get("restartCount", 0),
        "state": {},
        "lastState": {},
        "started": False,
    }
    mounts = [
        _mount(mount, subject.observed.has_recursive_read_only)
        for mount in container.get("volumeMounts") or ()
    ]
    if mounts:
        status["volumeMounts"] = mounts
    current = newest(subject.observed.containers, name)
    if current is None:
        _fill_from_memory(subject, status)
    else:
        _fill_from_runtime(subject, status, current)
    if requests := (container.get("resources") or {}).get("requests"):
        status["allocatedResources"] = requests
    actual = subject.observed.actual.get(current.id) if current else None
    status["resources"] = shown_resources(container, actual)
    if subject.is_init:
        status["ready"] = _exit_code(status) == 0
    if subject.kind == "ephemeralContainers":  # nobody asks whether they are ready
        status["ready"] = False
        del status["started"]
    _shorten_messages(subject.pod, status)
    return status


def _shorten_messages(pod: Object, status: Object) -> None:
    """So that the messages of all containers together fit."""
    most = MAX_MESSAGES_BYTES // sum(len(pod["spec"].get(kind) or ()) for kind in KINDS)
    for state in ("state", "lastState"):
        ended = status[state].get("terminated")
        if ended and len((ended.get("message") or "").encode()) > most:
            short = ended["message"].encode()[:most].decode(errors="ignore")
            status[state] = {"terminated": ended | {"message": short}}


def _mount(mount: Object, has_recursive_read_only: bool) -> Object:
    shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        is_recursive = is_recursive_read_only(mount, has_recursive_read_only)
        shown |= {"readOnly": True, "recursiveReadOnly": "Enabled" if is_recursive else "Disabled"}
    return shown


def _fill_from_runtime(subject: _Subject, status: Object, current: ContainerStatus) -> None:
    observed = subject.observed
    status["restartCount"] = current.attempt
    status["containerID"] = f"{current.engine}://{current.id}"
    status["lastState"] = _last_state(observed, subject.old, current)
    if user := shown_user(current.labels):
        status["user"] = user
    if current.state == "running" and current.id not in observed.starting:
        status["state"] = {"running": {"startedAt": _time(current.started_at)}}
        verdict = observed.verdicts.get(current.id, Verdict())
        status["started"], status["ready"] = verdict.is_started, verdict.is_ready
    elif current.state == "exited":
        ended = {"terminated": _terminated(current, observed.messages.get(current.id, ""))}
        if current.name in observed.waiting and not observed.is_ended:
            status["state"], status["lastState"] = {"waiting": subject.waiting}, ended
        else:
            status["state"] = ended
    else:
        status["state"] = {"waiting": subject.waiting}


def _last_state(observed: Observed, old: Object, current: ContainerStatus) -> Object:
    earlier = [c for c in observed.containers if c.name == current.name and c is not current]
    before = max(earlier, key=lambda c: c.attempt, default=None)
    if before is not None and before.state == "exited":
        return {"terminated": _terminated(before, observed.messages.get(before.id, ""))}
    if old.get("restartCount", 0) == current.attempt:
        return old.get("lastState") or {}
    if old.get("restartCount", 0) > current.attempt or not old.get("containerID"):
        return {}
    ended = _ended(old) or (_lost(old, observed) if _was_running(old) else _last_ended(old))
    return {"terminated": ended} if ended else {}


def _fill_from_memory(subject: _Subject, status: Object) -> None:
    """Nothing there: not started yet, or gone with its sandbox."""
    observed, old = subject.observed, subject.old
    ended = _ended(old) or (_lost(old, observed) if _was_running(old) else None)
    is_to_run_again = subject.is_init and not observed.is_ended and not observed.has_sandbox
    comes_back = ended is not None and restarts(subject.policy, ended["exitCode"])
    if ended is not None and (observed.is_ended or not (comes_back or is_to_run_again)):
        status["state"] = {"terminated": ended}
        status["lastState"] = old.get("lastState") or {}
        status["containerID"] = old.get("containerID", "")
        return
    if old.get("containerID"):
        status["containerID"] = old["containerID"]
    status["lastState"] = {"terminated": ended} if ended else old.get("lastState") or {}
    status["state"] = {"waiting": subject.waiting}


def _lost(old: Object, observed: Observed) -> Object:
    """When it ended nobody knows: kubectl would show a time of 0 as 56 years ago."""
    when = "terminated" if observed.is_ended else "deleted"
    message = f"The container could not be located when the pod was {when}"
    if not observed.is_ended:
        message += ".  The container used to be Running"
    return {
        "exitCode": KILLED,
        "reason": "ContainerStatusUnknown",
        "message": message,
        "startedAt": old["state"]["running"].get("startedAt") or NEVER,
        "containerID": old.get("containerID", ""),
    }


def _was_running(status: Object) -> bool:
    return bool((status.get("state") or {}).get("running"))


def _ended(status: Object) -> Object | None:
    found: Object | None = (status.get("state") or {}).get("terminated")
    return found


def _terminated(c: ContainerStatus, message: str) -> Object:
    ended: Object = {
        "exitCode": c.exit_code,
        "reason": c.reason or ("Error" if c.exit_code else "Completed"),
        "startedAt": _time(c.started_at) if c.started_at else NEVER,
        "finishedAt": _time(c.finished_at) if c.finished_at else NEVER,
        "containerID": f"{c.engine}://{c.id}",
    }
    if c.message or message:
        ended["message"] = ": ".join(text for text in (c.message, message) if text)
    return ended


def _waiting(reason: str, message: str) -> Object:
    return {"reason": reason, "message": message} if message else {"reason": reason}


def _time(seconds: float) -> str:
    return meta.now(datetime.fromtimestamp(seconds, UTC))


# ---- the whole Pod ------------------------------------------------------------------------------


def _phase(
    pod: Object, old: Object, inits: list[Object], mains: list[Object], observed: Observed
) -> str:
    if is_terminal(old):
        return str(old["phase"])
    found = _phase_now(pod["spec"], inits, mains, is_ended=observed.is_ended)
    return "Failed" if observed.is_ended and found not in TERMINAL else found


def _phase_now(spec: Object, inits: list[Object], mains: list[Object], *, is_ended: bool) -> str:
    policy, has_begun = _policy_of(spec), any(_has_run(s) for s in mains)
    sidecars = _sidecars(spec)
    ordinary = [s for s in inits if s["name"] not in sidecars]
    beside = [s for s in inits if s["name"] in sidecars]
    if policy == "Never" and any(_exit_code(status) for status in ordinary):
        return "Failed"
    if any(_holds_up(status) for status in ordinary):
        return "Pending"
    if not has_begun and any(_is_new(s) or not _has_started(s) for s in beside):
        return "Pending"
    if any(_is_new(status) for status in [*beside, *mains]):
        return "Pending"
    if any("running" in status["state"] for status in [*beside, *mains]):
        return "Running"
    return _phase_of_stopped(policy, mains, is_ended=is_ended)


def _phase_of_stopped(policy: str, mains: list[Object], *, is_ended: bool) -> str:
    if policy == "Always" and not is_ended:
        return "Running"
    if all(_exit_code(status) == 0 for status in mains):
        return "Succeeded"
    return "Failed" if policy == "Never" or is_ended else "Running"


def _sidecars(spec: Object) -> set[str]:
    return {c["name"] for c in spec.get("initContainers") or () if is_sidecar(c)}


def _holds_up(init: Object) -> bool:
    """An init container that the others wait for; one that has failed shows as waiting."""
    if _ended(init):
        return False
    last = _last_ended(init)
    return "running" in init["state"] or last is None or last["exitCode"] != 0


def _has_started(sidecar: Object) -> bool:
    return bool(sidecar["started"]) or "running" not in sidecar["state"]


def _is_new(status: Object) -> bool:
    """It waits, and never ran."""
    return "waiting" in status["state"] and not _last_ended(status)


def _has_run(status: Object) -> bool:
    return "running" in status["state"] or bool(_ended(status) or _last_ended(status))


def _last_ended(status: Object) -> Object | None:
    found: Object | None = (status.get("lastState") or {}).get("terminated")
    return found


def _exit_code(status: Object) -> int | None:
    ended = _ended(status)
    return None if ended is None else int(ended["exitCode"])


def _set_conditions(pod: Object, status: Object, observed: Observed, now: str) -> None:
    has_sandbox = "True" if observed.has_sandbox else "False"
    meta.set_condition(status, "PodReadyToStartContainers", has_sandbox, now=now)
    is_initialized, reason, message = _initialized(pod["spec"], status)
    meta.set_condition(
        status, "Initialized", "True" if is_initialized else "False", reason, message, now
    )
    reason, message = _why_not_ready(pod["spec"], status)
    meta.set_condition(status, "ContainersReady", _not(reason), reason, message, now)
    if not reason and (message := _closed_gates(pod, status)):
        reason = "ReadinessGatesNotReady"
    meta.set_condition(status, "Ready", _not(reason), reason, message, now)
    if not any(c["type"] == "PodScheduled" for c in status["conditions"]):
        meta.set_condition(status, "PodScheduled", "True", now=now)
    status["conditions"].sort(key=_place)  # stable: those of others stay in their order, first


def _place(condition: Object) -> int:
    return _ORDER.index(condition["type"]) if condition["type"] in _ORDER else -1


def _initialized(spec: Object, status: Object) -> tuple[bool, str, str]:
    """Whether it is, reason, message."""
    inits, sidecars = status.get("initContainerStatuses") or (), _sidecars(spec)
    if status["phase"] == "Succeeded":
        return True, "PodCompleted", ""
    incomplete = [
        s["name"] for s in inits if not s["started" if s["name"] in sidecars else "ready"]
    ]
    if not incomplete or any(_has_run(s) for s in status["containerStatuses"]):
        return True, "", ""
    message = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return False, "ContainersNotInitialized", message


def _why_not_ready(spec: Object, status: Object) -> tuple[str, str]:
    """("", "") when all containers are."""
    if status["phase"] == "Succeeded":
        return "PodCompleted", ""
    if status["phase"] == "Failed":
        return "PodFailed", ""
    sidecars = _sidecars(spec)
    beside = [s for s in status.get("initContainerStatuses") or () if s["name"] in sidecars]
    unready = [s["name"] for s in [*beside, *status["containerStatuses"]] if not s["ready"]]
    if not unready:
        return "", ""
    return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"


def _closed_gates(pod: Object, status: Object) -> str:
    """What keeps a Pod with ready containers from being ready; "" for nothing."""
    found = {c["type"]: c["status"] for c in status["conditions"]}
    messages = []
    for gate in pod["spec"].get("readinessGates") or ():
        name = gate["conditionType"]
        if name not in found:
            messages.append(
                f'corresponding condition of pod readiness gate "{name}" does not exist.'
            )
        elif found[name] != "True":
            about = f'the status of pod readiness gate "{name}" is not "True"'
            messages.append(f"{about}, but {found[name]}")
    return ", ".join(messages)


def _not(reason: str) -> str:
    return "False" if reason else "True"
