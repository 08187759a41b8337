"""Which images stay: those in use, and the others while there is room for them.

Room kubelet; made by agent.py, which has `collect` called by the clock. What a container or an
image volume of this node uses is never removed; of the others the least recently used goes first.
The image `host` is no image of the store and so never goes.
Source: kubelet `pkg/kubelet/images/image_gc_manager.go`, v1.32.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kubelet.configuration import KubeletConfiguration
from kubelet.images import Image, ImageNotFound, ImageStore
from kubelet.images.store import Disk
from kubelet.runtime.protocol import Runtime
from podium.client.event_recorder import Recorder

log = logging.getLogger("image-keeper")
Object = dict[str, Any]

IMAGE_LABEL = "image"  # of a container: the id of its image
COLLECT_EVERY_S = 300
MAX_NAMES = 5  # of an image in the Node's status


class ImageInUse(Exception):
    """It is not removed."""


@dataclass(frozen=True)
class ImageFsInfo:
    """What images take of their disk, as the CRI's ImageFsInfo says it."""

    used_bytes: int
    inodes_used: int
    disk: Disk


class ImageKeeper:
    """Thread-safe. `pods` gives the Pods of this node, `node` the Node that events are about."""

    def __init__(
        self, images: ImageStore, runtime: Runtime, recorder: Recorder,
        settings: KubeletConfiguration, *, pods: Callable[[], list[Object]],
        node: Callable[[], Object], now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._images, self._runtime, self._recorder = images, runtime, recorder
        self._settings, self._pods, self._node, self._now = settings, pods, node, now
        self._lock = threading.Lock()  # one collection at a time
        self._began_at = now()
        self._first_seen: dict[str, float] = {}
        self._has_failed = False  # the last collection

    # ---- what is there ----

    def shown(self) -> list[Object]:
        """For the Node's status: the largest first."""
        images = sorted(self._images.list(), key=lambda image: -image.size_bytes)
        return [
            {"names": [*i.repo_digests, *i.references][:MAX_NAMES], "sizeBytes": i.size_bytes}
            for i in images
        ]

    def image_fs_info(self) -> ImageFsInfo:
        """Cheap: what a layer takes is counted once."""
        used_bytes, inodes = self._images.used()
        return ImageFsInfo(used_bytes, inodes, self._images.disk())

    def used(self) -> set[str]:
        """Ids of the images of this node's containers, running or not, and image volumes."""
        found = {c.labels.get(IMAGE_LABEL, "") for c in self._runtime.list_containers()}
        for pod in self._pods():
            for volume in pod["spec"].get("volumes") or ():
                if (reference := (volume.get("image") or {}).get("reference")) is not None:
                    found.add(self._id(reference))
        return found - {""}

    def _id(self, reference: str) -> str:
        try:
            return self._images.get(reference).id
        except ImageNotFound:
            return ""

    # ---- removing ----

    def remove(self, reference: str) -> None:
        """By name or id; raises ImageInUse, ImageNotFound."""
        image = self._images.get(reference)
        is_last_name = len(image.references) <= 1 or "@" in reference or reference == image.id
        if is_last_name and image.id in self.used():
            raise ImageInUse(f'image "{reference}" is in use by a container or a volume')
        self._images.remove(reference)

    def remove_unused(self) -> int:
        """All that nobody uses, however new: for a node that runs out of disk. Bytes freed."""
        with self._lock:
            now = self._now()
            return self._free(self._candidates(now), now, None, 0.0)

    def collect(self) -> None:
        """Below the high threshold nothing but too old images; else down to the low one. What
        fails is told in events of the Node."""
        with self._lock:
            message = self._collect()
        if message is None:
            self._has_failed = False
            return
        log.warning("%s", message)
        if self._has_failed:  # the first time may be for want of numbers: Kubernetes waits as well
            self._recorder.event(self._node(), "Warning", "ImageGCFailed", message)
        self._has_failed = True

    def _collect(self) -> str | None:
        """What has gone wrong."""
        now, settings = self._now(), self._settings
        candidates = self._free_old(self._candidates(now), now)
        disk = self._images.disk()
        if disk.capacity_bytes == 0:
            message = "invalid capacity 0 on image filesystem"
            self._recorder.event(self._node(), "Warning", "InvalidDiskCapacity", message)
            return message
        if disk.used_percent < settings.image_gc_high_threshold_percent:
            return None
        low = settings.image_gc_low_threshold_percent
        wanted = disk.capacity_bytes * (100 - low) // 100 - disk.available_bytes
        log.info(
            "the disk of the images is %d %% full: %d bytes are to go", disk.used_percent, wanted
        )
        freed = self._free(candidates, now, wanted, settings.image_minimum_gc_age_s)
        if freed >= wanted:
            return None
        message = (
            "Failed to garbage collect required amount of images. Attempted to free "
            f"{wanted} bytes, but only found {freed} bytes eligible to free."
        )
        self._recorder.event(self._node(), "Warning", "FreeDiskSpaceFailed", message)
        return message

    def _candidates(self, now: float) -> list[Image]:
        """What nobody uses, the least recently used first."""
        images, used = self._images.list(), self.used()
        for image in images:
            self._first_seen.setdefault(image.id, now)
            if image.id in used:
                self._images.touch(image.id, now)
        for gone in set(self._first_seen) - {image.id for image in images}:
            del self._first_seen[gone]
        unused = [image for image in images if image.id not in used]
        return sorted(
            unused, key=lambda i: (self._images.used_at(i.id), self._first_seen[i.id], i.id)
        )

    def _free_old(self, images: list[Image], now: float) -> list[Image]:
        """Those that imageMaximumGCAge sends away; what is left. Only once this kubelet has been
        there for so long: it would not know of any use before."""
        age_s = self._settings.image_maximum_gc_age_s
        if age_s == 0 or now - self._began_at <= age_s:
            return images
        old = [image for image in images if now - self._images.used_at(image.id) > age_s]
        self._free(old, now, None, 0.0)
        return [image for image in images if image not in old]

    def _free(
        self, images: list[Image], now: float, wanted: int | None, minimum_age_s: float
    ) -> int:
        """Remove until so many bytes are free, or all; bytes freed."""
        freed = 0
        for image in images:
            if wanted is not None and freed >= wanted:
                break
            if now - self._first_seen[image.id] < minimum_age_s:
                continue
            removed = self._images.discard(image.id, unless_used_since=now)
            if removed is not None:
                log.info("removed the image %s: %d bytes", image.references or image.id, removed)
                freed += removed
        return freed
