"""Slows the disk for this node's containers as long as a Fault of type SlowDisk says so.

Room kubelet; made by agent.py, and idle but in a cluster that was started with --lab. The kernel
does it: `io.max` of `kubepods` on cgroup v2, which all Pods share; on v1, whose throttles do not
nest, `blkio.throttle.*` of each container, also of one that starts meanwhile. There what has limits
of its own, by annotation, keeps those.

No limit outlives its fault. It ends by this process' own clock, whether or not the API server is
there. And before there is one, a file says that there may be: after a kill -9 the next life of the
kubelet finds it, and lifts what no fault asks for any more.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kubelet.disks import disk_below
from kubelet.qos_cgroups import KUBEPODS
from kubelet.resources import cgroup_parent
from kubelet.runtime.cgroups import Cgroups
from kubelet.runtime.errors import HostUnsupported, RuntimeFailure
from kubelet.runtime.protocol import IoLimit
from podium.api import quantity
from podium.api.faults import FAULTS, active, end_of, phase_of
from podium.api.resource_annotations import speaks_of_io
from podium.client.errors import NotFound
from podium.client.http import Client
from podium.client.informer import InformerFactory
from podium.client.reconcile_loop import ReconcileLoop

Object = dict[str, Any]
log = logging.getLogger("slow-disk")


class SlowDisk:
    """`pods` are those of the node; `is_lab` False: no fault is listened to."""

    def __init__(
        self, client: Client, informers: InformerFactory, cgroups: Cgroups, node: str, *,
        node_dir: str, pods: Callable[[], list[Object]], is_lab: bool,
    ) -> None:  # fmt: skip
        self._client, self._cgroups, self._node = client, cgroups, node
        self._node_dir, self._pods = node_dir, pods
        self._mark = Path(node_dir, "slow-disk")  # there may be a limit
        self._loop = ReconcileLoop("slow-disk", self.reconcile)
        self._faults = None
        if is_lab:
            self._faults = informers.informer(
                FAULTS, field_selector=f"spec.target={node},spec.type=SlowDisk"
            )
            self._faults.add_handler(
                lambda _: self._wake(), lambda *_: self._wake(), lambda _: self._wake()
            )

    def start(self) -> None:
        """Once the Pods of the node are known."""
        if self._faults is not None or self._mark.exists():
            self._loop.start()
            self._wake()

    def stop(self) -> None:
        self._loop.stop()

    def container_started(self) -> None:
        if self._mark.exists():
            self._wake()

    def _wake(self) -> None:
        self._loop.add(self._node)

    def reconcile(self, _node: str) -> float | None:
        """Have the kernel do what the faults ask for just now; seconds until one of them ends."""
        now = datetime.now(UTC)
        faults = [one for one in (self._faults.list() if self._faults else ()) if is_on(one, now)]
        problem = self._limit(faults)
        for fault in faults:
            if not phase_of(fault):
                self._tell(fault, problem, now)
        ends = [end for fault in faults if (end := end_of(fault)) is not None]
        return min(((end - now).total_seconds() for end in ends), default=None)

    def _limit(self, faults: Collection[Object]) -> str:
        """Limit the disk as they ask, or no more; why that cannot be done, "" if it could.
        OSError or RuntimeFailure for a limit that cannot be lifted."""
        disk = disk_below(self._node_dir)
        if disk is None:
            return f"no disk that could be slowed lies below {self._node_dir}"
        if not faults:
            self._lift(disk)
            return ""
        self._mark.touch()
        try:
            self._cgroups.limit_io_below(KUBEPODS, slowest(disk, faults), self._spared())
        except (OSError, RuntimeFailure) as failure:
            log.warning("not slowed: %s", failure)
            return str(failure)
        return ""

    def _lift(self, disk: tuple[int, int]) -> None:
        if self._mark.exists():
            with contextlib.suppress(HostUnsupported, FileNotFoundError):  # then there was none
                self._cgroups.limit_io_below(KUBEPODS, IoLimit(*disk), self._spared())
            self._mark.unlink()

    def _spared(self) -> list[str]:
        """The cgroups of Pods that speak of limits of their own."""
        return [
            cgroup_parent(pod)
            for pod in self._pods()
            if speaks_of_io(pod["metadata"].get("annotations") or {})
        ]

    def _tell(self, fault: Object, problem: str, now: datetime) -> None:
        """Say that it has begun, or has failed; Conflict if somebody has just said something."""
        about = fault["metadata"]
        status = active(fault, now)
        if problem:
            status |= {"phase": "Failed", "message": problem}
        version = {"resourceVersion": about["resourceVersion"]}
        patch = {"metadata": version, "status": status}
        with contextlib.suppress(NotFound):  # undone meanwhile, of which we hear
            self._client.patch(FAULTS, about["name"], None, patch, subresource="status")


def is_on(fault: Object, now: datetime) -> bool:
    """Whether it is to be so just now, or to begin."""
    phase, end = phase_of(fault), end_of(fault)
    return not phase or (phase == "Active" and end is not None and end > now)


def slowest(disk: tuple[int, int], faults: Collection[Object]) -> IoLimit:
    """All of them together, of each direction alike."""
    rates = [quantity.memory_bytes(fault["spec"].get("bytesPerSecond") or 0) for fault in faults]
    counts = [fault["spec"].get("operationsPerSecond") or 0 for fault in faults]
    rate, count = (min(filter(None, given), default=0) for given in (rates, counts))
    return IoLimit(*disk, rate, rate, count, count)
