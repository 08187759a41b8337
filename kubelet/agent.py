"""A running kubelet: its parts, what wakes them, and their end.

Room kubelet; started by __main__.py in a process of its own. What wakes a Pod: the watch on the
node's Pods, the runtime's events, the objects a Pod refers to, a back-off that ends. What is due by
the clock (heartbeats, log rotation, a look for leftovers) APScheduler runs.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kubelet import configuration, engine, pod_status, pod_trace, security_admission
from kubelet.api_address import server_address, services
from kubelet.cgroup_values import CgroupValues
from kubelet.configuration import KubeletConfiguration
from kubelet.container_config import ContainerConfigs
from kubelet.dbus import SYSTEM_BUS
from kubelet.debugging import PodPictures, debugged_network, debugged_runtime
from kubelet.early_end import EarlyEnd
from kubelet.eviction import EVERY_S, Eviction
from kubelet.hardware import read_hardware
from kubelet.image_keeper import COLLECT_EVERY_S, ImageKeeper
from kubelet.image_puller import ImagePuller
from kubelet.image_requests import ImageRequests
from kubelet.images import ImageStore
from kubelet.images.pull import Pulls
from kubelet.images.registry.hosts import Registries
from kubelet.local_storage import StorageKeeper
from kubelet.log_follower import Exits
from kubelet.logind import ShutdownLock
from kubelet.machine import host_address
from kubelet.metrics import KubeletMetrics, MeasuredRuntime
from kubelet.network import PodNetwork
from kubelet.node_shutdown import NodeShutdown
from kubelet.node_status import RENEW_EVERY_S, NodeReporter
from kubelet.object_watch import ObjectWatch
from kubelet.pod_source import PodSource, key_of
from kubelet.pod_sync import PodSync
from kubelet.pod_usage import PodUsage
from kubelet.pull_secrets import PullSecrets
from kubelet.qos_cgroups import QosCgroups
from kubelet.readiness import say_ready
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.errors import RuntimeFailure
from kubelet.runtime.protocol import Runtime, RuntimeEvent
from kubelet.server import KubeletServer, Rooms
from kubelet.service_account_tokens import PodTokens
from kubelet.slow_disk import SlowDisk
from kubelet.static_pods import StaticPods
from kubelet.stats.pages import Statistics
from kubelet.stats.sampler import Sampler
from kubelet.user_ranges import UserRanges
from kubelet.volumes import Volumes
from podium.client.config import load_kubeconfig
from podium.client.debug_watch import DebugWatch
from podium.client.errors import ClientError
from podium.client.event_recorder import EventRecorder
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop
from podium.client.span_sender import SpanSender

if TYPE_CHECKING:
    from kubelet.inspect import Inspector

Object = dict[str, Any]
log = logging.getLogger("kubelet")

POD_SYNC = "pod-sync"
WORKERS = 8
RETRY_FIRST_S, RETRY_LAST_S = 0.02, 1.0
HOUSEKEEPING_S = 60
PODS_WAIT_S = 10.0  # for the Pods of the node, before images are collected
MOST_PULLS = 50  # at a time; what is transferred at a time is bounded by itself


class Kubelet:
    """`config` is cluster.json, `node` its entry for this node. Raises ConfigurationError."""

    def __init__(self, data_dir: Path, config: Object, node: Object) -> None:
        name, node_dir = node["name"], str(node_dir_of(data_dir, node))
        pki = data_dir / "pki"
        os.makedirs(node_dir, exist_ok=True)
        os.chmod(node_dir, 0o700)  # the launcher may have made it before us
        self._settings = configuration.load(Path(node_dir))
        self._stopping = threading.Event()
        self._client = Client(
            load_kubeconfig(pki / f"node-{name}.kubeconfig"), user_agent="kubelet"
        )
        self._informers = InformerFactory(self._client)
        self._pods = self._informers.informer("pods", field_selector=f"spec.nodeName={name}")
        self._nodes = self._informers.informer("nodes", field_selector=f"metadata.name={name}")
        self._recorder = EventRecorder(self._client, "kubelet", host=name)
        self._spans = SpanSender(self._client, f"kubelet {name}")
        self._network = network_of(data_dir, config, node)
        self._metrics = KubeletMetrics(name)
        runtime = engine.connect(node, node_dir)
        runtime.on_step = pod_trace.step
        self._runtime = cast(Runtime, MeasuredRuntime(runtime, self._metrics))
        self._images = ImageStore(f"{node_dir}/images")
        self._exits = Exits()
        hardware = read_hardware()
        host = host_address(config["host"])
        self._reporter = NodeReporter(
            self._client,
            self._recorder,
            name,
            pod_cidr=node["podCIDR"],
            node_dir=node_dir,
            host=host,
            images=self._shown_images,
            settings=self._settings,
            runtime_version=self._runtime.version,
            has_user_namespaces=self._runtime.has_user_namespaces,
            has_recursive_read_only=self._runtime.has_recursive_read_only,
            huge_pages=hardware.huge_page_quantities(),
        )
        manifests = Path(self._settings.static_pod_path or f"{node_dir}/manifests")
        if not self._settings.static_pod_path:
            manifests.mkdir(mode=0o700, exist_ok=True)
        self._statics = StaticPods(
            manifests, name, self._wake, rescan_s=self._settings.file_check_frequency_s
        )
        self._source = PodSource(self._pods, self._statics)
        self._keeper = ImageKeeper(
            self._images, self._runtime, self._recorder, self._settings,
            pods=self._source.list, node=self._reporter.node,
        )  # fmt: skip
        self._objects = ObjectWatch(self._client, self._wake)
        pulls = Pulls(
            self._images, Registries(data_dir), parallel=_parallel_pulls(self._settings),
            per_s=self._settings.registry_pull_qps, burst=self._settings.registry_burst,
        )  # fmt: skip
        secrets = PullSecrets(self._objects.get, data_dir / "config.json")
        self._puller = ImagePuller(
            self._images, pulls, secrets, self._recorder, wake=self._wake, came=self._report_node
        )
        volumes = Volumes(
            node_dir,
            self._objects.get,
            PodTokens(self._client),
            has_recursive_read_only=self._runtime.has_recursive_read_only,
        )
        self._storage = StorageKeeper(self._client, self._informers, volumes.storage, name)
        modules = security_admission.find_modules(node["cgroupRoot"])
        modules.apparmor.start_loading()
        configs = ContainerConfigs(
            node_dir,
            volumes,
            CgroupValues(hardware, self._settings),
            modules,
            api_server=server_address(config["host"], config["port"]),
        )
        cgroups = Cgroups.detect(node["cgroupRoot"])
        self._qos = QosCgroups(cgroups, hardware, self._settings)
        self._slow_disk = SlowDisk(
            self._client, self._informers, cgroups, name,
            node_dir=node_dir, pods=self._source.list, is_lab=bool(config.get("lab")),
        )  # fmt: skip
        index = config["nodes"].index(node)
        user_ranges = UserRanges(Path(node_dir, "pods"), config["id"], index)
        self._eviction = Eviction(
            self._settings,
            PodUsage(self._runtime, volumes, configs),
            self._recorder,
            node_dir=node_dir,
            node=self._reporter.node,
            pods=self._source.list,
            evict=self._end_early,
            reclaim_images=self._keeper.remove_unused,
            changed=self._report_node,
        )
        self._reporter.pressures = self._eviction.conditions
        self._shutdown = NodeShutdown(
            self._settings,
            pods=self._source.list,
            end=self._end_early,
            is_over=self._is_over,
            changed=self._report_now,
        )
        self._reporter.why_not_ready = self._shutdown.why_not_ready
        self._shutdown_lock = ShutdownLock(
            self._shutdown.grace_s, self._shutdown.begin, self._shutdown.cancel
        )
        self._debugger = DebugWatch(
            self._client, {POD_SYNC: f"kubelet/{name}"}, self._informers,
            where=f"spec.controller=kubelet/{name}",
        )  # fmt: skip
        self._sync = PodSync(
            client=self._client, runtime=debugged_runtime(self._runtime),
            network=debugged_network(self._network),
            recorder=self._recorder, puller=self._puller, volumes=volumes, configs=configs,
            objects=self._objects, node=self._reporter.node, pods=self._source, requeue=self._wake,
            settings=self._settings, exits=self._exits, user_ranges=user_ranges, qos=self._qos,
            probed=self._metrics.probed, modules=modules,
            gates=(self._eviction.rejection, self._shutdown.rejection),
        )  # fmt: skip
        reconcile = self._metrics.timed_sync(self._sync.reconcile)
        pictures = PodPictures(self._source, self._runtime)
        self._loop = ReconcileLoop(POD_SYNC, reconcile, workers=WORKERS, picture=pictures.of)
        self._node_loop = ReconcileLoop("node-status", self._reporter.reconcile)
        sampler = Sampler(
            name, node_dir, self._runtime, pods=self._source.list, log_dir=configs.log_dir,
            volume_dirs=volumes.counted_dirs, images_bytes=self._images_bytes,
        )  # fmt: skip
        self._server = KubeletServer(host, pki, name, Rooms(
            self._runtime,
            ImageRequests(self._images, self._keeper, pulls, secrets, self._images_came),
            configs, self._exits, self._source.by_name, self._source.list,
            Statistics(sampler, self._metrics, self._runtime), functools.cache(self._inspector),
        ))  # fmt: skip

    # ---- what the parts ask of each other ----

    def _inspector(self) -> Inspector:
        from kubelet.inspect import Inspector  # most nodes' lives go by without

        return Inspector(self._runtime, self._network, self._reporter.name, self._source.list)

    def _wake(self, uid: str) -> None:
        self._loop.add(uid)

    def _end_early(self, uid: str, how: EarlyEnd) -> None:
        self._sync.end_early(uid, how)

    def _is_over(self, uid: str) -> bool:
        pods = (pod for pod in self._source.list() if pod["metadata"]["uid"] == uid)
        return all(pod_status.is_terminal(pod.get("status")) for pod in pods)

    def _shown_images(self) -> list[Object]:
        return self._keeper.shown()

    def _images_bytes(self) -> int:
        return sum(image.size_bytes for image in self._images.list())

    def _images_came(self) -> None:
        for uid in self._puller.waiting_pods():
            self._wake(uid)
        self._report_node()

    def _report_node(self) -> None:
        self._node_loop.add(self._reporter.name)

    def _report_now(self) -> None:
        try:
            self._reporter.reconcile(self._reporter.name)
        except ClientError as failure:
            log.warning("not reported: %s", failure)
            self._report_node()

    # ---- life ----

    def shut_down(self) -> None:
        """The machine is going down: end the Pods. Returns at once; safe from a signal handler."""
        threading.Thread(target=self._shutdown.begin, name="node-shutdown", daemon=True).start()

    def stop(self) -> None:
        """Have `run` end; containers live on. Safe from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Until `stop`."""
        self._spans.start()
        self._server.start()
        self._network.ensure_bridge()
        threading.Thread(target=self._begin, name="begin", daemon=True).start()
        if self._register():
            clock = self._start_clock()
            if self._shutdown.grace_s and os.path.exists(SYSTEM_BUS):
                threading.Thread(target=self._shutdown_lock.run, name="logind", daemon=True).start()
            memory_watch = self._eviction.memory_watch()
            threading.Thread(target=memory_watch.run, name="memory-watch", daemon=True).start()
            say_ready()
            self._stopping.wait()
            memory_watch.stop()
            self._shutdown_lock.stop()
            clock.shutdown(wait=False)
        for part in (
            self._debugger,
            self._loop,
            self._storage,
            self._slow_disk,
            self._node_loop,
            self._informers,
            self._server,
            self._recorder,
            self._spans,
        ):
            part.stop()
        self._statics.close()
        self._sync.close()
        self._objects.close()
        self._runtime.close()
        self._client.close()

    def _register(self) -> bool:
        """Again and again while the API server is not there; False when we are to stop."""
        pause_s = RETRY_FIRST_S
        while not self._stopping.is_set():
            try:
                self._reporter.register(self._server.port)
            except ClientError as failure:
                log.info("not registered yet: %s", failure)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 1.5, RETRY_LAST_S)
            else:
                self._nodes.add_handler(
                    on_add=self._heard, on_update=lambda _, new: self._heard(new)
                )
                self._node_loop.start()
                for pod in self._statics.list():  # now they can be shown
                    self._wake(pod["metadata"]["uid"])
                return True
        return False

    def _heard(self, node: Object) -> None:
        self._reporter.heard(node)
        self._node_loop.add(self._reporter.name)

    def _begin(self) -> None:
        """Follow Pods and containers. Static Pods run at once; others are looked at once the API's
        Pods are known, for before that all would look like orphans."""

        def changed(pod: Object) -> None:
            self._metrics.pod_seen(pod)
            self._wake(key_of(pod))

        def gone(pod: Object) -> None:
            self._metrics.pod_gone(pod["metadata"]["uid"])
            self._wake(key_of(pod))

        self._pods.add_handler(changed, lambda _, new: changed(new), gone)
        threading.Thread(target=self._follow_runtime, name="runtime-events", daemon=True).start()
        self._statics.start()
        self._loop.start()
        self._informers.start()
        if self._pods.wait_synced():
            self._debugger.wait_synced()
            pods = self._source.list()
            self._sync.count_running(pods)
            self._qos.start()
            self._source.is_settled = True
            for uid in self._sync.known() | {pod["metadata"]["uid"] for pod in pods}:
                self._wake(uid)
            self._storage.start()
            self._slow_disk.start()

    def _follow_runtime(self) -> None:
        for event in self._runtime.events():
            self._count(event)
            if event.kind == "container_exited":
                self._exits.tell(event.container_id)
            self._wake(event.sandbox_id)

    def _count(self, event: RuntimeEvent) -> None:
        self._metrics.runtime_event(event.kind)
        if event.kind == "container_started":
            self._slow_disk.container_started()
        if event.kind == "container_started" and (pod := self._source.find(event.sandbox_id)):
            with contextlib.suppress(RuntimeFailure):  # it has ended and is gone
                name = self._runtime.container_status(event.container_id).name
                self._metrics.container_started(pod, name)

    # ---- what is due by the clock ----

    def _start_clock(self) -> Any:
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        from kubelet import log_rotation

        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        clock = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(2)},
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        settings = self._settings
        every_s = min(RENEW_EVERY_S, settings.node_status_update_frequency_s)
        clock.add_job(self._heartbeat, "interval", seconds=every_s)
        clock.add_job(
            log_rotation.rotate_logs,
            "interval",
            [self._runtime, settings.container_log_max_bytes, settings.container_log_max_files],
            seconds=settings.container_log_monitor_interval_s,
        )
        clock.add_job(
            self._eviction.synchronize, "interval", seconds=EVERY_S, next_run_time=datetime.now(UTC)
        )
        clock.add_job(self._keep_house, "interval", seconds=HOUSEKEEPING_S)
        clock.add_job(
            self._collect_images, "interval", seconds=COLLECT_EVERY_S,
            next_run_time=datetime.now(UTC),
        )  # fmt: skip
        clock.start()
        return clock

    def _collect_images(self) -> None:
        """Not before Pods are known: what their volumes use must stay."""
        if self._pods.wait_synced(PODS_WAIT_S):
            self._keeper.collect()

    def _heartbeat(self) -> None:
        try:
            self._reporter.renew_lease()
        except ClientError as failure:
            log.warning("heartbeat: %s", failure)
        self._node_loop.add(self._reporter.name)

    def _keep_house(self) -> None:
        """Leftovers of which no event has told us."""
        wanted = {pod["metadata"]["uid"] for pod in self._source.list()}
        for uid in self._sync.known() - wanted:
            self._wake(uid)


def node_dir_of(data_dir: Path, node: Object) -> Path:
    return data_dir / "nodes" / str(node["name"])


def _parallel_pulls(settings: KubeletConfiguration) -> int:
    if settings.serialize_image_pulls:
        return 1
    return settings.max_parallel_image_pulls or MOST_PULLS


def network_of(data_dir: Path, config: Object, node: Object) -> PodNetwork:
    state_dir = f"{node_dir_of(data_dir, node)}/network"
    return PodNetwork(
        node["bridge"],
        node["podCIDR"],
        config["id"],
        state_dir,
        services(config["host"], config["port"]),
    )
