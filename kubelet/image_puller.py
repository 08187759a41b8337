"""The image of a container: found on this node, or waited for with back-off.

Room kubelet; called by pod_sync.py. There are no registries yet, so pulling an image that was not
loaded (`podium image load FILE`) fails, in Kubernetes' words and at its pace: ErrImagePull, then
ImagePullBackOff. Source: kubelet `pkg/kubelet/images/image_manager.go`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from kubelet.backoff import Backoff
from kubelet.images import ImageNotFound, ImageStore, InvalidReference
from kubelet.images.reference import normalise
from podium.client.event_recorder import Recorder

Object = dict[str, Any]

HOST = "host"  # the built-in image: a skeleton root with the node's /usr
ERROR_SHOWN_S = 1.0  # ErrImagePull is to be seen before ImagePullBackOff
NEVER_AGAIN_S = 300.0  # nothing but a load, which wakes the Pod, can change the answer


@dataclass(frozen=True)
class Pulled:
    """An image as a container needs it. `layers` () is the image `host`."""

    id: str = ""
    layers: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = "SIGTERM"


class ImageNotReady(Exception):
    """The container waits; `reason` is Kubernetes', `again_s` when to look again."""

    def __init__(self, reason: str, message: str, again_s: float) -> None:
        super().__init__(message)
        self.reason, self.message, self.again_s = reason, message, again_s


@dataclass
class _Failure:
    message: str
    at: float
    backoff: Backoff
    is_told: bool = False  # that we back off


class ImagePuller:
    """Thread-safe. Failures are remembered by Pod and image."""

    def __init__(
        self, images: ImageStore, recorder: Recorder, now: Callable[[], float] = time.time
    ) -> None:
        self._images, self._recorder, self._now = images, recorder, now
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, str], _Failure] = {}

    def ensure(self, pod: Object, container: Object, field_path: str) -> Pulled:
        """The image, or ImageNotReady."""
        reference = container["image"]

        def tell(type_: str, reason: str, message: str) -> None:
            self._recorder.event(pod, type_, reason, message, field_path=field_path)

        if reference == HOST:
            tell("Normal", "Pulled", _present(reference))
            return Pulled(id=HOST)
        try:
            normalise(reference)
            image = self._images.get(reference)
        except InvalidReference as failure:
            message = f'Failed to apply default image tag "{reference}": {failure}'
            tell("Warning", "InspectFailed", message)
            raise ImageNotReady("InvalidImageName", message, NEVER_AGAIN_S) from failure
        except ImageNotFound as failure:
            raise self._not_found(pod, container, tell) from failure
        with self._lock:
            self._failures.pop((pod["metadata"]["uid"], reference), None)
        tell("Normal", "Pulled", _present(reference))
        config = image.config
        return Pulled(
            id=image.id,
            layers=tuple(image.layers),
            entrypoint=tuple(config.entrypoint or ()),
            cmd=tuple(config.cmd or ()),
            env=tuple(config.env or ()),
            user=config.user or "",
            working_dir=config.working_dir or "",
            stop_signal=config.stop_signal or "SIGTERM",
        )

    def forget(self, uid: str) -> None:
        """The Pod is gone."""
        with self._lock:
            for key in [key for key in self._failures if key[0] == uid]:
                del self._failures[key]

    def waiting_pods(self) -> set[str]:
        """Uids of the Pods that wait for an image; from now on without back-off, as images have
        come."""
        with self._lock:
            uids = {uid for uid, _ in self._failures}
            self._failures.clear()
        return uids

    def _not_found(
        self, pod: Object, container: Object, tell: Callable[[str, str, str], None]
    ) -> ImageNotReady:
        reference, key = container["image"], (pod["metadata"]["uid"], container["image"])
        now = self._now()
        if container.get("imagePullPolicy") == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            tell("Warning", "ErrImageNeverPull", message)
            with self._lock:
                self._failures.setdefault(key, _Failure(message, now, Backoff()))
            return ImageNotReady("ErrImageNeverPull", message, NEVER_AGAIN_S)
        with self._lock:
            failure = self._failures.get(key)
            if failure is None or now >= failure.backoff.due(failure.at):
                failure = self._failed(key, failure, reference, now)
                is_new = True
            else:
                is_new = False
        if is_new:
            tell("Normal", "Pulling", f'Pulling image "{reference}"')
            tell("Warning", "Failed", f'Failed to pull image "{reference}": {failure.message}')
            tell("Warning", "Failed", "Error: ErrImagePull")
            return ImageNotReady("ErrImagePull", failure.message, ERROR_SHOWN_S)
        return self._backing_off(reference, failure, now, tell)

    def _failed(
        self, key: tuple[str, str], failure: _Failure | None, reference: str, now: float
    ) -> _Failure:
        backoff = failure.backoff if failure is not None else Backoff()
        backoff.tried(now, now)
        message = (
            f'failed to pull image "{reference}": it is not on this node, and this version '
            f"cannot pull from registries; load it with: podium image load FILE"
        )
        self._failures[key] = _Failure(message, now, backoff)
        return self._failures[key]

    def _backing_off(
        self, reference: str, failure: _Failure, now: float, tell: Callable[[str, str, str], None]
    ) -> ImageNotReady:
        left_s = failure.backoff.due(failure.at) - now
        shown_s = failure.at + ERROR_SHOWN_S - now
        if shown_s > 0:
            return ImageNotReady("ErrImagePull", failure.message, shown_s)
        if not failure.is_told:
            failure.is_told = True
            tell("Normal", "BackOff", f'Back-off pulling image "{reference}"')
            tell("Warning", "Failed", "Error: ImagePullBackOff")
        message = f'Back-off pulling image "{reference}": ErrImagePull: {failure.message}'
        return ImageNotReady("ImagePullBackOff", message, left_s)


def _present(reference: str) -> str:
    return f'Container image "{reference}" already present on machine'
