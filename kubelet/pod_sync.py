"""One Pod, from what its spec wants and the runtime has to the next step between them.

Room kubelet. `PodSync.reconcile(uid)` is called by a ReconcileLoop whenever the Pod, its sandbox
or one of its containers has changed; it looks, does what can be done now without waiting, writes
the status if that changed, and returns when it wants to look again. What takes long (stopping with
a grace period) runs in a pool and queues the Pod again when it is done.

The life of a Pod here: sandbox → network → volumes → init containers one by one → containers →
restarts with back-off → stop → clean up → DELETE with grace 0.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from kubelet import pod_spec, pod_status
from kubelet.images import Image, ImageNotFound, ImageStore
from kubelet.network import NetworkError, PodNetwork
from kubelet.pod_status import Observed, latest
from kubelet.runtime.capabilities import NAMES as CAPABILITIES
from kubelet.runtime.errors import RuntimeFailure, SandboxNotFound
from kubelet.runtime.protocol import (
    ContainerConfig,
    ContainerStatus,
    Mount,
    Runtime,
    SandboxConfig,
    SandboxStatus,
)
from kubelet.user_lookup import UnknownUser, resolve_user
from kubelet.volumes import VolumeError, Volumes, binary_data
from podium.api import meta
from podium.client.errors import ClientError, Conflict, Forbidden, NotFound
from podium.client.http import Client

log = logging.getLogger("pod-sync")
Object = dict[str, Any]

BACKOFF_FIRST_S, BACKOFF_MAX_S = 10.0, 300.0
BACKOFF_FORGET_S = 600.0  # a container that ran so long begins anew
MOUNT_RETRY_S = 2.0
SANDBOX_RETRY_S = 1.0
STOPPERS = 256  # threads that wait for a grace period to pass; made as they are needed
IMAGE_HOST = "host"


class Recorder(Protocol):
    def event(
        self, obj: Object, type_: str, reason: str, message: str, *, field_path: str = ""
    ) -> None: ...


@dataclass
class Backoff:
    """How long a container or an image has to wait before the next try."""

    delay_s: float = 0.0
    until: float = 0.0  # time.monotonic()

    def begin(self, ran_s: float = 0.0) -> float:
        """Note a failure now; the seconds to wait (0 the first time)."""
        if ran_s > BACKOFF_FORGET_S:
            self.delay_s = 0.0
        wait = self.delay_s
        self.until = time.monotonic() + wait
        self.delay_s = min(self.delay_s * 2, BACKOFF_MAX_S) if self.delay_s else BACKOFF_FIRST_S
        return wait

    def left_s(self) -> float:
        return max(self.until - time.monotonic(), 0.0)


@dataclass
class Memory:
    """What the kubelet keeps of a Pod between looks; all of it can be lost and worked out again."""

    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    images: dict[str, tuple[str, str]] = field(default_factory=dict)
    backoffs: dict[str, Backoff] = field(default_factory=dict)
    handled: set[str] = field(default_factory=set)  # exited container ids that have been counted
    written: Object | None = None  # the last status written, and the version that it made
    written_rv: int = 0
    stopping: threading.Event | None = None
    grace_until: float = 0.0
    is_warned: bool = False


class PodSync:
    """Reconciles the Pods of one node; safe to call for different Pods at the same time."""

    def __init__(
        self,
        client: Client,
        runtime: Runtime,
        network: PodNetwork,
        images: ImageStore,
        recorder: Recorder,
        *,
        node_dir: str,
        node: Callable[[], Object],
        find: Callable[[str], Object | None],
        requeue: Callable[[str], None],
    ) -> None:
        self._client = client
        self._runtime = runtime
        self._network = network
        self._images = images
        self._recorder = recorder
        self._node = node
        self._find = find
        self._requeue = requeue
        self._logs = Path(node_dir) / "logs"
        self.volumes = Volumes(node_dir, self._fetch)
        self._memory: dict[str, Memory] = {}
        self._stoppers = ThreadPoolExecutor(STOPPERS, thread_name_prefix="stop")
        self._memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

    def close(self) -> None:
        self._stoppers.shutdown(wait=False, cancel_futures=True)

    # ---- the loop's entry ----

    def reconcile(self, uid: str) -> float | None:
        """One look at the Pod with this uid; seconds until the next if nothing else wakes us."""
        pod = self._find(uid)
        if pod is None:
            return self._forget(uid)
        memory = self._memory.setdefault(uid, Memory())
        phase = (pod.get("status") or {}).get("phase")
        if pod["metadata"].get("deletionTimestamp"):
            return self._terminate(pod, memory)
        if phase in ("Succeeded", "Failed"):
            self._stop_in_background(pod, memory, 0.0) if self._sandbox(uid) else None
            return None
        refusals = pod_spec.refusals(pod)
        if refusals:
            message = "; ".join(refusals)
            self._recorder.event(pod, "Warning", "UnsupportedPodSpec", message)
            self._write(
                pod, memory, pod_status.failed(pod, "UnsupportedPodSpec", message, meta.now())
            )
            return None
        self._warn_once(pod, memory)
        return self._run(pod, memory)

    def _warn_once(self, pod: Object, memory: Memory) -> None:
        if not memory.is_warned:
            memory.is_warned = True
            for message in pod_spec.warnings(pod):
                self._recorder.event(pod, "Warning", "NotActedOn", message)

    # ---- a Pod that should run ----

    def _run(self, pod: Object, memory: Memory) -> float | None:
        uid = pod["metadata"]["uid"]
        if memory.stopping is not None and not memory.stopping.is_set():
            return None
        try:
            sandbox, ip = self._ensure_sandbox(pod)
        except (RuntimeFailure, NetworkError) as failure:
            message = f"Failed to create pod sandbox: {failure}"
            self._recorder.event(pod, "Warning", "FailedCreatePodSandBox", message)
            return SANDBOX_RETRY_S
        try:
            paths = self.volumes.prepare(pod, self._node())
        except (VolumeError, OSError) as failure:
            self._recorder.event(
                pod, "Warning", "FailedMount", f"MountVolume.SetUp failed: {failure}"
            )
            self._write_observed(pod, memory, sandbox, ip)
            return MOUNT_RETRY_S
        step = Step(pod, sandbox, ip, paths, memory)
        again = self._advance(step)
        containers = self._write_observed(pod, memory, sandbox, ip)
        if (memory.written or {}).get("phase") in ("Succeeded", "Failed") and containers:
            self._stop_in_background(pod, memory, 0.0)
        log.debug("%s: looked", uid)
        return again

    def _ensure_sandbox(self, pod: Object) -> tuple[SandboxStatus, str]:
        """A ready sandbox with an address ("" with the host's network)."""
        uid, spec = pod["metadata"]["uid"], pod["spec"]
        sandbox = self._sandbox(uid)
        if sandbox is not None and sandbox.state != "ready":
            self._recorder.event(
                pod,
                "Normal",
                "SandboxChanged",
                "Pod sandbox changed, it will be killed and re-created.",
            )
            self._remember_restarts(pod)
            self._runtime.remove_pod_sandbox(uid)
            self._network.detach(uid)
            sandbox = None
        host_network = bool(spec.get("hostNetwork"))
        if sandbox is None:
            sandbox = self._runtime.run_pod_sandbox(
                SandboxConfig(
                    id=uid,
                    hostname=_hostname(pod),
                    cgroup_parent=pod_spec.cgroup_parent(pod),
                    resources=pod_spec.pod_resources(pod),
                    host_network=host_network,
                    host_ipc=bool(spec.get("hostIPC")),
                    labels={
                        "namespace": pod["metadata"]["namespace"],
                        "name": pod["metadata"]["name"],
                        "grace": str(spec.get("terminationGracePeriodSeconds", 30)),
                    },
                )
            )
        if host_network:
            return sandbox, pod_spec.host_ip(self._node())
        return sandbox, self._network.attach(uid, sandbox.netns_path).ip

    def _remember_restarts(self, pod: Object) -> None:
        """Put what ran in a lost sandbox into the status before its records go."""
        containers = self._runtime.list_containers(pod["metadata"]["uid"])
        if containers:
            observed = Observed(containers=containers)
            self._write(
                pod,
                self._memory[pod["metadata"]["uid"]],
                pod_status.compute(pod, observed, self._node(), meta.now()),
            )

    def _sandbox(self, uid: str) -> SandboxStatus | None:
        return next((s for s in self._runtime.list_pod_sandboxes() if s.id == uid), None)

    def _advance(self, step: Step) -> float | None:
        """Start what may start now; seconds until a back-off ends."""
        containers = self._runtime.list_containers(step.uid)
        spec = step.pod["spec"]
        has_begun = any(latest(containers, c["name"]) for c in spec["containers"])
        if not has_begun:
            for container in spec.get("initContainers") or ():
                current = latest(containers, container["name"])
                has_failed = (
                    current is not None and current.state == "exited" and current.exit_code != 0
                )
                if current is None or current.state == "created" or has_failed:
                    return self._start_or_wait(step, container, current, is_init=True)
                if current.state != "exited":
                    return None
        waits = [
            self._start_or_wait(step, container, current, is_init=False)
            for container in spec["containers"]
            if (current := latest(containers, container["name"])) is None
            or current.state != "running"
        ]
        return min((w for w in waits if w is not None), default=None)

    def _start_or_wait(
        self, step: Step, container: Object, current: ContainerStatus | None, *, is_init: bool
    ) -> float | None:
        name, memory = container["name"], step.memory
        if current is not None and current.state == "created":
            return self._start_created(step, container, current.id)  # by a life before this one
        backoff = memory.backoffs.setdefault(name, Backoff())
        if current is not None:
            if not _restarts(step.pod, current, is_init):
                memory.waiting.pop(name, None)
                return None
            if current.id not in memory.handled:
                memory.handled.add(current.id)
                wait = backoff.begin(current.finished_at - current.started_at)
                if wait:
                    self._say_backing_off(step.pod, container, wait)
            left = backoff.left_s()
            if left:
                memory.waiting[name] = (
                    "CrashLoopBackOff",
                    self._backing_off(step.pod, container, backoff),
                )
                return left
        return self._start(step, container, current)

    def _backing_off(self, pod: Object, container: Object, backoff: Backoff) -> str:
        delay = (
            max(backoff.delay_s / 2, BACKOFF_FIRST_S)
            if backoff.delay_s < BACKOFF_MAX_S
            else BACKOFF_MAX_S
        )
        m = pod["metadata"]
        return (
            f"back-off {_go_duration(delay)} restarting failed container={container['name']} "
            f"pod={m['name']}_{m['namespace']}({m['uid']})"
        )

    def _say_backing_off(self, pod: Object, container: Object, wait_s: float) -> None:
        m = pod["metadata"]
        message = (
            f"Back-off restarting failed container {container['name']} in pod "
            f"{m['name']}_{m['namespace']}({m['uid']})"
        )
        self._recorder.event(pod, "Warning", "BackOff", message, field_path=_field_path(container))

    # ---- starting one container ----

    def _start(
        self, step: Step, container: Object, current: ContainerStatus | None
    ) -> float | None:
        """Pull, create, start; what goes wrong is told in the status and in an event."""
        name, memory, pod = container["name"], step.memory, step.pod
        where = _field_path(container)
        image, wait = self._image(step, container)
        if wait is not None:
            return wait
        try:
            config = self._container_config(
                step, container, image, self._attempt(step, name, current)
            )
        except (pod_spec.ConfigMissing, UnknownUser) as failure:
            memory.waiting[name] = ("CreateContainerConfigError", str(failure))
            self._recorder.event(pod, "Warning", "Failed", f"Error: {failure}", field_path=where)
            return MOUNT_RETRY_S
        except VolumeError as failure:
            memory.waiting[name] = ("CreateContainerConfigError", str(failure))
            self._recorder.event(pod, "Warning", "Failed", f"Error: {failure}", field_path=where)
            return MOUNT_RETRY_S
        try:
            if current is not None:
                self._remove_older(step, current)
            container_id = self._runtime.create_container(step.uid, config)
        except SandboxNotFound:
            return 0.1
        except RuntimeFailure as failure:
            return self._not_created(step, container, failure)
        self._recorder.event(
            pod, "Normal", "Created", f"Created container: {name}", field_path=where
        )
        return self._start_created(step, container, container_id)

    def _not_created(self, step: Step, container: Object, failure: RuntimeFailure) -> float:
        step.memory.waiting[container["name"]] = ("CreateContainerError", str(failure))
        where = _field_path(container)
        self._recorder.event(step.pod, "Warning", "Failed", f"Error: {failure}", field_path=where)
        return MOUNT_RETRY_S

    def _start_created(self, step: Step, container: Object, container_id: str) -> float | None:
        """The second half: a kubelet that was killed in between finds it created and goes on
        here."""
        name, pod, where = container["name"], step.pod, _field_path(container)
        try:
            started = self._runtime.start_container(container_id)
        except SandboxNotFound:
            return 0.1
        except RuntimeFailure as failure:
            return self._not_created(step, container, failure)
        step.memory.waiting.pop(name, None)
        if started.state == "exited" and started.reason == "StartError":
            self._recorder.event(
                pod, "Warning", "Failed", f"Error: {started.message}", field_path=where
            )
        else:
            self._recorder.event(
                pod, "Normal", "Started", f"Started container {name}", field_path=where
            )
        return None

    def _remove_older(self, step: Step, ended: ContainerStatus) -> None:
        """Of a container's ended attempts the last is kept, for lastState and `--previous`."""
        for status in self._runtime.list_containers(step.uid):
            if status.name == ended.name and status.attempt < ended.attempt:
                self._runtime.remove_container(status.id)
                step.memory.handled.discard(status.id)
                for file in Path(status.log_path).parent.glob(f"{status.attempt}.log*"):
                    file.unlink(missing_ok=True)

    def _attempt(self, step: Step, name: str, current: ContainerStatus | None) -> int:
        """0 for the first; after a lost sandbox the count goes on from what the status says."""
        if current is not None:
            return current.attempt + 1
        status = step.pod.get("status") or {}
        for old in [
            *(status.get("containerStatuses") or ()),
            *(status.get("initContainerStatuses") or ()),
        ]:
            if old["name"] == name and old.get("containerID"):
                return int(old.get("restartCount", 0)) + 1
        return 0

    def _image(self, step: Step, container: Object) -> tuple[Image | None, float | None]:
        """(image, None), or (None, seconds to wait). The image `host` is no image: None."""
        name, reference, memory = container["name"], container["image"], step.memory
        if reference == IMAGE_HOST:
            memory.images[name] = (IMAGE_HOST, "")
            return None, None  # nothing was pulled, so nothing is told
        try:
            image = self._images.get(reference)
        except ImageNotFound:
            return None, self._no_image(step, container)
        memory.images[name] = (reference, image.id)
        memory.backoffs.pop(f"image {name}", None)
        if memory.waiting.get(name, ("",))[0] in ("ErrImagePull", "ImagePullBackOff"):
            memory.waiting.pop(name)
        self._recorder.event(
            step.pod,
            "Normal",
            "Pulled",
            f'Container image "{reference}" already present on machine',
            field_path=_field_path(container),
        )
        return image, None

    def _no_image(self, step: Step, container: Object) -> float:
        """There are no registries yet, so an image that was not loaded is one that cannot be
        pulled."""
        name, reference, memory = container["name"], container["image"], step.memory
        where = _field_path(container)
        if container.get("imagePullPolicy") == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            memory.waiting[name] = ("ErrImageNeverPull", message)
            self._recorder.event(
                step.pod, "Warning", "ErrImageNeverPull", message, field_path=where
            )
            return BACKOFF_FIRST_S
        backoff = memory.backoffs.setdefault(f"image {name}", Backoff())
        if backoff.left_s() == 0:
            is_first = backoff.delay_s == 0
            backoff.begin()
            if is_first:
                backoff.until = time.monotonic() + 1.0  # ErrImagePull is seen before the back-off
            message = (
                f'failed to pull image "{reference}": it was not loaded on this node, and pulling '
                f"from registries is not supported in this version (podium image load FILE)"
            )
            self._recorder.event(
                step.pod, "Normal", "Pulling", f'Pulling image "{reference}"', field_path=where
            )
            self._recorder.event(
                step.pod,
                "Warning",
                "Failed",
                f'Failed to pull image "{reference}": {message}',
                field_path=where,
            )
            self._recorder.event(
                step.pod, "Warning", "Failed", "Error: ErrImagePull", field_path=where
            )
            if is_first:
                memory.waiting[name] = ("ErrImagePull", message)
                return backoff.left_s()
        message = f'Back-off pulling image "{reference}"'
        if memory.waiting.get(name, ("",))[0] != "ImagePullBackOff":
            self._recorder.event(step.pod, "Normal", "BackOff", message, field_path=where)
            self._recorder.event(
                step.pod, "Warning", "Failed", "Error: ImagePullBackOff", field_path=where
            )
        memory.waiting[name] = ("ImagePullBackOff", message)
        return backoff.left_s() or BACKOFF_FIRST_S

    def _container_config(
        self, step: Step, container: Object, image: Image | None, attempt: int
    ) -> ContainerConfig:
        pod, context = step.pod, container.get("securityContext") or {}
        defaults = image.config if image is not None else None
        env = {"PATH": pod_spec.DEFAULT_PATH, "HOSTNAME": _hostname(pod)}
        env |= dict(line.partition("=")[::2] for line in (defaults.env if defaults else ()))
        said = pod_spec.environment(pod, container, step.ip, self._node(), self._lookup(pod))
        env |= said
        command = [pod_spec.expand(word, said) for word in container.get("command") or ()]
        args = [pod_spec.expand(word, said) for word in container.get("args") or ()]
        if not command and defaults is not None:
            command = list(defaults.entrypoint)
            args = args or list(defaults.cmd)
        argv = command + args
        if not argv:
            raise pod_spec.ConfigMissing(f'no command specified for image "{container["image"]}"')
        layers = list(image.layers) if image is not None else []
        uid, gid, groups = self._user(pod, container, defaults.user if defaults else "", layers)
        env.setdefault("HOME", "/root" if uid == 0 else "/")
        log_path = self._log_dir(pod, container["name"]) / f"{attempt}.log"
        log_path.parent.mkdir(parents=True, exist_ok=True)
        return ContainerConfig(
            name=container["name"],
            attempt=attempt,
            argv=argv,
            env=env,
            cwd=container.get("workingDir") or (defaults.working_dir if defaults else "") or "/",
            log_path=str(log_path),
            lower_dirs=layers,
            mounts=[
                *self._pod_files(pod, step.ip, container),
                *self.volumes.mounts(pod, container, step.paths),
            ],
            uid=uid,
            gid=gid,
            groups=groups,
            capabilities=pod_spec.capabilities(container, CAPABILITIES),
            no_new_privileges=context.get("allowPrivilegeEscalation") is False,
            readonly_rootfs=bool(context.get("readOnlyRootFilesystem")),
            privileged=bool(context.get("privileged")),
            stdin=bool(container.get("stdin")),
            tty=bool(container.get("tty")),
            resources=pod_spec.container_resources(container),
            oom_score_adj=pod_spec.oom_score_adj(pod, container, self._memory_bytes),
            stop_signal=_signal_number(defaults.stop_signal if defaults else ""),
            labels={"grace": str(pod["spec"].get("terminationGracePeriodSeconds", 30))},
        )

    def _user(
        self, pod: Object, container: Object, image_user: str, layers: list[str]
    ) -> tuple[int, int, list[int]]:
        user, group = pod_spec.user_of(pod, container, image_user)
        uid, gid, groups = resolve_user(user, group, layers)
        if uid == 0 and pod_spec.must_not_be_root(pod, container):
            raise pod_spec.ConfigMissing("container has runAsNonRoot and image will run as root")
        context = pod["spec"].get("securityContext") or {}
        groups += context.get("supplementalGroups") or []
        if context.get("fsGroup") is not None:
            groups.append(context["fsGroup"])
        return uid, gid, sorted(set(groups))

    def _lookup(self, pod: Object) -> pod_spec.Lookup:
        def lookup(kind: str, name: str) -> dict[str, str] | None:
            obj = self._fetch(kind, pod["metadata"]["namespace"], name)
            if obj is None:
                return None
            return {k: v.decode(errors="replace") for k, v in binary_data(obj).items()}

        return lookup

    def _fetch(self, kind: str, namespace: str, name: str) -> Object | None:
        try:
            return self._client.get(kind, name, namespace)
        except (NotFound, Forbidden):
            return None

    def _pod_files(self, pod: Object, ip: str, container: Object) -> list[Mount]:
        """/etc/hosts, /etc/hostname and /etc/resolv.conf, unless a volume stands there."""
        directory = self.volumes.pod_dir(pod["metadata"]["uid"]) / "etc"
        directory.mkdir(parents=True, exist_ok=True)
        taken = {m["mountPath"].rstrip("/") for m in container.get("volumeMounts") or ()}
        texts = {
            "hosts": _hosts(pod, ip),
            "hostname": f"{_hostname(pod)}\n",
            "resolv.conf": _resolv_conf(pod),
        }
        mounts = []
        for name, text in texts.items():
            if f"/etc/{name}" in taken:
                continue
            path = directory / name
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
            mounts.append(Mount(str(path), f"/etc/{name}"))
        return mounts

    def _log_dir(self, pod: Object, container: str) -> Path:
        m = pod["metadata"]
        return self._logs / f"{m['namespace']}_{m['name']}_{m['uid']}" / container

    def log_file(self, pod: Object, container: str, attempt: int) -> Path:
        return self._log_dir(pod, container) / f"{attempt}.log"

    # ---- status ----

    def _write_observed(
        self, pod: Object, memory: Memory, sandbox: SandboxStatus, ip: str
    ) -> list[ContainerStatus]:
        containers = self._runtime.list_containers(pod["metadata"]["uid"])
        for status in containers:
            if status.state != "exited" and latest(containers, status.name) is status:
                memory.waiting.pop(status.name, None)
        observed = Observed(
            containers=containers,
            has_sandbox=sandbox.state == "ready",
            pod_ip=ip,
            waiting=memory.waiting,
            images=memory.images,
        )
        self._write(pod, memory, pod_status.compute(pod, observed, self._node(), meta.now()))
        return containers

    def _write(self, pod: Object, memory: Memory, status: Object) -> None:
        """Patch the status if a reader of the API would see a change. What somebody else wrote
        since (the node lifecycle controller, say) is seen as well, once it is newer than ours."""
        m = pod["metadata"]
        is_behind = int(m["resourceVersion"]) < memory.written_rv
        if not pod_status.differs(status, memory.written if is_behind else pod.get("status")):
            return
        patch = {"metadata": {"uid": m["uid"]}, "status": status}
        try:
            answer = self._client.patch(
                "pods", m["name"], m["namespace"], patch, subresource="status"
            )
        except (NotFound, Conflict):
            return  # this Pod is gone: the informer will say so
        memory.written = status
        memory.written_rv = int(answer["metadata"]["resourceVersion"])

    # ---- the end of a Pod ----

    def _terminate(self, pod: Object, memory: Memory) -> float | None:
        """Stop it, then clean up, then let the API server forget it."""
        grace_s = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        uid = pod["metadata"]["uid"]
        until = time.monotonic() + grace_s
        is_shorter = memory.stopping is not None and until < memory.grace_until - 1
        if memory.stopping is None or is_shorter:
            memory.grace_until = until
            for status in self._runtime.list_containers(uid) if self._sandbox(uid) else ():
                if status.state == "running" and not is_shorter:
                    self._recorder.event(
                        pod,
                        "Normal",
                        "Killing",
                        f"Stopping container {status.name}",
                        field_path=f"spec.containers{{{status.name}}}",
                    )
            self._stop_in_background(pod, memory, grace_s, is_again=is_shorter)
            return None
        if not memory.stopping.is_set():
            return None
        self._clean_up(uid)
        m = pod["metadata"]
        shutil.rmtree(self._logs / f"{m['namespace']}_{m['name']}_{uid}", ignore_errors=True)
        try:
            self._client.delete("pods", m["name"], m["namespace"], grace_s=0, uid=uid)
        except (NotFound, Conflict):
            log.debug("%s: gone already", uid)
        return None

    def _stop_in_background(
        self, pod: Object, memory: Memory, grace_s: float, *, is_again: bool = False
    ) -> None:
        uid = pod["metadata"]["uid"]
        if memory.stopping is not None and not is_again:
            return
        stopped = memory.stopping = threading.Event()

        def stop() -> None:
            try:
                self._stop_containers(uid, grace_s)
                self._clean_up(uid)
            except (RuntimeFailure, OSError) as failure:
                log.warning("%s: stopping failed, will try again: %s", uid, failure)
                memory.stopping = None
            stopped.set()
            self._requeue(uid)

        self._stoppers.submit(stop)

    def _stop_containers(self, uid: str, grace_s: float) -> None:
        """All at once, each with the whole grace period."""
        try:
            running = [c for c in self._runtime.list_containers(uid) if c.state != "exited"]
        except SandboxNotFound:
            return
        threads = [
            threading.Thread(target=self._runtime.stop_container, args=(c.id, grace_s), daemon=True)
            for c in running[1:]
        ]
        for thread in threads:
            thread.start()
        for status in running[:1]:
            self._runtime.stop_container(status.id, grace_s)
        for thread in threads:
            thread.join()

    def _clean_up(self, uid: str) -> None:
        """Everything of a Pod that is in the kernel or on the disk, but its logs."""
        self._runtime.remove_pod_sandbox(uid)
        self._network.detach(uid)
        self.volumes.clean_up(uid)

    def _forget(self, uid: str) -> float | None:
        """A Pod that the API does not know (any more): an orphan of a crash or of a forced
        delete."""
        memory = self._memory.setdefault(uid, Memory())
        if memory.stopping is None:
            self._stop_in_background({"metadata": {"uid": uid}}, memory, 0.0)
            return None
        if memory.stopping.is_set():
            self._memory.pop(uid, None)
            for left in self._logs.glob(f"*_{uid}"):
                shutil.rmtree(left, ignore_errors=True)
        return None

    def known(self) -> set[str]:
        """Uids of all that is on this node, whatever the API says."""
        attached = set(self._network.attached())
        return (
            {s.id for s in self._runtime.list_pod_sandboxes()} | attached | set(self.volumes.pods())
        )

    def refresh_volumes(self, pod: Object) -> None:
        """Clock work: bring ConfigMaps, Secrets and downward files of a running Pod up to date."""
        try:
            self.volumes.prepare(pod, self._node())
        except (VolumeError, ClientError, OSError) as failure:
            log.warning("%s: volumes not refreshed: %s", meta.key_of(pod), failure)


@dataclass
class Step:
    """One Pod while it is looked at."""

    pod: Object
    sandbox: SandboxStatus
    ip: str
    paths: dict[str, str]
    memory: Memory

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])


def _restarts(pod: Object, ended: ContainerStatus, is_init: bool) -> bool:
    policy = pod["spec"].get("restartPolicy", "Always")
    if is_init:
        return policy != "Never" and ended.exit_code != 0
    return policy == "Always" or (policy == "OnFailure" and ended.exit_code != 0)


def _hostname(pod: Object) -> str:
    """At most 63 bytes (`man 2 sethostname` allows 64), without a trailing dash or dot."""
    return str(pod["spec"].get("hostname") or pod["metadata"]["name"])[:63].rstrip("-.")


def _field_path(container: Object) -> str:
    return f"spec.containers{{{container['name']}}}"


def _go_duration(seconds: float) -> str:
    """As Go prints it: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def _signal_number(name: str) -> int:
    import signal

    if name.isdigit():
        return int(name)
    full = name if name.startswith("SIG") else f"SIG{name}"
    found = getattr(signal, full, None) if name else None
    return int(found) if found is not None else int(signal.SIGTERM)


def _hosts(pod: Object, ip: str) -> str:
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    if ip:
        lines.append(f"{ip}\t{_hostname(pod)}")
    for alias in pod["spec"].get("hostAliases") or ():
        lines.append(f"{alias['ip']}\t{' '.join(alias.get('hostnames') or ())}")
    return "\n".join(lines) + "\n"


def _resolv_conf(pod: Object) -> str:
    """The host's (there is no cluster DNS yet), or what dnsConfig says."""
    config = pod["spec"].get("dnsConfig") or {}
    lines = []
    if pod["spec"].get("dnsPolicy") != "None":
        try:
            lines = Path("/etc/resolv.conf").read_text().splitlines()
        except OSError:
            lines = []
    lines += [f"nameserver {server}" for server in config.get("nameservers") or ()]
    if config.get("searches"):
        lines.append("search " + " ".join(config["searches"]))
    options = [
        o["name"] + (f":{o['value']}" if o.get("value") else "")
        for o in config.get("options") or ()
    ]
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"
