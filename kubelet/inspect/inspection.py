"""A Pod and its containers beside the kernel. Room kubelet/inspect; called by the kubelet's server.

One reading for each that is asked: nothing is kept but where cgroups are mounted. The parts that
need more than a file are in the files beside this one.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kubelet.inspect import (
    as_commands,
    cgroup_files,
    file_rows,
    identity_rows,
    mounts,
    pod_rows,
    processes,
)
from kubelet.inspect.as_commands import NotRepeatable, Subject
from kubelet.inspect.cgroup_files import Place
from kubelet.inspect.enforced import asked_of_container, asked_of_pod, containers_in_order
from kubelet.inspect.processes import Process
from kubelet.network import NetworkError, PodNetwork
from kubelet.pod_plan import container_statuses, newest
from kubelet.runtime.errors import ContainerNotFound, RuntimeFailure
from kubelet.runtime.protocol import ContainerStatus, Runtime, SandboxStatus

Object = dict[str, Any]

_ENDED = "it has ended: the kernel keeps nothing of it"


class Inspector:
    """`pods` gives the Pods of this node, whose names stand beside what they share."""

    def __init__(
        self, runtime: Runtime, network: PodNetwork, node: str, pods: Callable[[], list[Object]],
        proc: str = "/proc",
    ) -> None:  # fmt: skip
        self._runtime, self._network, self._node = runtime, network, node
        self._pods, self._proc = pods, proc
        with open(f"{proc}/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            self._mounts = cgroup_files.read_mounts(file)

    def inspect(self, pod: Object, only: str = "") -> Object:
        """Everything of a Pod, or of it and its container `only`."""
        began = time.perf_counter()
        uid = pod["metadata"]["uid"]
        sandboxes = self._runtime.list_pod_sandboxes()
        statuses = self._runtime.list_containers(uid)
        named = {c["name"]: newest(statuses, c["name"]) for c in containers_in_order(pod)}
        neighbours = self._neighbours(pod, sandboxes, named)
        about = pod["metadata"]
        return {
            "kind": "PodInspection",
            "apiVersion": "podium.dev/v1",
            "metadata": {key: about[key] for key in ("namespace", "name", "uid")},
            "node": self._node,
            "takenAt": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "kernel": {"release": os.uname().release, "cgroup": self._version()},
            "engine": self._runtime.version,
            "pod": self._pod(pod, sandboxes, named),
            "containers": [
                self._container(pod, spec, named[spec["name"]], neighbours)
                for spec in containers_in_order(pod)
                if only in ("", spec["name"])
            ],
            "durationMs": round((time.perf_counter() - began) * 1000, 3),
        }

    def commands(self, pod: Object, name: str) -> str:
        """The script that builds that container by hand. Raises NotRepeatable."""
        uid = pod["metadata"]["uid"]
        status = newest(self._runtime.list_containers(uid), name)
        if status is None:
            raise NotRepeatable(f"container {name} {_not_there(pod, name)['message']}")
        try:
            done = self._runtime.operations(status.id)
        except ContainerNotFound:
            raise NotRepeatable(f"container {name} has gone") from None
        if done is None:
            raise NotRepeatable(_why_unrecorded(pod, name, status.engine))
        about, spec = pod["metadata"], pod["spec"]
        kind = "node" if spec.get("hostPID") else "container"
        subject = Subject(
            f"{about['namespace']}/{about['name']}", name, self._node, status.pid,
            "pod" if spec.get("shareProcessNamespace") else kind,
        )  # fmt: skip
        network = None if spec.get("hostNetwork") else self._network.by_hand(uid)
        return as_commands.script(subject, done, network)

    def _version(self) -> str:
        kinds = {bool(mount.controllers) for mount in self._mounts}
        return "hybrid" if len(kinds) == 2 else "v1" if True in kinds else "v2"

    # ---- the Pod itself ----

    def _pod(
        self,
        pod: Object,
        sandboxes: list[SandboxStatus],
        named: Mapping[str, ContainerStatus | None],
    ) -> Object:
        uid = pod["metadata"]["uid"]
        sandbox = next((one for one in sandboxes if one.id == uid), None)
        found: Object = {"state": sandbox.state if sandbox else "gone", "rows": []}
        if sandbox and sandbox.shim_pid:
            found["shimPid"] = sandbox.shim_pid
            if not pod["spec"].get("hostNetwork"):
                with contextlib.suppress(NetworkError, OSError):  # it went away, or is not attached
                    found["network"] = self._network.view(uid, sandbox.netns_path)
        for status in named.values():
            if status is None or not status.pid:
                continue
            with contextlib.suppress(ProcessLookupError), Process(status.pid, self._proc) as first:
                above = {
                    name: place.parent if status.id in place.directory else place
                    for name, place in self._places(first, uid).items()
                }
                found["rows"] = list(cgroup_files.rows(above, lambda row: asked_of_pod(pod, row)))
                with Process(os.getpid(), self._proc) as host:
                    network = found.get("network", {})
                    found["rows"] += pod_rows.rows(pod, first, host, network)
                break
        return found

    def _places(self, process: Process, owner_id: str) -> dict[str, Place]:
        """Its cgroups; those in which it is with others (v1: a tree that few need) left out."""
        places = cgroup_files.places_of(process.read("cgroup"), self._mounts)
        return {name: place for name, place in places.items() if owner_id in place.directory}

    # ---- a container ----

    def _container(
        self, pod: Object, spec: Object, status: ContainerStatus | None, neighbours: list[Neighbour]
    ) -> Object:
        if status is None:
            return {"name": spec["name"], **_not_there(pod, spec["name"])}
        found: Object = {
            "name": spec["name"], "id": f"{status.engine}://{status.id}", "state": status.state,
        }  # fmt: skip
        if status.state == "exited":
            return found | {"exitCode": status.exit_code, "message": _ENDED}
        try:
            with Process(status.pid, self._proc) as first:
                return found | self._living(pod, spec, status, first, neighbours)
        except ProcessLookupError:
            return found | {"state": "exited", "message": "it ended while it was looked at"}

    def _living(
        self, pod: Object, spec: Object, status: ContainerStatus, first: Process,
        neighbours: list[Neighbour],
    ) -> Object:  # fmt: skip
        places = self._places(first, status.id)
        who = processes.identity(first)
        pids = self._pids(places, status.pid)
        seen = mounts.read(first.read_if_any("mountinfo"))
        rows = [
            *cgroup_files.rows(places, lambda row: asked_of_container(pod, spec, row)),
            *identity_rows.rows(pod, spec, first, who),
            *mounts.rows(pod, spec, status.pid, seen),
            *file_rows.rows(pod, spec, first),
        ]
        return {
            "pid": status.pid,
            "rows": rows,
            "namespaces": list(_shared(first.namespaces(), status.id, neighbours)),
            "identity": who,
            "mounts": seen,
            "layers": self._layers(status, seen),
            "processes": list(processes.tree(sorted(pids)[: processes.MAX_PROCESSES], self._proc)),
            "processCount": len(pids),
        }

    def _layers(self, status: ContainerStatus, seen: list[Object]) -> Object | None:
        told, upper = None, ""
        with contextlib.suppress(RuntimeFailure):
            told = self._runtime.operations(status.id)
            upper = self._runtime.writable_layer(status.id)
        overlays = [one for one in told.container if one[0] == "overlay"] if told else []
        return mounts.layers(seen, overlays[0][1] if overlays else (), upper)

    def _pids(self, places: Mapping[str, Place], first: int) -> set[int]:
        for place in places.values():
            with contextlib.suppress(OSError), open(f"{place.directory}/cgroup.procs") as file:
                return {int(pid) for pid in file.read().split() if pid != "0"} | {first}
        return {first}

    # ---- who shares a namespace ----

    def _neighbours(
        self, pod: Object, sandboxes: list[SandboxStatus],
        named: Mapping[str, ContainerStatus | None],
    ) -> list[Neighbour]:  # fmt: skip
        """The host, this Pod's other containers, and every other Pod by its shim."""
        found = []
        with Process(os.getpid(), self._proc) as own:
            found.append(Neighbour("host", "", own.namespaces()))
        for name, status in named.items():
            if status is not None and status.pid:
                found += self._neighbour(f"container {name}", status.id, status.pid)
        names = {one["metadata"]["uid"]: one["metadata"] for one in self._pods()}
        for sandbox in sandboxes:
            about = names.get(sandbox.id)
            if sandbox.id == pod["metadata"]["uid"] or not sandbox.shim_pid or about is None:
                continue
            who = f"pod {about['namespace']}/{about['name']}"
            found += self._neighbour(who, sandbox.id, sandbox.shim_pid, _OF_SANDBOX)
        return found

    def _neighbour(
        self, who: str, own_id: str, pid: int, kinds: tuple[str, ...] = processes.NAMESPACES
    ) -> Iterator[Neighbour]:
        with contextlib.suppress(ProcessLookupError), Process(pid, self._proc) as process:
            inodes = process.namespaces(kinds)
            yield Neighbour(who, own_id, inodes)


def _not_there(pod: Object, name: str) -> Object:
    """What the Pod says of a container that the runtime does not know, or no more."""
    status = container_statuses(pod.get("status") or {}).get(name) or {}
    state = status.get("state") or {}
    if ended := state.get("terminated"):
        return {"state": "exited", "exitCode": ended.get("exitCode"), "message": _ENDED}
    reason = (state.get("waiting") or {}).get("reason") or "ContainerCreating"
    return {"state": "waiting", "message": f"it was not made yet ({reason})"}


def _why_unrecorded(pod: Object, name: str, engine: str) -> str:
    if engine != "podium":
        return (
            f"container {name} was made by {engine}, which does not tell what it did; Podium's "
            "own engine (podium up --runtime podium) does"
        )
    if pod["spec"].get("hostUsers") is False and pod["spec"].get("shareProcessNamespace"):
        return (
            f"container {name} is in a user namespace and shares its PID namespace: others saw its "
            "first process while it was made, so its word on what it did is not taken"
        )
    return f"nobody has recorded how container {name} was made: it has not run yet, or is too old"


class Neighbour:
    """Somebody with namespaces."""

    __slots__ = ("id", "inodes", "who")

    def __init__(self, who: str, own_id: str, inodes: Mapping[str, int]) -> None:
        self.who, self.id, self.inodes = who, own_id, inodes


_OF_SANDBOX = ("ipc", "net", "uts")  # the rest of a shim's are the host's


def _shared(
    inodes: Mapping[str, int], own_id: str, neighbours: list[Neighbour]
) -> Iterator[Object]:
    for kind, inode in inodes.items():
        others = [n.who for n in neighbours if n.id != own_id and n.inodes.get(kind) == inode]
        yield {"kind": kind, "inode": inode, "sharedWith": others}
