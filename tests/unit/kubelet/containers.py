"""Pods and runtime statuses for the kubelet's pure functions."""

from __future__ import annotations

from typing import Any

from kubelet.environment import Surroundings
from kubelet.runtime.protocol import ContainerStatus
from tests.support.builders import a_node, a_pod

Object = dict[str, Any]

NODE = a_node() | {
    "status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.7"}],
        "allocatable": {"cpu": "2", "memory": "1Gi", "pods": "2"},
    }
}


def a_container(name: str = "main", **fields: Any) -> Object:
    return {"name": name, "image": "host", "command": ["sleep", "1"]} | fields


def a_kubelet_pod(*containers: Object, inits: tuple[Object, ...] = (), **spec: Any) -> Object:
    """A Pod without a status, as it is when it has just been bound."""
    more = {"initContainers": list(inits)} if inits else {}
    pod = a_pod(node="node-1", **(more | spec))
    pod["spec"]["containers"] = list(containers) or [a_container()]
    pod["status"] = {"phase": "Pending"}
    return pod


def a_status(name: str = "main", attempt: int = 0, **fields: Any) -> ContainerStatus:
    """Running since second 100, unless said otherwise."""
    words: dict[str, Any] = {
        "id": f"{name}-{attempt}", "sandbox_id": "uid", "name": name, "attempt": attempt,
        "state": "running", "pid": 1, "created_at": 100.0, "started_at": 100.0, "finished_at": 0.0,
        "exit_code": 0, "reason": "", "message": "", "log_path": "", "labels": {},
    }  # fmt: skip
    return ContainerStatus(**(words | fields))


def an_exit(
    code: int, name: str = "main", attempt: int = 0, at: float = 200.0, **fields: Any
) -> ContainerStatus:
    reason = "Error" if code else "Completed"
    words: dict[str, Any] = {
        "state": "exited",
        "exit_code": code,
        "finished_at": at,
        "reason": reason,
    }
    return a_status(name, attempt, **(words | fields))


def around(**objects: Object) -> Surroundings:
    """`around(configmaps_web={…})`: what `fetch` finds."""

    def fetch(kind: str, _namespace: str, name: str) -> Object | None:
        return objects.get(f"{kind}_{name}")

    return Surroundings("10.0.0.9", NODE, fetch)
