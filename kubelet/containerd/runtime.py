"""containerd as the kubelet sees it: `ContainerdRuntime`, the second engine behind the Protocol.

Runs in the kubelet's threads. containerd keeps what runs; here is a copy of it, kept true by
containerd's events, so that looking at the state costs no round trip. A sandbox that was stopped
and made anew is two sandboxes in containerd, whose attempts count up; the newest is "the" sandbox.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from kubelet.containerd import cgroup_trees, images, translate
from kubelet.containerd.attach_session import ContainerdAttach
from kubelet.containerd.connection import CALL_TIMEOUT_S, HELLO, Connection, NotThere, Unreachable
from kubelet.containerd.daemon import socket_path
from kubelet.containerd.exec_session import ContainerdExec
from kubelet.containerd.messages import CONTAINERD, message
from kubelet.containerd.translate import CLUSTER, SANDBOX
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.errors import (
    ContainerNotFound,
    ContainerNotRunning,
    RuntimeFailure,
    SandboxNotFound,
    ShimGone,
)
from kubelet.runtime.event_feed import EventFeed
from kubelet.runtime.host_image import HostImage
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStats,
    ContainerStatus,
    Device,
    ExecSession,
    OnStep,
    Operations,
    Resources,
    RuntimeEvent,
    SandboxConfig,
    SandboxStatus,
    no_step,
)

log = logging.getLogger("containerd")

START_TIMEOUT_S = 60.0  # for containerd to answer
SETTLE_TIMEOUT_S = 10.0  # from an event of an end until the CRI shows it
FOLLOW_AGAIN_S = 0.5  # after containerd has ended
_RETRY_S = 0.05


@dataclass
class _Sandbox:
    """One sandbox of containerd's."""

    cri_id: str
    attempt: int
    cgroup_parent: str
    status: SandboxStatus


class ContainerdRuntime:
    """The engine behind `kubelet.runtime.protocol.Runtime`. Thread-safe. Waits for containerd to
    answer; Unreachable if it does not within START_TIMEOUT_S."""

    def __init__(self, root: str, cgroup_root: str) -> None:
        self.root, self.cluster = root, cgroup_root
        self.cgroups = Cgroups.detect(cgroup_root)
        self._connection = Connection(socket_path(cgroup_root))
        self._lock = threading.Lock()
        self._sandboxes: dict[str, list[_Sandbox]] = {}
        self._containers: dict[str, ContainerStatus] = {}
        self._limits: dict[str, Resources] = {}  # of those that are created and not started
        self._host: tuple[str, HostImage] | None = None
        self._image_lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._events = EventFeed()
        self._is_closed = False
        self.version = self._await_containerd()
        self.has_user_namespaces = False  # translate.py refuses one: containerd 1.6 has none
        self.has_recursive_read_only = False  # the same
        self.on_step: OnStep = no_step  # it tells of none
        images.ensure_pause(self._connection, self.root)
        self._is_following = threading.Event()
        threading.Thread(target=self._follow_forever, name="containerd-events", daemon=True).start()
        self._is_following.wait(START_TIMEOUT_S)

    def _await_containerd(self) -> str:
        """Its name and version."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                answer = self._connection.runtime("Version", timeout_s=5.0)
            except Unreachable:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)
            else:
                return f"{answer.runtime_name}://{answer.runtime_version}"

    # ---- sandboxes ----

    def run_pod_sandbox(self, config: SandboxConfig) -> SandboxStatus:
        translate.refuse_unsupported(config)
        with self._one_at_a_time(config.id):
            known = self._sandboxes.get(config.id) or []
            if known and known[-1].status.state == "ready":
                return known[-1].status
            self.cgroups.create_parent(config.cgroup_parent, config.resources)
            attempt = known[-1].attempt + 1 if known else 0
            wanted = translate.sandbox_config(config, self.cluster, attempt)
            made = self._connection.runtime("RunPodSandbox", config=wanted)
            return self._look_at_sandbox(made.pod_sandbox_id).status

    def _look_at_sandbox(self, cri_id: str) -> _Sandbox:
        """As containerd has it now; remembered."""
        answer = self._connection.runtime("PodSandboxStatus", pod_sandbox_id=cri_id, verbose=True)
        found = _Sandbox(
            cri_id,
            int(answer.status.metadata.attempt),
            answer.status.annotations.get(translate.CGROUP_PARENT, ""),
            translate.sandbox_status(answer),
        )
        with self._lock:
            others = [s for s in self._sandboxes.get(found.status.id, []) if s.cri_id != cri_id]
            self._sandboxes[found.status.id] = sorted([*others, found], key=lambda s: s.attempt)
        return found

    def stop_pod_sandbox(self, sandbox_id: str) -> None:
        for sandbox in list(self._sandboxes.get(sandbox_id, ())):
            with contextlib.suppress(NotThere):
                self._connection.runtime("StopPodSandbox", pod_sandbox_id=sandbox.cri_id)
                self._look_at_sandbox(sandbox.cri_id)
        for container in self.list_containers(sandbox_id):
            if container.state == "running":
                self._await_exit(container.id)

    def remove_pod_sandbox(self, sandbox_id: str) -> None:
        with self._one_at_a_time(sandbox_id):
            self.stop_pod_sandbox(sandbox_id)
            for sandbox in list(self._sandboxes.get(sandbox_id, ())):
                with contextlib.suppress(NotThere):
                    self._connection.runtime("RemovePodSandbox", pod_sandbox_id=sandbox.cri_id)
                if sandbox.cgroup_parent:
                    cgroup_trees.remove_everywhere(f"{self.cluster}/{sandbox.cgroup_parent}")
            with self._lock:
                self._sandboxes.pop(sandbox_id, None)
                for container in self._containers_of(sandbox_id):
                    del self._containers[container.id]
        with self._lock:
            self._making.pop(sandbox_id, None)

    def list_pod_sandboxes(self) -> list[SandboxStatus]:
        with self._lock:
            return [sandboxes[-1].status for sandboxes in self._sandboxes.values()]

    def _sandbox(self, sandbox_id: str) -> _Sandbox:
        """The newest, if it runs."""
        found = self._sandboxes.get(sandbox_id)
        if not found:
            raise SandboxNotFound(f"sandbox {sandbox_id} not found")
        if found[-1].status.state != "ready":
            raise ShimGone(f"sandbox {sandbox_id} is not ready")
        return found[-1]

    # ---- containers ----

    def create_container(self, sandbox_id: str, config: ContainerConfig) -> str:
        sandbox = self._sandbox(sandbox_id)
        for known in self.list_containers(sandbox_id):
            if (known.name, known.attempt) == (config.name, config.attempt):
                return known.id
        translate.refuse_unsupported(config)
        image, host = self._image_of(config)
        within = self._connection.runtime(
            "PodSandboxStatus", pod_sandbox_id=sandbox.cri_id, verbose=True
        )
        around = _config_of(within)
        answer = self._connection.runtime(
            "CreateContainer",
            pod_sandbox_id=sandbox.cri_id,
            config=translate.container_config(config, around, image, host, self._device_node),
            sandbox_config={**around, "log_directory": os.path.dirname(config.log_path)},
        )
        with self._lock:
            self._limits[answer.container_id] = config.resources
        self._look_at_container(answer.container_id, sandbox_id)
        return str(answer.container_id)

    def _image_of(self, config: ContainerConfig) -> tuple[str, HostImage | None]:
        with self._image_lock:
            if config.lower_dirs:
                return images.ensure_layers(self._connection, self.root, config.lower_dirs), None
            if self._host is None:
                self._host = images.ensure_host(self._connection, self.root)
            return self._host

    def _device_node(self, device: Device) -> str:
        """containerd wants to be shown a device by a node of the host's: one of our own."""
        kind = stat.S_IFBLK if device.type == "b" else stat.S_IFCHR
        path = f"{self.root}/devices/{device.type}{device.major}-{device.minor}"
        os.makedirs(f"{self.root}/devices", mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mknod(path, kind | device.mode, os.makedev(device.major, device.minor))
        return path

    def start_container(self, container_id: str) -> ContainerStatus:
        status = self.container_status(container_id)
        if status.state != "created":
            return status
        try:
            self._connection.runtime("StartContainer", container_id=container_id)
        except RuntimeFailure:
            found = self._look_at_container(container_id, status.sandbox_id)
            if found.state != "exited":
                raise
            return found
        started = self._look_at_container(container_id, status.sandbox_id)
        if (limits := self._limits.pop(container_id, None)) and started.state == "running":
            self._limit(started, limits)
        return started

    def stop_container(self, container_id: str, grace_s: float) -> None:
        status = self._containers.get(container_id)
        if status is None or status.state == "exited":
            return
        with contextlib.suppress(NotThere):
            self._connection.runtime(
                "StopContainer",
                timeout_s=CALL_TIMEOUT_S + grace_s,
                container_id=container_id,
                timeout=math.ceil(grace_s),
            )
            self._await_exit(container_id)

    def remove_container(self, container_id: str) -> None:
        with contextlib.suppress(NotThere):
            self._connection.runtime("RemoveContainer", container_id=container_id)
        with self._lock:
            self._containers.pop(container_id, None)
            self._limits.pop(container_id, None)

    def list_containers(self, sandbox_id: str | None = None) -> list[ContainerStatus]:
        with self._lock:
            if sandbox_id is None:
                return list(self._containers.values())
            return self._containers_of(sandbox_id)

    def _containers_of(self, sandbox_id: str) -> list[ContainerStatus]:
        return [c for c in self._containers.values() if c.sandbox_id == sandbox_id]

    def container_status(self, container_id: str) -> ContainerStatus:
        status = self._containers.get(container_id)
        if status is None:
            raise ContainerNotFound(f"container {container_id[:12]} not found")
        return status

    def _look_at_container(self, container_id: str, sandbox_id: str) -> ContainerStatus:
        """As containerd has it now; remembered."""
        answer = self._connection.runtime(
            "ContainerStatus", container_id=container_id, verbose=True
        )
        found = translate.container_status(answer, sandbox_id)
        with self._lock:
            self._containers[container_id] = found
        return found

    def _await_exit(self, container_id: str) -> None:
        """containerd's own copy of the state follows the same events as ours: wait for it."""
        deadline = time.monotonic() + SETTLE_TIMEOUT_S
        status = self._containers.get(container_id)
        while status is not None and time.monotonic() < deadline:
            with contextlib.suppress(NotThere):
                if self._look_at_container(container_id, status.sandbox_id).state == "exited":
                    return
            time.sleep(_RETRY_S / 5)

    # ---- what runs ----

    def _running(self, container_id: str) -> ContainerStatus:
        status = self.container_status(container_id)
        if status.state != "running":
            raise ContainerNotRunning(f"container {container_id[:12]} is not running")
        return status

    def exec(
        self,
        container_id: str,
        argv: list[str],
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
        tty: bool = False,
    ) -> ExecSession:
        self._running(container_id)
        given = {"stdin": stdin_fd, "stdout": stdout_fd, "stderr": stderr_fd}
        fds = {name: fd for name, fd in given.items() if fd is not None}
        directory = f"{self.root}/exec/{os.urandom(8).hex()}"
        return ContainerdExec(self._connection, container_id, argv, directory, fds, tty=tty)

    def attach(
        self,
        container_id: str,
        *,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
        stderr_fd: int | None = None,
    ) -> ExecSession:
        status = self._running(container_id)
        answer = self._connection.runtime(
            "ContainerStatus", container_id=container_id, verbose=True
        )
        config = json.loads(answer.info["info"])["config"]
        has_stdin, tty = bool(config.get("stdin")), bool(config.get("tty"))
        given = {
            "stdin": stdin_fd if has_stdin else None,
            "stdout": stdout_fd,
            "stderr": None if tty else stderr_fd,
        }
        fds = {name: fd for name, fd in given.items() if fd is not None}
        wanted = {name: name in fds for name in ("stdin", "stdout", "stderr")}
        made = self._connection.runtime("Attach", container_id=container_id, tty=tty, **wanted)
        return ContainerdAttach(made.url, status.pid, fds, tty=tty)

    def reopen_log(self, container_id: str) -> None:
        self.container_status(container_id)
        self._connection.runtime("ReopenContainerLog", container_id=container_id)

    def update_resources(self, container_id: str, resources: Resources) -> None:
        self._running(container_id)
        self._connection.runtime(
            "UpdateContainerResources",
            container_id=container_id,
            linux=translate.container_resources(resources),
        )
        self._limit(self.container_status(container_id), resources)

    def update_sandbox_resources(self, sandbox_id: str, resources: Resources) -> None:
        try:
            self.cgroups.update(self._sandbox(sandbox_id).cgroup_parent, resources)
        except OSError as error:
            raise RuntimeFailure(f"sandbox {sandbox_id}: {error}") from None

    def container_resources(self, container_id: str) -> Resources:
        path = self._cgroup(self._running(container_id))
        try:
            return self.cgroups.limits(path)
        except OSError as error:  # it ended while we looked
            raise ContainerNotRunning(f"container {container_id[:12]}: {error}") from None

    def sandbox_resources(self, sandbox_id: str) -> Resources:
        try:
            return self.cgroups.limits(self._sandbox(sandbox_id).cgroup_parent)
        except OSError as error:  # it was removed while we looked
            raise SandboxNotFound(f"sandbox {sandbox_id}: {error}") from None

    def _limit(self, status: ContainerStatus, resources: Resources) -> None:
        """What the CRI cannot say."""
        try:
            self.cgroups.update(self._cgroup(status), resources)
        except FileNotFoundError:  # it has ended meanwhile
            return
        except OSError as error:
            raise RuntimeFailure(f"container {status.id[:12]}: {error}") from None

    def container_stats(self, container_id: str) -> ContainerStats:
        path = self._cgroup(self._running(container_id))
        try:
            return self.cgroups.stats(path)
        except OSError as error:  # it ended while we looked
            raise ContainerNotRunning(f"container {container_id[:12]}: {error}") from None

    def sandbox_stats(self, sandbox_id: str) -> ContainerStats:
        path = self._sandbox(sandbox_id).cgroup_parent
        try:
            return self.cgroups.stats(path)
        except OSError as error:  # it was removed while we looked
            raise SandboxNotFound(f"sandbox {sandbox_id}: {error}") from None

    def _cgroup(self, status: ContainerStatus) -> str:
        """runc names a container's cgroup by its id."""
        return f"{self._sandbox(status.sandbox_id).cgroup_parent}/{status.id}"

    # ---- events and the end ----

    def writable_layer(self, container_id: str) -> str:
        return _upper_dir(self.container_status(container_id).pid)

    def operations(self, container_id: str) -> Operations | None:
        self.container_status(container_id)
        return None  # runc's, which does not tell

    def events(self) -> Iterator[RuntimeEvent]:
        return self._events.listen()

    def close(self) -> None:
        self._is_closed = True
        self._connection.close()
        self._events.close()

    def _follow_forever(self) -> None:
        while not self._is_closed:
            try:
                for envelope in self._connection.events():
                    if envelope.topic == HELLO:
                        self._look_at_everything()
                        self._is_following.set()
                    else:
                        self._on_event(envelope)
            except (RuntimeFailure, ValueError) as failure:  # ValueError: the channel is closed
                if not self._is_closed:
                    log.warning("%s", failure)
                    time.sleep(FOLLOW_AGAIN_S)

    def _look_at_everything(self) -> None:
        """After a start, and after containerd was away."""
        mine = {"label_selector": {CLUSTER: self.cluster}}
        for sandbox in self._connection.runtime("ListPodSandbox", filter=mine).items:
            self._look_at_sandbox(sandbox.id)
        before = dict(self._containers)
        for found in self._connection.runtime("ListContainers", filter=mine).containers:
            answer = self._connection.runtime("ContainerStatus", container_id=found.id)
            status = self._look_at_container(found.id, answer.status.labels[SANDBOX])
            if found.id in before and before[found.id].state != status.state == "exited":
                self._events.put(RuntimeEvent("container_exited", status.sandbox_id, found.id))

    def _on_event(self, envelope: Any) -> None:
        kind = "TaskExit" if envelope.topic.endswith("exit") else "TaskStart"
        event = message(CONTAINERD, kind).FromString(envelope.event.value)
        container = self._containers.get(event.container_id)
        if container is not None:
            if kind == "TaskStart":
                self._look_at_container(container.id, container.sandbox_id)
                self._events.put(
                    RuntimeEvent("container_started", container.sandbox_id, container.id)
                )
            elif event.id == event.container_id:  # its first process, not an exec's
                self._await_exit(container.id)
                self._events.put(
                    RuntimeEvent("container_exited", container.sandbox_id, container.id)
                )
        elif kind == "TaskExit" and (sandbox := self._sandbox_by_cri_id(event.container_id)):
            self._on_sandbox_ended(sandbox)

    def _sandbox_by_cri_id(self, cri_id: str) -> _Sandbox | None:
        with self._lock:
            every = [s for sandboxes in self._sandboxes.values() for s in sandboxes]
        return next((s for s in every if s.cri_id == cri_id), None)

    def _on_sandbox_ended(self, sandbox: _Sandbox) -> None:
        sandbox.status = replace(sandbox.status, state="not_ready", shim_pid=0, netns_path="")
        self._events.put(RuntimeEvent("sandbox_exited", sandbox.status.id))

    def _one_at_a_time(self, sandbox_id: str) -> threading.Lock:
        with self._lock:
            return self._making.setdefault(sandbox_id, threading.Lock())


def _upper_dir(pid: int) -> str:
    """Where overlayfs keeps what is written to the root of that process; "" if it does not."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/mountinfo", encoding="utf-8") as file:
        for line in file:
            fields = line.split()
            if fields[4] == "/":
                options = fields[-1].split(",")
                return next((o[9:] for o in options if o.startswith("upperdir=")), "")
    return ""


def _config_of(answer: Any) -> dict[str, Any]:
    """A PodSandboxConfig as it must be said again when a container is made in the sandbox."""
    return dict(json.loads(answer.info["info"])["config"])
