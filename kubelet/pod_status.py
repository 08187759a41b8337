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
from kubelet.pod_plan import KILLED, container_statuses, newest, restarts
from kubelet.probes.plan import Verdict
from kubelet.resources import qos_class
from kubelet.runtime.protocol import ContainerStatus
from kubelet.user_label import shown_user
from podium.api import meta

Object = dict[str, Any]

NEVER = "1970-01-01T00:00:00Z"  # what Kubernetes shows for a container that ended before it began
TERMINAL = ("Succeeded", "Failed")


@dataclass
class Observed:
    """What is to be seen of a Pod on its node.

    `waiting` is (reason, message) of what keeps a container from starting, `image_ids` what it was
    started from, both by container name; `messages` is what ended containers left in their
    termination message file and `verdicts` what probes say, by container id; `starting` are the ids
    of those whose postStart hook is not done. `is_ended`: it is deleted, or over, and nothing will
    start again.
    """

    containers: Sequence[ContainerStatus] = ()
    has_sandbox: bool = False
    pod_ip: str = ""
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    image_ids: Mapping[str, str] = field(default_factory=dict)
    messages: Mapping[str, str] = field(default_factory=dict)
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    starting: Collection[str] = ()
    is_ended: bool = False


def is_terminal(status: Object | None) -> bool:
    return (status or {}).get("phase") in TERMINAL


def compute(pod: Object, old: Object, observed: Observed, node: Object, now: str) -> Object:
    """The whole status; `old` is the last one, whose times go on."""
    spec, written = pod["spec"], container_statuses(old)
    inits = [
        _container(pod, c, observed, written.get(c["name"]), is_init=True)
        for c in spec.get("initContainers") or ()
    ]
    mains = [
        _container(pod, c, observed, written.get(c["name"]), is_init=False)
        for c in spec["containers"]
    ]
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
    for name in ("reason", "message"):
        if is_terminal(old) and old.get(name):
            status[name] = old[name]
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


def _container(
    pod: Object, container: Object, observed: Observed, old: Object | None, *, is_init: bool
) -> Object:
    name, old = container["name"], old or {}
    status: Object = {
        "name": name,
        "image": container["image"],
        "imageID": observed.image_ids.get(name) or old.get("imageID") or "",
        "ready": False,
        "restartCount": old.get("restartCount", 0),
        "state": {},
        "lastState": {},
        "started": False,
    }
    mounts = [_mount(mount) for mount in container.get("volumeMounts") or ()]
    if mounts:
        status["volumeMounts"] = mounts
    current = newest(observed.containers, name)
    if current is None:
        _fill_from_memory(pod, status, observed, old, is_init=is_init)
    else:
        _fill_from_runtime(status, observed, old, current, is_init=is_init)
    return status


def _mount(mount: Object) -> Object:
    shown: Object = {"name": mount["name"], "mountPath": mount["mountPath"]}
    if mount.get("readOnly"):
        shown |= {"readOnly": True, "recursiveReadOnly": "Disabled"}
    return shown


def _fill_from_runtime(
    status: Object, observed: Observed, old: Object, current: ContainerStatus, *, is_init: bool
) -> None:
    status["restartCount"] = current.attempt
    status["containerID"] = f"podium://{current.id}"
    status["lastState"] = _last_state(observed, old, current)
    if user := shown_user(current.labels):
        status["user"] = user
    waiting = observed.waiting.get(current.name)
    if current.state == "running" and current.id not in observed.starting:
        status["state"] = {"running": {"startedAt": _time(current.started_at)}}
        verdict = observed.verdicts.get(current.id, Verdict())
        status["started"] = verdict.is_started
        status["ready"] = verdict.is_ready and not is_init
    elif current.state == "exited":
        ended = {"terminated": _terminated(current, observed.messages.get(current.id, ""))}
        if waiting is not None and not observed.is_ended:
            status["state"], status["lastState"] = {"waiting": _waiting(*waiting)}, ended
        else:
            status["state"] = ended
            status["ready"] = is_init and current.exit_code == 0
    else:
        status["state"] = {"waiting": _waiting(*(waiting or ("ContainerCreating", "")))}


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


def _fill_from_memory(
    pod: Object, status: Object, observed: Observed, old: Object, *, is_init: bool
) -> None:
    """Nothing there: not started yet, or gone with its sandbox."""
    policy = pod["spec"].get("restartPolicy") or "Always"
    ended = _ended(old) or (_lost(old, observed) if _was_running(old) else None)
    is_to_run_again = is_init and not observed.is_ended and not observed.has_sandbox
    stays = observed.is_ended or (
        ended is not None and not restarts(policy, ended["exitCode"]) and not is_to_run_again
    )
    if ended is not None and stays:
        status["state"] = {"terminated": ended}
        status["lastState"] = old.get("lastState") or {}
        status["ready"] = is_init and ended["exitCode"] == 0
        status["containerID"] = old.get("containerID", "")
        return
    if old.get("containerID"):
        status["containerID"] = old["containerID"]
    status["lastState"] = {"terminated": ended} if ended else old.get("lastState") or {}
    has_inits = bool(pod["spec"].get("initContainers"))
    default = "PodInitializing" if has_inits and not is_init else "ContainerCreating"
    if is_init and has_inits and status["name"] != pod["spec"]["initContainers"][0]["name"]:
        default = "PodInitializing"
    status["state"] = {"waiting": _waiting(*observed.waiting.get(status["name"], (default, "")))}


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
        "containerID": f"podium://{c.id}",
    }
    if c.message or message:
        ended["message"] = c.message or message
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
    policy = pod["spec"].get("restartPolicy") or "Always"
    has_begun = any(_has_run(status) for status in mains)
    init_codes = [_exit_code(status) for status in inits]
    if policy == "Never" and any(init_codes):
        return "Failed"
    if not has_begun and not all(code == 0 for code in init_codes):
        return "Failed" if observed.is_ended else "Pending"
    if any("waiting" in s["state"] and not _last_ended(s) for s in mains):
        return "Failed" if observed.is_ended else "Pending"
    if any("running" in s["state"] for s in mains):
        return "Running"
    return _phase_of_stopped(policy, mains, observed)


def _phase_of_stopped(policy: str, mains: list[Object], observed: Observed) -> str:
    if policy == "Always" and not observed.is_ended:
        return "Running"
    if all(_exit_code(status) == 0 for status in mains):
        return "Succeeded"
    return "Failed" if policy == "Never" or observed.is_ended else "Running"


def _has_run(status: Object) -> bool:
    return "running" in status["state"] or bool(_ended(status) or _last_ended(status))


def _last_ended(status: Object) -> Object | None:
    found: Object | None = (status.get("lastState") or {}).get("terminated")
    return found


def _exit_code(status: Object) -> int | None:
    ended = _ended(status)
    return None if ended is None else int(ended["exitCode"])


def _set_conditions(pod: Object, status: Object, observed: Observed, now: str) -> None:
    inits = status.get("initContainerStatuses") or []
    mains, phase = status["containerStatuses"], status["phase"]
    has_sandbox = "True" if observed.has_sandbox else "False"
    meta.set_condition(status, "PodReadyToStartContainers", has_sandbox, now=now)
    incomplete = [s["name"] for s in inits if _exit_code(s) != 0]
    if phase == "Succeeded":
        meta.set_condition(status, "Initialized", "True", "PodCompleted", now=now)
    elif incomplete and not any(_has_run(s) for s in mains):
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        meta.set_condition(status, "Initialized", "False", "ContainersNotInitialized", message, now)
    else:
        meta.set_condition(status, "Initialized", "True", now=now)
    reason, message = _why_not_ready(mains, phase)
    meta.set_condition(status, "ContainersReady", _not(reason), reason, message, now)
    if not reason and (gate := _closed_gate(pod, status)):
        reason = "ReadinessGatesNotReady"
        message = f'corresponding condition of pod readiness gate "{gate}" does not exist.'
    meta.set_condition(status, "Ready", _not(reason), reason, message, now)
    if not any(c["type"] == "PodScheduled" for c in status["conditions"]):
        meta.set_condition(status, "PodScheduled", "True", now=now)


def _why_not_ready(mains: list[Object], phase: str) -> tuple[str, str]:
    """("", "") when all containers are."""
    if phase == "Succeeded":
        return "PodCompleted", ""
    if phase == "Failed":
        return "PodFailed", ""
    unready = [s["name"] for s in mains if not s["ready"]]
    if not unready:
        return "", ""
    return "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]"


def _closed_gate(pod: Object, status: Object) -> str:
    open_ = {c["type"] for c in status["conditions"] if c["status"] == "True"}
    gates = [str(gate["conditionType"]) for gate in pod["spec"].get("readinessGates") or ()]
    return next((gate for gate in gates if gate not in open_), "")


def _not(reason: str) -> str:
    return "False" if reason else "True"
