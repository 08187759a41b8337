"""One Pod, from what its spec wants and what there is to the next step between them.

Room kubelet. `PodSync.reconcile(uid)` is called by a ReconcileLoop whenever the Pod, something it
refers to, its sandbox or one of its containers has changed. It looks, does what can be done without
waiting, writes the status if that changed, and returns when it wants to look again.

The life of a Pod here: admission → sandbox → network → volumes → init containers one by one →
containers → restarts with back-off → the end (pod_end.py). What is decided is in pod_plan.py, what
is shown in pod_status.py; both are pure.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelet import pod_status, security_admission, sysctls, unsupported
from kubelet.admission import Admission, Rejection
from kubelet.backoff import Backoff
from kubelet.configuration import KubeletConfiguration
from kubelet.container_config import ConfigMissing, ContainerConfigs, NoCommand, grace_s
from kubelet.container_stop import ContainerStops, Ending
from kubelet.early_end import DEADLINE, EarlyEnd
from kubelet.environment import Surroundings, host_ip
from kubelet.hooks import Hooks
from kubelet.image_puller import ImageNotReady, ImagePuller
from kubelet.log_follower import Exits
from kubelet.mirror_pods import MirrorPods
from kubelet.network import Bandwidth, NetworkError, PodNetwork
from kubelet.network_wishes import bandwidth, host_ports
from kubelet.object_watch import ObjectWatch
from kubelet.pod_end import ORPHAN_GRACE_S, PodEnd
from kubelet.pod_hostname import NameTooLong, kernel_name
from kubelet.pod_plan import (
    Kill,
    Plan,
    Start,
    container_statuses,
    make_plan,
    newest,
    specs_by_name,
)
from kubelet.pod_source import PodSource
from kubelet.pod_status import Observed
from kubelet.pod_trace import PodTrace
from kubelet.post_start import PostStarts
from kubelet.probes import Answered, Prober, Verdict
from kubelet.qos_cgroups import QosCgroups
from kubelet.resize import Resizer, agreement, allocated
from kubelet.resources import cgroup_parent
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import (
    ContainerStatus,
    Resources,
    Runtime,
    SandboxConfig,
    SandboxStatus,
)
from kubelet.runtime_class import check_handler
from kubelet.seccomp import ProfileError
from kubelet.security_admission import Modules
from kubelet.status_writer import StatusWriter
from kubelet.termination import last_words
from kubelet.user_lookup import UnknownUser
from kubelet.user_ranges import NoUserRange, UserRanges
from kubelet.volumes import VolumeError, Volumes
from podium.api import meta
from podium.api.resource_annotations import speaks_of_io
from podium.client import tracing
from podium.client.event_recorder import Recorder
from podium.client.http import Client

log = logging.getLogger("pod-sync")
Object = dict[str, Any]

RETRY_S = 10.0  # of what nobody will tell us about: a mount, a config, a container not created
SANDBOX_RETRY_S = 1.0


@dataclass
class Memory:
    """What is kept of a Pod between looks; all of it can be lost."""

    backoffs: dict[str, Backoff] = field(default_factory=dict)
    image_ids: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)  # what events have said already
    agreed: dict[str, Object] = field(default_factory=dict)  # resources, by container (resize.py)
    restarting: set[str] = field(default_factory=set)  # ids of containers ended for a resize
    shim_pid: int = 0  # of the sandbox that has `ip`
    ip: str = ""
    bandwidth: Bandwidth | None = None  # as it was put last; None: not known
    trace: PodTrace = field(default_factory=PodTrace)


@dataclass
class Look:
    """One Pod while it is looked at. `waiting` is (reason, message) by container name."""

    pod: Object  # with the resources that this node has agreed to
    status: Object  # the newest that was written
    memory: Memory
    sandbox: SandboxStatus | None = None
    around: Surroundings | None = None
    paths: dict[str, str] = field(default_factory=dict)
    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    resize: str = ""  # status.resize
    wanted: Object = field(default_factory=dict)  # the Pod as the API has it

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def has_sandbox(self) -> bool:
        return self.sandbox is not None and self.sandbox.state == "ready"


class PodSync:
    """Reconciles the Pods of one node; different Pods at the same time, each by one thread.
    `pods` are those that should run here, or end."""

    def __init__(
        self, *, client: Client, runtime: Runtime, network: PodNetwork, recorder: Recorder,
        puller: ImagePuller, volumes: Volumes, configs: ContainerConfigs, objects: ObjectWatch,
        node: Callable[[], Object], pods: PodSource,
        requeue: Callable[[str], None], settings: KubeletConfiguration, exits: Exits,
        user_ranges: UserRanges, qos: QosCgroups, probed: Answered, modules: Modules,
        gates: Sequence[Callable[[Object], Rejection | None]] = (),
    ) -> None:  # fmt: skip
        self._settings, self._user_ranges, self._qos = settings, user_ranges, qos
        self._gates, self._requeue = gates, requeue
        self._early_ends: dict[str, EarlyEnd] = {}
        self._has_told_of_dns = False
        self._modules = modules
        self._runtime, self._network, self._recorder = runtime, network, recorder
        self._puller, self._volumes, self._configs = puller, volumes, configs
        self._objects = objects
        self._node, self._pods = node, pods
        self._admission = Admission(configs.problems)
        self._mirrors = MirrorPods(client, node, pods.shown)
        self._writer = StatusWriter(client, pods.statics, self._mirrors)
        hooks = Hooks(runtime, exits)
        self._stops = ContainerStops(runtime, recorder, hooks, requeue)
        self._post_starts = PostStarts(recorder, hooks, self._stops, requeue)
        self._prober = Prober(runtime, recorder, requeue, probed)
        self._end = PodEnd(
            client=client, runtime=runtime, network=network, volumes=volumes, configs=configs,
            stops=self._stops, statics=pods.statics,
        )  # fmt: skip
        self._resizer = Resizer(runtime, configs.values)
        self._deferred: set[str] = set()  # uids of Pods that wait for room to be resized
        self._requeue = requeue
        self._memory: dict[str, Memory] = {}

    def close(self) -> None:
        """Ask nobody any more; containers live on."""
        self._prober.close()

    def known(self) -> set[str]:
        """Uids of all that is on this node, whatever the API says."""
        return self._end.known()

    def count_running(self, pods: list[Object]) -> None:
        """Before the first look: what was admitted in an earlier life keeps its place."""
        for pod in pods:
            status = pod.get("status") or {}
            if status.get("startTime") and not pod_status.is_terminal(status):
                running = allocated(pod, status, {})
                self._admission.count(running)
                self._qos.admitted(running)

    def end_early(self, uid: str, how: EarlyEnd) -> None:
        """Have that Pod end, as Failed. The first reason counts. Safe from any thread."""
        self._early_ends.setdefault(uid, how)
        self._requeue(uid)

    def reconcile(self, uid: str) -> float | None:
        """One look; seconds until the next if nothing else wakes us. Raises Unreachable, when all
        is done, if the API server could not be told of it."""
        if not self._pods.may_decide(uid):
            return None
        pod = self._pods.find(uid)
        if pod is None:
            self._forget(uid)
            return None
        tracing.describe(pod=meta.key_of(pod))
        self._writer.retry(pod)
        status, memory = self._writer.newest(pod), self._memory_of(uid)
        again_s = self._look_at(
            Look(allocated(pod, status, memory.agreed), status, memory, wanted=pod)
        )
        self._writer.raise_failure(uid)
        return min((s for s in (again_s, self._mirrors.wait_s(uid)) if s is not None), default=None)

    def _memory_of(self, uid: str) -> Memory:
        return self._memory.setdefault(uid, Memory())

    def _look_at(self, look: Look) -> float | None:
        if look.pod["metadata"].get("deletionTimestamp"):
            self._terminate(look)
            return None
        if pod_status.is_terminal(look.status):
            self._free(look)
            return None
        if look.uid in self._early_ends:
            self._end_now(look, self._early_ends[look.uid])
            return None
        return self._run(look)

    # ---- a Pod that should run ----

    def _run(self, look: Look) -> float | None:
        if not self._is_admitted(look) or not self._is_supported(look):
            return None
        left_s = _deadline_left_s(look)
        if left_s <= 0:
            self._tell_once(look, DEADLINE.reason, DEADLINE.message)
            self._end_now(look, DEADLINE)
            return None
        if look.wanted is not look.pod:
            self._agree(look)
        again_s = self._advance(look)
        times = [s for s in (again_s, left_s) if s is not None and s != _FOREVER]
        return min(times, default=None)

    def _is_admitted(self, look: Look) -> bool:
        if look.status.get("startTime"):
            self._admission.count(look.pod)
            self._qos.admitted(look.pod)
            return True
        rejection = (
            next(filter(None, (gate(look.pod) for gate in self._gates)), None)
            or security_admission.rejection(look.pod, self._settings, self._modules)
            or self._admission.admit(look.pod, self._node())
        )
        if rejection is None:
            self._qos.admitted(look.pod)
            return True
        self._recorder.event(look.pod, "Warning", rejection.reason, rejection.message)
        message = f"Pod was rejected: {rejection.message}"
        self._write(look, pod_status.failed(
            look.pod, look.status, rejection.reason, message, meta.now()
        ))  # fmt: skip
        return False

    def _is_supported(self, look: Look) -> bool:
        """If not it waits, which shows as Pending; failing it would only have it replaced."""
        refusals = unsupported.refusals(look.pod)
        if not refusals:
            for warning in unsupported.warnings(look.pod):
                self._tell_once(look, "NotSupported", warning)
            return True
        message = "; ".join(refusals)
        self._tell_once(look, "FailedCreatePodSandBox", f"Failed to create pod sandbox: {message}")
        for container in look.pod["spec"]["containers"]:
            look.waiting[container["name"]] = ("NotSupported", message)
        self._write_observed(look)
        return False

    def _agree(self, look: Look) -> None:
        """The Pod is to be resized: let it be, if there is room."""
        wanted = look.wanted
        look.resize = self._admission.resize(wanted, self._node())
        if look.resize == "Deferred":
            self._deferred.add(look.uid)
        elif look.resize == "":
            look.pod, look.resize = wanted, "InProgress"
            look.memory.agreed = agreement(wanted)
            self._qos.admitted(wanted)
            look.sandbox = self._sandbox(look.uid)
            self._write_observed(look)  # a life after this one must know what was agreed

    def _resize(self, look: Look) -> float | None:
        """Bring the kernel to what was agreed; seconds until another try."""
        containers = self._runtime.list_containers(look.uid)
        progress = self._resizer.advance(look.pod, containers)
        self._stops.begin([self._ending_of(look, kill) for kill in progress.kills])
        look.memory.restarting &= {container.id for container in containers}
        look.memory.restarting |= {kill.id for kill in progress.kills}
        if progress.problem:
            self._tell_once(look, "FailedSync", f"error syncing pod: {progress.problem}")
        if look.resize in ("", "InProgress"):
            look.resize = "InProgress" if progress.kills or progress.problem else ""
        return RETRY_S if progress.problem else None

    def _has_room(self, uid: str) -> None:
        """A Pod has gone: those that wait may be resized now."""
        self._deferred.discard(uid)
        while self._deferred:
            self._requeue(self._deferred.pop())

    def _tell_once(self, look: Look, reason: str, message: str) -> None:
        if message not in look.memory.told:
            look.memory.told.add(message)
            self._recorder.event(look.pod, "Warning", reason, message)

    def _advance(self, look: Look) -> float | None:
        """Start what may start now; seconds until a wait ends."""
        self._objects.follow(look.pod)
        look.sandbox = self._sandbox(look.uid)
        plan = make_plan(
            look.pod,
            look.status,
            self._runtime.list_containers(look.uid),
            has_sandbox=look.has_sandbox,
            backoffs=look.memory.backoffs,
            now=time.time(),
            verdicts=self._verdicts(look),
            restarting=look.memory.restarting,
        )
        if plan.is_over:
            if not self._stop_all(look, float(grace_s(look.pod))):
                return None
            self._write_observed(look, is_ended=True)
            self._free(look)
            return None
        self._say_backing_off(look, plan)
        look.waiting |= plan.waiting
        self._stops.begin([self._ending_of(look, kill) for kill in plan.kills])
        again_s = self._prepare(look)
        if again_s is None:
            due_s = self._volumes.due_in_s(look.uid)
            waits = [plan.again_s, due_s, *self._start_all(look, plan.starts)]
            again_s = min((s for s in waits if s is not None), default=None)
        if (resized_s := self._resize(look)) is not None:
            again_s = resized_s if again_s is None else min(again_s, resized_s)
        self._write_observed(look)
        return again_s

    def _say_backing_off(self, look: Look, plan: Plan) -> None:
        about = look.pod["metadata"]
        for name, (_, message) in plan.waiting.items():
            old = container_statuses(look.status).get(name) or {}
            if ((old.get("state") or {}).get("waiting") or {}).get("message") != message:
                self._recorder.event(
                    look.pod, "Warning", "BackOff",
                    f"Back-off restarting failed container {name} in pod "
                    f"{about['name']}_{about['namespace']}({about['uid']})",
                    field_path=self._field_path(look, name),
                )  # fmt: skip

    # ---- sandbox, network, volumes ----

    def _sandbox(self, uid: str) -> SandboxStatus | None:
        return next((s for s in self._runtime.list_pod_sandboxes() if s.id == uid), None)

    def _prepare(self, look: Look) -> float | None:
        """What containers need before they start; None when it is all there."""
        try:
            ip = self._ensure_sandbox(look)
        except (RuntimeFailure, NetworkError, NoUserRange, NameTooLong, OSError) as failure:
            message = f"Failed to create pod sandbox: {failure}"
            self._recorder.event(look.pod, "Warning", "FailedCreatePodSandBox", message)
            return SANDBOX_RETRY_S
        look.around = Surroundings(ip, self._node(), self._objects.get)
        try:
            with look.memory.trace.once("volumes"):
                look.paths = self._volumes.prepare(look.pod, look.around)
        except VolumeError as failure:
            self._recorder.event(look.pod, "Warning", "FailedMount", str(failure))
            return RETRY_S
        return self._limit_io(look)

    def _limit_io(self, look: Look) -> float | None:
        """Of the Pod as a whole: now that its volumes are there, their disks are known."""
        if not speaks_of_io(look.pod["metadata"].get("annotations") or {}):
            return None
        try:
            resources = self._configs.pod_resources(look.pod, look.paths.values())
            self._runtime.update_sandbox_resources(look.uid, resources)
            for warning in self._configs.io_warnings(look.pod, look.paths.values()):
                self._tell_once(look, "NotSupported", warning)
        except (RuntimeFailure, OSError) as failure:
            message = f"Failed to limit I/O: {failure}"
            self._recorder.event(look.pod, "Warning", "FailedCreatePodSandBox", message)
            return RETRY_S
        return None

    def _ensure_sandbox(self, look: Look) -> str:
        """A ready sandbox; its address."""
        memory, has_host_network = look.memory, bool(look.pod["spec"].get("hostNetwork"))
        if not look.has_sandbox:
            check_handler(look.pod, self._objects.get)
            self._tell_of_dns(look)
        if not look.has_sandbox:
            if look.sandbox is not None or look.status.get("podIP"):
                self._drop_lost_sandbox(look)
            resources = self._configs.pod_resources(look.pod, ())
            config = _sandbox_config(
                look.pod, resources, self._settings.cluster_domain, self._user_ranges
            )
            memory.trace.new_sandbox()
            with memory.trace.once("sandbox"):
                look.sandbox = self._runtime.run_pod_sandbox(config)
            memory.bandwidth = Bandwidth()  # its interface will be a new one
        assert look.sandbox is not None
        if has_host_network:
            return host_ip(self._node())
        if memory.shim_pid != look.sandbox.shim_pid:
            with memory.trace.once("network") as told:
                memory.ip = told["ip"] = self._network.attach(look.uid, look.sandbox.netns_path).ip
                self._network.publish(look.uid, host_ports(look.pod))
                self._limit(look, bandwidth(look.pod))
            memory.shim_pid = look.sandbox.shim_pid
        else:
            self._limit_again(look)
        return memory.ip

    def _tell_of_dns(self, look: Look) -> None:
        """What did not fit; and once, of the node, that there is no DNS of the cluster. Kubernetes
        says the latter of each Pod as well: but no Pod has asked for it, it is the default."""
        for warning in self._configs.dns.warnings(look.pod):
            self._tell_once(look, "DNSConfigForming", warning)
        missing = self._configs.dns.missing_cluster_dns(look.pod)
        if missing and not self._has_told_of_dns:
            self._has_told_of_dns = True
            self._recorder.event(self._node(), "Warning", "MissingClusterDNS", missing)

    def _limit(self, look: Look, wanted: Bandwidth) -> None:
        if look.memory.bandwidth != wanted:
            self._network.limit(look.uid, wanted)
            look.memory.bandwidth = wanted

    def _limit_again(self, look: Look) -> None:
        """The annotation may have changed; a bad one leaves a running Pod as it is."""
        try:
            self._limit(look, bandwidth(look.pod))
        except NetworkError as failure:
            self._tell_once(look, "NotSupported", str(failure))

    def _drop_lost_sandbox(self, look: Look) -> None:
        """Its containers have ended with it; the status remembers them."""
        self._recorder.event(
            look.pod, "Normal", "SandboxChanged",
            "Pod sandbox changed, it will be killed and re-created.",
        )  # fmt: skip
        if look.sandbox is not None:
            self._write_observed(look)
            self._runtime.remove_pod_sandbox(look.uid)
            self._network.detach(look.uid)
        look.memory.backoffs.clear()
        look.memory.shim_pid, look.memory.ip = 0, ""

    # ---- one container ----

    def _start_all(self, look: Look, starts: Sequence[Start]) -> Iterator[float | None]:
        """In their order; a postStart hook holds back those that come after it."""
        for start in starts:
            if self._post_starts.under_way(look.uid):
                return
            yield self._start(look, start)

    def _start(self, look: Look, start: Start) -> float | None:
        """Image, config, create, start. What goes wrong is told in the status and in an event;
        seconds until another try."""
        name = start.container["name"]
        try:
            container_id = start.created_id or self._create(look, start)
        except ImageNotReady as failure:
            if failure.reason:
                look.waiting[name] = (failure.reason, failure.message)
            return failure.again_s
        except (ConfigMissing, UnknownUser, VolumeError) as failure:
            return self._fail(look, name, "CreateContainerConfigError", failure)
        except (NoCommand, ProfileError, RuntimeFailure, OSError) as failure:
            return self._fail(look, name, "CreateContainerError", failure)
        last_s = self._settings.max_restart_backoff_s
        backoff = look.memory.backoffs.setdefault(name, Backoff(last_s=last_s))
        if start.failed_at is not None:
            backoff.tried(start.failed_at, time.time())
        try:
            with look.memory.trace.once("start", container=name, attempt=start.attempt):
                started = self._runtime.start_container(container_id)
        except RuntimeFailure as failure:
            return self._fail(look, name, "RunContainerError", failure)
        if started.reason == "StartError":
            self._tell(look, name, "Warning", "Failed", f"Error: {started.message}")
        else:
            self._tell(look, name, "Normal", "Started", f"Started container {name}")
            self._post_starts.begin(
                self._ending(look, started, float(grace_s(look.pod)), "FailedPostStartHook")
            )
        self._remove_older(look.uid, name, start.attempt - 1)
        return None

    def _create(self, look: Look, start: Start) -> str:
        assert look.around is not None
        name, where = start.container["name"], self._field_path(look, start.container["name"])
        trace = look.memory.trace
        with trace.once("image", container=name) as told:
            image = self._puller.ensure(look.pod, start.container, where)
            told["image"] = str(start.container.get("image"))
        look.memory.image_ids[name] = image.ref
        self._fill_image_volumes(look, start.container, where)
        config = self._configs.make(
            look.pod,
            start.container,
            start.attempt,
            image=image,
            around=look.around,
            paths=look.paths,
            target_id=self._target_id(look, start.container),
        )
        with trace.once("create", container=name, attempt=start.attempt):
            container_id = self._runtime.create_container(look.uid, config)
        self._tell(look, name, "Normal", "Created", f"Created container: {name}")
        return container_id

    def _target_id(self, look: Look, container: Object) -> str:
        """Of the container whose processes an ephemeral one is to see; "" for none."""
        name = container.get("targetContainerName")
        if not name:
            return ""
        target = newest(self._runtime.list_containers(look.uid), name)
        if target is None:
            raise ConfigMissing(f"unable to find target container {name}")
        return target.id

    def _fill_image_volumes(self, look: Look, container: Object, where: str) -> None:
        """Of the images that this container mounts; ImageNotReady or OSError."""
        mounted = {mount["name"] for mount in container.get("volumeMounts") or ()}
        for volume in look.pod["spec"].get("volumes") or ():
            image = volume.get("image")
            if image is not None and volume["name"] in mounted:
                policy = image.get("pullPolicy") or "IfNotPresent"
                reference = image.get("reference") or ""
                pulled = self._puller.ensure_reference(look.pod, reference, policy, where)
                self._volumes.mount_image(look.pod, volume["name"], pulled.layers)

    def _fail(self, look: Look, name: str, reason: str, failure: Exception) -> float:
        look.waiting[name] = (reason, str(failure))
        self._tell(look, name, "Warning", "Failed", f"Error: {failure}")
        return RETRY_S

    def _tell(self, look: Look, name: str, type_: str, reason: str, message: str) -> None:
        where = self._field_path(look, name)
        self._recorder.event(look.pod, type_, reason, message, field_path=where)

    @staticmethod
    def _field_path(look: Look, name: str) -> str:
        return specs_by_name(look.pod)[name][0]

    def _ending_of(self, look: Look, kill: Kill) -> Ending:
        own = (kill.container.get(kill.probe) or {}).get("terminationGracePeriodSeconds")
        grace = float(grace_s(look.pod) if own is None else own)
        return self._ending(look, self._runtime.container_status(kill.id), grace, kill.message)

    def _ending(
        self, look: Look, container: ContainerStatus, grace_s: float, message: str
    ) -> Ending:
        spec = specs_by_name(look.pod)[container.name]
        ending = Ending(container, grace_s, message=message)
        return ending.known_by(look.pod, spec, self._ip(look))

    def _remove_older(self, uid: str, name: str, oldest: int) -> None:
        """Of those that have ended only the last is kept, for its exit code and its log."""
        for container in self._runtime.list_containers(uid):
            if container.name == name and container.attempt < oldest:
                self._runtime.remove_container(container.id)

    # ---- the status ----

    def _ip(self, look: Look) -> str:
        """Where its containers are asked by probes and hooks; "" before it has an address."""
        if look.around is not None:
            return look.around.pod_ip
        return look.memory.ip or str(look.status.get("podIP") or "")

    def _verdicts(self, look: Look) -> dict[str, Verdict]:
        """What is said of the containers that run, by id; also who is to be probed from now on."""
        starting = self._post_starts.under_way(look.uid)
        specs = specs_by_name(look.pod)
        running = [
            c
            for c in self._runtime.list_containers(look.uid)
            if c.state == "running" and c.id not in starting and c.name in specs
        ]
        written = container_statuses(look.status)
        verdicts = self._prober.follow(look.pod, specs, running, self._ip(look), written)
        return verdicts | dict.fromkeys(starting, Verdict(is_started=False, is_ready=False))

    def _observe(self, look: Look, *, is_ended: bool = False) -> Observed:
        containers = self._runtime.list_containers(look.uid)
        for name in [n for n in look.waiting if _lives(newest(containers, n))]:
            del look.waiting[name]
        return Observed(
            containers=containers,
            has_sandbox=look.has_sandbox,
            pod_ip=look.around.pod_ip if look.around is not None else look.memory.ip,
            waiting=look.waiting,
            image_ids=look.memory.image_ids,
            messages=last_words(look.pod, containers, self._volumes.pod_dir(look.uid)),
            verdicts=self._verdicts(look),
            starting=self._post_starts.under_way(look.uid),
            actual=self._resizer.actual(look.pod, containers),
            resize=look.resize,
            is_ended=is_ended,
            has_recursive_read_only=self._runtime.has_recursive_read_only,
        )

    def _write_observed(self, look: Look, *, is_ended: bool = False) -> None:
        observed = self._observe(look, is_ended=is_ended)
        status = pod_status.compute(look.pod, look.status, observed, self._node(), meta.now())
        for container in observed.containers:
            look.memory.trace.running(container)
        look.memory.trace.ready(look.status, status, observed.containers)
        self._write(look, status)

    def _write(self, look: Look, status: Object) -> None:
        if pod_status.is_terminal(status):  # before the scheduler hears that its place is free
            self._admission.release(look.uid)
        look.status = self._writer.write(look.pod, status)

    # ---- the end ----

    def _stop_all(self, look: Look, grace_s: float) -> bool:
        """Whether nothing runs any more; as long as something does, the status tells of it."""
        if self._end.stop(look.uid, grace_s, look.pod, self._ip(look)):
            return True
        look.sandbox = self._sandbox(look.uid)
        self._write_observed(look)
        return False

    def _end_now(self, look: Look, how: EarlyEnd) -> None:
        """It is Failed once nothing of it runs."""
        grace = float(grace_s(look.pod)) if how.grace_s is None else how.grace_s
        if not self._stop_all(look, grace):
            return
        look.sandbox = self._sandbox(look.uid)
        observed = self._observe(look, is_ended=True)
        over = {**look.status, "phase": "Failed", "reason": how.reason, "message": how.message}
        if how.is_disruption:
            over["conditions"] = [dict(one) for one in look.status.get("conditions") or ()]
            meta.set_condition(
                over, "DisruptionTarget", "True", "TerminationByKubelet", how.message, meta.now()
            )
        status = pod_status.compute(look.pod, over, observed, self._node(), meta.now())
        self._write(look, status)
        self._free(look)

    def _terminate(self, look: Look) -> None:
        """Stop it, say how it ended, clean up, then let the API server forget it."""
        left_s = float(look.pod["metadata"].get("deletionGracePeriodSeconds") or 0)
        if not self._stop_all(look, left_s):
            return
        if look.status.get("containerStatuses"):
            look.sandbox = None
            self._write_observed(look, is_ended=True)
        self._end.clean_up(look.uid)
        self._end.remove_logs(look.uid)
        self._admission.release(look.uid)
        self._end.delete(look.pod)

    def _free(self, look: Look) -> None:
        """A Pod that is over keeps its logs and its place in the API, and nothing else."""
        self._admission.release(look.uid)
        self._qos.released(look.uid)
        self._has_room(look.uid)
        self._objects.forget(look.uid)
        self._prober.forget(look.uid)
        if self._end.has_left(look.uid) and self._end.stop(
            look.uid, float(grace_s(look.pod)), look.pod, self._ip(look)
        ):
            self._end.clean_up(look.uid)

    def _forget(self, uid: str) -> None:
        """Nobody knows it (any more): it is deleted, or an orphan of a crash."""
        for mirror in self._pods.mirrors_of(uid):
            self._mirrors.remove(mirror)
        self._prober.forget(uid)
        if not self._end.stop(uid, ORPHAN_GRACE_S):
            return
        self._end.clean_up(uid)
        self._end.remove_logs(uid)
        self._admission.release(uid)
        self._qos.released(uid)
        self._resizer.forget(uid)
        self._has_room(uid)
        self._objects.forget(uid)
        self._puller.forget(uid)
        self._early_ends.pop(uid, None)
        self._writer.forget(uid)
        self._memory.pop(uid, None)


_FOREVER = float("inf")


def _deadline_left_s(look: Look) -> float:
    seconds, began = look.pod["spec"].get("activeDeadlineSeconds"), look.status.get("startTime")
    if seconds is None:
        return _FOREVER
    if began is None:
        return float(seconds)
    return meta.parse_time(began).timestamp() + float(seconds) - time.time()


def _lives(container: ContainerStatus | None) -> bool:
    return container is not None and container.state != "exited"


def _sandbox_config(
    pod: Object, resources: Resources, domain: str, user_ranges: UserRanges
) -> SandboxConfig:
    spec, about = pod["spec"], pod["metadata"]
    has_users = spec.get("hostUsers") is False
    return SandboxConfig(
        id=about["uid"],
        hostname=kernel_name(pod, domain),
        cgroup_parent=cgroup_parent(pod),
        resources=resources,
        host_network=bool(spec.get("hostNetwork")),
        host_ipc=bool(spec.get("hostIPC")),
        sysctls=sysctls.of_pod(pod),
        user_namespace=user_ranges.take(about["uid"]) if has_users else None,
        shares_pid=bool(spec.get("shareProcessNamespace")),
        labels={
            "namespace": about["namespace"],
            "name": about["name"],
            "grace": str(grace_s(pod)),
        },
    )
