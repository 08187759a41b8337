"""A Pod's status, worked out from what the runtime has: pure functions, no I/O.

Room kubelet, called by pod_sync.py. Source: Kubernetes docs "Pod Lifecycle", kubelet
`pkg/kubelet/status`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kubelet.pod_spec import host_ip, qos_class
from kubelet.runtime.protocol import ContainerStatus
from podium.api import meta

Object = dict[str, Any]


@dataclass
class Observed:
    """What a Pod's status is made of.

    `waiting` and `images` are by container name: (reason, message) of what keeps it from starting,
    and (image, image id) of what it was started from. `previous_restarts` counts what earlier
    sandboxes had.
    """

    containers: Sequence[ContainerStatus] = ()
    has_sandbox: bool = False
    pod_ip: str = ""
    waiting: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    images: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def latest(containers: Sequence[ContainerStatus], name: str) -> ContainerStatus | None:
    return max((c for c in containers if c.name == name), key=lambda c: c.attempt, default=None)


def _before(
    containers: Sequence[ContainerStatus], current: ContainerStatus
) -> ContainerStatus | None:
    """The ended attempt before the current one."""
    earlier = (c for c in containers if c.name == current.name and c.attempt < current.attempt)
    return max(earlier, key=lambda c: c.attempt, default=None)


def compute(pod: Object, observed: Observed, node: Object, now: str) -> Object:
    """The whole status; conditions keep their transition times."""
    spec, old = pod["spec"], pod.get("status") or {}
    old_by_name = {
        s["name"]: s
        for s in [*old.get("containerStatuses", []), *old.get("initContainerStatuses", [])]
    }
    inits = [
        _container(pod, c, observed, old_by_name.get(c["name"]))
        for c in spec.get("initContainers") or ()
    ]
    mains = [_container(pod, c, observed, old_by_name.get(c["name"])) for c in spec["containers"]]
    phase = _phase(pod, inits, mains, observed)
    status: Object = {
        "phase": phase,
        "conditions": [dict(c) for c in old.get("conditions") or ()],
        "hostIP": host_ip(node),
        "hostIPs": [{"ip": host_ip(node)}],
        "startTime": old.get("startTime") or now,
        "containerStatuses": mains,
        "qosClass": qos_class(pod),
    }
    if inits:
        status["initContainerStatuses"] = inits
    if observed.pod_ip and phase in ("Pending", "Running"):
        status |= {"podIP": observed.pod_ip, "podIPs": [{"ip": observed.pod_ip}]}
    elif old.get("podIP"):
        status |= {"podIP": old["podIP"], "podIPs": old.get("podIPs", [])}
    _conditions(status, inits, mains, observed.has_sandbox, now)
    return status


def failed(pod: Object, reason: str, message: str, now: str) -> Object:
    """A Pod that this node does not run at all."""
    return {
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "startTime": (pod.get("status") or {}).get("startTime") or now,
    }


def _time(seconds: float) -> str:
    return meta.now(datetime.fromtimestamp(seconds, UTC))


def _terminated(c: ContainerStatus) -> Object:
    ended: Object = {"exitCode": c.exit_code, "reason": c.reason or "Error"}
    if c.message:
        ended["message"] = c.message
    if c.started_at:
        ended["startedAt"] = _time(c.started_at)
    else:
        ended["startedAt"] = "1970-01-01T00:00:00Z"
    if c.finished_at:
        ended["finishedAt"] = _time(c.finished_at)
    ended["containerID"] = f"podium://{c.id}"
    return ended


def _container(pod: Object, container: Object, observed: Observed, old: Object | None) -> Object:
    name = container["name"]
    current = latest(observed.containers, name)
    image, image_id = observed.images.get(name) or (
        (old or {}).get("image") or container["image"],
        (old or {}).get("imageID") or "",
    )
    status: Object = {
        "name": name,
        "image": image,
        "imageID": image_id,
        "ready": False,
        "restartCount": 0,
        "state": {},
        "lastState": {},
        "started": False,
    }
    waiting = observed.waiting.get(name)
    if current is None:
        return _without_container(pod, status, waiting, old)
    status["restartCount"] = current.attempt
    status["containerID"] = f"podium://{current.id}"
    previous = _before(observed.containers, current)
    if previous is not None and previous.state == "exited":
        status["lastState"] = {"terminated": _terminated(previous)}
    elif (
        old
        and (old.get("lastState") or {}).get("terminated")
        and old.get("restartCount") == current.attempt
    ):
        status["lastState"] = old["lastState"]
    elif (
        old
        and (old.get("state") or {}).get("terminated")
        and old.get("restartCount", 0) < current.attempt
    ):
        status["lastState"] = old["state"]
    if current.state == "running":
        status["state"] = {"running": {"startedAt": _time(current.started_at)}}
        status["started"] = status["ready"] = True
    elif current.state == "created":
        status["state"] = {"waiting": {"reason": "ContainerCreating"}}
    elif waiting is not None:
        status["state"] = {"waiting": _waiting(*waiting)}
        status["lastState"] = {"terminated": _terminated(current)}
    else:
        status["state"] = {"terminated": _terminated(current)}
        is_init = any(c["name"] == name for c in pod["spec"].get("initContainers") or ())
        status["ready"] = is_init and current.exit_code == 0
    return status


def _waiting(reason: str, message: str) -> Object:
    return {"reason": reason, "message": message} if message else {"reason": reason}


def _without_container(
    pod: Object, status: Object, waiting: tuple[str, str] | None, old: Object | None
) -> Object:
    """Nothing there: not started yet, or gone with its sandbox (then the old record says what
    ran)."""
    if old and (old.get("state") or {}).get("terminated"):
        return old
    if old:
        status["restartCount"] = old.get("restartCount", 0)
        if old.get("lastState"):
            status["lastState"] = old["lastState"]
    if waiting is None:
        is_init = any(c["name"] == status["name"] for c in pod["spec"].get("initContainers") or ())
        has_inits = bool(pod["spec"].get("initContainers"))
        waiting = ("PodInitializing" if has_inits and not is_init else "ContainerCreating", "")
    status["state"] = {"waiting": _waiting(*waiting)}
    return status


def _ended(status: Object) -> Object | None:
    found: Object | None = status["state"].get("terminated")
    return found


def _phase(pod: Object, inits: list[Object], mains: list[Object], observed: Observed) -> str:
    old = (pod.get("status") or {}).get("phase")
    if old in ("Succeeded", "Failed"):
        return str(old)
    policy = pod["spec"].get("restartPolicy", "Always")
    for status in inits:
        ended = _ended(status)
        if ended and ended["exitCode"] != 0 and policy == "Never":
            return "Failed"
        if not ended:
            return "Pending"
    ended_all = [_ended(s) for s in mains]
    if policy != "Always" and all(ended_all):
        codes = [e["exitCode"] for e in ended_all if e]
        if all(code == 0 for code in codes):
            return "Succeeded"
        if policy == "Never":
            return "Failed"
    has_begun = any(
        "running" in s["state"] or s.get("containerID") or (s["lastState"] or {}).get("terminated")
        for s in mains
    )
    return "Running" if has_begun else "Pending"


def _conditions(
    status: Object,
    inits: list[Object],
    mains: list[Object],
    has_sandbox: bool,
    now: str,
) -> None:
    phase = status["phase"]
    initialized = all((_ended(s) or {}).get("exitCode") == 0 for s in inits)
    pending_inits = [s["name"] for s in inits if (_ended(s) or {}).get("exitCode") != 0]
    unready = [s["name"] for s in mains if not s["ready"]]
    if phase == "Succeeded":
        reason, message = "PodCompleted", ""
    elif phase == "Failed":
        reason, message = "PodFailed", ""
    else:
        reason = "ContainersNotReady"
        message = f"containers with unready status: [{' '.join(unready)}]"
    is_ready = not unready and initialized and phase == "Running"
    meta.set_condition(status, "PodReadyToStartContainers", _word(has_sandbox), now=now)
    if initialized:
        finished = "PodCompleted" if phase == "Succeeded" else ""
        meta.set_condition(status, "Initialized", "True", finished, now=now)
    else:
        incomplete = f"containers with incomplete status: [{' '.join(pending_inits)}]"
        meta.set_condition(
            status, "Initialized", "False", "ContainersNotInitialized", incomplete, now
        )
    for name in ("Ready", "ContainersReady"):
        if is_ready:
            meta.set_condition(status, name, "True", now=now)
        else:
            meta.set_condition(status, name, "False", reason, message, now)
    if not any(c["type"] == "PodScheduled" for c in status["conditions"]):
        meta.set_condition(status, "PodScheduled", "True", now=now)


def _word(value: bool) -> str:
    return "True" if value else "False"


def differs(new: Object, old: Object | None) -> bool:
    """Whether writing would change anything that a reader can see."""
    return old is None or any(old.get(key) != value for key, value in new.items())
