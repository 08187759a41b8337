"""`python -m kubelet --data-dir D --node NAME`: the agent of one node, one process.

It registers the Node, follows the Pods bound to it, and keeps the kernel as they say. SIGTERM ends
it and leaves the containers running; `--teardown` ends them.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

Object = dict[str, Any]
log = logging.getLogger("kubelet")

WORKERS = 8
RETRY_FIRST_S, RETRY_MAX_S = 0.02, 1.0
HOUSEKEEPING_S = 30
VOLUME_REFRESH_S = 30


def main() -> int:
    parser = argparse.ArgumentParser(prog="kubelet", description=__doc__)
    parser.add_argument("--data-dir", required=True)
    parser.add_argument("--node", required=True)
    parser.add_argument(
        "--teardown", action="store_true", help="end every container and remove every trace"
    )
    parser.add_argument(
        "--grace", type=float, default=5.0, help="seconds at most that containers get to end"
    )
    args = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr,
        level=os.environ.get("PODIUM_LOG_LEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    config = json.loads((Path(args.data_dir) / "cluster.json").read_text())
    node = next(n for n in config["nodes"] if n["name"] == args.node)
    if args.teardown:
        return _tear_down(args.data_dir, config, node, args.grace)
    Kubelet(args.data_dir, config, node).run()
    return 0


def _node_dir(data_dir: str, node: Object) -> str:
    return str(Path(data_dir) / "nodes" / node["name"])


def _network(data_dir: str, config: Object, node: Object):  # type: ignore[no-untyped-def]
    from kubelet.network import PodNetwork

    return PodNetwork(
        node["bridge"], node["podCIDR"], config["id"], f"{_node_dir(data_dir, node)}/network"
    )


def _tear_down(data_dir: str, config: Object, node: Object, grace_s: float) -> int:
    from kubelet.runtime.client import PodiumRuntime
    from kubelet.teardown import tear_down

    node_dir = _node_dir(data_dir, node)
    runtime = PodiumRuntime(f"{node_dir}/runtime", node["cgroupRoot"])
    try:
        tear_down(runtime, _network(data_dir, config, node), node_dir, node["cgroupRoot"], grace_s)
    finally:
        runtime.close()
    return 0


class Kubelet:
    """The parts of a running kubelet, in the order in which they are needed."""

    def __init__(self, data_dir: str, config: Object, node: Object) -> None:
        from kubelet.images import ImageStore
        from kubelet.node_status import NodeReporter, host_address
        from kubelet.pod_sync import PodSync
        from kubelet.runtime.client import PodiumRuntime
        from kubelet.server import KubeletServer
        from podium.client.config import load_kubeconfig
        from podium.client.event_recorder import EventRecorder
        from podium.client.http import Client
        from podium.client.informer import InformerFactory
        from podium.client.reconcile_loop import ReconcileLoop

        name, node_dir = node["name"], _node_dir(data_dir, node)
        Path(node_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stopped = threading.Event()
        self._host = host_address(config["host"])
        self._client = Client(
            load_kubeconfig(Path(data_dir) / "pki" / f"node-{name}.kubeconfig"),
            user_agent="podium-kubelet",
        )
        self._network = _network(data_dir, config, node)
        self._runtime = PodiumRuntime(f"{node_dir}/runtime", node["cgroupRoot"])
        self._images = ImageStore(f"{node_dir}/images")
        self._recorder = EventRecorder(self._client, "kubelet", host=name)
        self._reporter = NodeReporter(
            self._client,
            name,
            pod_cidr=node["podCIDR"],
            node_dir=node_dir,
            host=self._host,
            images=self._node_images,
        )
        self._informers = InformerFactory(self._client)
        self._pods = self._informers.informer("pods", field_selector=f"spec.nodeName={name}")
        self._pods.add_index("uid", lambda pod: [pod["metadata"]["uid"]])
        self._sync = PodSync(
            self._client,
            self._runtime,
            self._network,
            self._images,
            self._recorder,
            node_dir=node_dir,
            node=lambda: self._reporter.node,
            find=self._find,
            requeue=self._requeue,
        )
        self._loop = ReconcileLoop("pod-sync", self._sync.reconcile, workers=WORKERS)
        self._server = KubeletServer(
            self._host,
            data_dir,
            name,
            runtime=self._runtime,
            images=self._images,
            sync=self._sync,
            find=lambda namespace, pod: self._pods.get(f"{namespace}/{pod}"),
            pods=self._pods.list,
        )

    def _requeue(self, uid: str) -> None:
        self._loop.add(uid)

    def _find(self, uid: str) -> Object | None:
        found = self._pods.by_index("uid", uid)
        return found[0] if found else None

    def _node_images(self) -> list[Object]:
        return [
            {"names": list(i.references), "sizeBytes": i.size_bytes} for i in self._images.list()
        ]

    def run(self) -> None:
        """Until SIGTERM."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopped.set())
        self._network.ensure_bridge()
        self._server.start()
        self._follow()
        if not self._register():
            return
        clock = self._start_clock()
        _say_ready()
        self._stopped.wait()
        clock.shutdown(wait=False)
        self._loop.stop()
        self._informers.stop()
        self._server.stop()
        self._sync.close()
        self._recorder.stop()
        self._runtime.close()

    def _register(self) -> bool:
        """Again and again while the API server is not there; False when we are to stop."""
        from podium.client.errors import ClientError

        pause_s = RETRY_FIRST_S
        while not self._stopped.is_set():
            try:
                self._reporter.register(self._server.port)
                return True
            except ClientError as failure:
                log.info("not registered yet: %s", failure)
                self._stopped.wait(pause_s)
                pause_s = min(pause_s * 1.5, RETRY_MAX_S)
        return False

    def _follow(self) -> None:
        """Pods from the API, events from the runtime, leftovers of a life before this one."""

        def changed(pod: Object) -> None:
            self._loop.add(pod["metadata"]["uid"])

        self._pods.add_handler(
            on_add=changed, on_update=lambda _, new: changed(new), on_delete=changed
        )
        self._informers.start()
        threading.Thread(target=self._follow_runtime, name="runtime-events", daemon=True).start()
        threading.Thread(target=self._begin, name="begin", daemon=True).start()

    def _begin(self) -> None:
        """Reconcile only once the Pods are known: else everything here would look like an
        orphan."""
        if self._pods.wait_synced(None):
            for uid in self._sync.known():
                self._loop.add(uid)
            self._loop.start()

    def _follow_runtime(self) -> None:
        for event in self._runtime.events():
            self._loop.add(event.sandbox_id)

    def _start_clock(self):  # type: ignore[no-untyped-def]
        """What is due by the clock: heartbeats, rotation, a look for orphans, fresh volumes."""
        from apscheduler.executors.pool import ThreadPoolExecutor
        from apscheduler.schedulers.background import BackgroundScheduler

        from kubelet import log_rotation
        from kubelet.node_status import RENEW_EVERY_S

        logging.getLogger("apscheduler").setLevel(logging.WARNING)
        clock = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(2)},
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1},
        )
        clock.add_job(self._reporter.heartbeat, "interval", seconds=RENEW_EVERY_S)
        clock.add_job(
            log_rotation.rotate_logs, "interval", [self._runtime], seconds=log_rotation.EVERY_S
        )
        clock.add_job(self._keep_house, "interval", seconds=HOUSEKEEPING_S)
        clock.add_job(self._refresh_volumes, "interval", seconds=VOLUME_REFRESH_S)
        clock.start()
        return clock

    def _keep_house(self) -> None:
        """Orphans that no event told us of."""
        wanted = {pod["metadata"]["uid"] for pod in self._pods.list()}
        for uid in self._sync.known() - wanted:
            self._loop.add(uid)

    def _refresh_volumes(self) -> None:
        kinds = ("configMap", "secret", "downwardAPI", "projected")
        for pod in self._pods.list():
            has_files = any(
                v.get(k) is not None for v in pod["spec"].get("volumes") or () for k in kinds
            )
            is_running = (pod.get("status") or {}).get("phase") == "Running"
            if has_files and is_running and not pod["metadata"].get("deletionTimestamp"):
                self._sync.refresh_volumes(pod)


def _say_ready() -> None:
    """Tell the supervisor, if one started us."""
    fd = os.environ.get("PODIUM_READY_FD")
    if fd:
        os.write(int(fd), b"ready\n")
        os.close(int(fd))


if __name__ == "__main__":
    sys.exit(main())
