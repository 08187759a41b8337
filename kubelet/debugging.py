"""What a debugger sees of this kubelet's work, and where it can stop it: before each step that
changes something.

Room kubelet; agent.py puts these around what pod_sync.py works with. The debugger itself is
podium/client/debugger.py; what is written to the API it stops by itself. Nothing that is shown here
comes out of a Secret: of a container's environment only the names are told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

from kubelet.pod_plan import make_plan
from kubelet.pod_source import PodSource
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import ContainerConfig, ContainerStatus, Runtime, SandboxConfig
from podium.client import debug_hook
from podium.client.debug_hook import Picture, Planned, Step

Object = dict[str, Any]
Call = Callable[..., Any]

RUNTIME, NETWORK = "runtime", "network"
_OF_RUNTIME = {
    "run_pod_sandbox": "runPodSandbox",
    "stop_pod_sandbox": "stopPodSandbox",
    "remove_pod_sandbox": "removePodSandbox",
    "create_container": "createContainer",
    "start_container": "startContainer",
    "remove_container": "removeContainer",
    "update_resources": "updateResources",
}
_OF_NETWORK = {"attach": "attach", "detach": "detach"}
_SHOWN = ("attempt", "cwd", "uid", "gid", "capabilities", "readonly_rootfs", "privileged",
          "no_new_privileges", "seccomp_profile", "pid_namespace")  # fmt: skip


class Debugged:
    """Anything with its changing calls under the eyes of the debugger; all else is its own."""

    def __init__(self, inner: Any, verbs: dict[str, str], where: str) -> None:
        self._inner = inner
        for method, verb in verbs.items():
            setattr(self, method, self._held(getattr(inner, method), verb, where))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _held(self, call: Call, verb: str, where: str) -> Call:
        def held(*args: Any, **words: Any) -> Any:
            watching = debug_hook.session()
            if watching is None:
                return call(*args, **words)
            planned = Planned(verb, where, self._name_of(args))
            step = Step(planned, lambda: call(*args, **words), _body_of(args), error=_failure)
            return watching.step(step)

        return held

    def _name_of(self, args: Sequence[Any]) -> str:
        """What people call it: a container's name; of a Pod its uid is all that there is."""
        for one in args:
            if isinstance(one, ContainerConfig):
                return one.name
            if isinstance(one, SandboxConfig):
                return one.labels.get("name", one.id)
        for container in self._containers():
            if args and container.id == args[0]:
                return container.name
        return str(args[0]) if args else ""

    def _containers(self) -> list[ContainerStatus]:
        listed = getattr(self._inner, "list_containers", None)
        return listed() if listed is not None else []


def debugged_runtime(runtime: Runtime) -> Any:
    return Debugged(runtime, _OF_RUNTIME, RUNTIME)


def debugged_network(network: Any) -> Any:
    return Debugged(network, _OF_NETWORK, NETWORK)


def hold_stop(name: str, grace_s: float) -> None:
    """A container is about to be told to end."""
    watching = debug_hook.session()
    if watching is not None:
        planned = Planned("stopContainer", RUNTIME, name)
        watching.step(Step(planned, lambda: None, {"graceSeconds": grace_s}, error=_failure))


def _failure(kind: str, by: str) -> Exception | None:
    """What goes wrong here is not a conflict."""
    return RuntimeFailure(f"injected by breakpoint {by}") if kind == "Error" else None


def _body_of(args: Sequence[Any]) -> Object | None:
    for one in args:
        if isinstance(one, ContainerConfig):
            return _container(one)
        if isinstance(one, SandboxConfig):
            shown = {"hostname": one.hostname, "cgroup": one.cgroup_parent,
                     "hostNetwork": one.host_network, "sysctls": one.sysctls}  # fmt: skip
            return {name: value for name, value in shown.items() if value}
    return None


def _container(config: ContainerConfig) -> Object:
    shown: Object = {name: getattr(config, name) for name in _SHOWN}
    shown["environment"] = sorted(config.env)
    shown["mounts"] = [f"{m.target}{' (read-only)' if m.readonly else ''}" for m in config.mounts]
    limits = {f.name: getattr(config.resources, f.name) for f in fields(config.resources)}
    shown["resources"] = {name: value for name, value in limits.items() if value}
    return {name: value for name, value in shown.items() if value not in (None, "", [], {})}


class PodPictures:
    """`of(uid)` is what a debugger shows of a Pod."""

    def __init__(self, source: PodSource, runtime: Runtime) -> None:
        self._source, self._runtime = source, runtime

    def of(self, uid: str) -> Picture:
        pod = self._source.find(uid)
        if pod is None:
            return Picture(None)
        containers = self._runtime.list_containers(uid)
        sandboxes = self._runtime.list_pod_sandboxes()
        state = next((one.state for one in sandboxes if one.id == uid), "none")
        spec = pod["spec"]
        observed = {
            "phase": (pod.get("status") or {}).get("phase") or "",
            "sandbox": state,
            "containers": [_observed(container) for container in containers],
        }
        desired = {
            "restartPolicy": spec.get("restartPolicy") or "Always",
            "containers": [
                {name: one[name] for name in ("name", "image", "command", "args") if name in one}
                for one in spec["containers"]
            ],
        }
        subject = {"apiVersion": "v1", "kind": "Pod", **pod}
        return Picture(subject, observed, desired, _planned(pod, containers, state == "ready"))


def _observed(container: ContainerStatus) -> Object:
    return {
        "name": container.name,
        "attempt": container.attempt,
        "state": container.state,
        "exitCode": container.exit_code,
    }


def _planned(
    pod: Object, containers: Sequence[ContainerStatus], has_sandbox: bool
) -> list[Planned]:
    about = pod["metadata"]
    if about.get("deletionTimestamp"):
        living = [c for c in containers if c.state != "exited"]
        if living:
            return [Planned("stopContainer", RUNTIME, one.name) for one in living]
        return [
            Planned("removePodSandbox", RUNTIME),
            Planned("detach", NETWORK),
            Planned("delete", "pods", about["name"], about["namespace"]),
        ]
    plan = make_plan(
        pod, pod.get("status") or {}, containers,
        has_sandbox=has_sandbox, backoffs={}, now=time.time(),
    )  # fmt: skip
    steps = [Planned("stopContainer", RUNTIME, kill.container["name"]) for kill in plan.kills]
    if plan.starts and not has_sandbox:
        steps += [Planned("runPodSandbox", RUNTIME, about["name"]), Planned("attach", NETWORK)]
    for start in plan.starts:
        name = start.container["name"]
        if not start.created_id:
            steps.append(Planned("createContainer", RUNTIME, name))
        steps.append(Planned("startContainer", RUNTIME, name))
    return [*steps, Planned("patch", "pods", about["name"], about["namespace"])]
