"""The image of a container or a volume: found on this node, or pulled while the Pod waits.

Room kubelet; called by pod_sync.py. Nothing here blocks: a pull runs in a thread of its own and
wakes the Pod when it ends. What is told, and when it is tried again, is Kubernetes': ErrImagePull,
then ImagePullBackOff, 10 s doubling up to 300 s; other credentials are tried at once.
Source: kubelet `pkg/kubelet/images/image_manager.go`, v1.32.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from kubelet.backoff import Backoff
from kubelet.images import (
    Image,
    ImageError,
    ImageNotFound,
    ImageStore,
    InvalidReference,
    RegistryUnavailable,
)
from kubelet.images.pull import Pull, Pulls
from kubelet.images.reference import normalise, repository
from kubelet.images.registry.credentials import Keyring
from kubelet.pull_secrets import PullSecrets
from podium.client.event_recorder import Recorder

Object = dict[str, Any]
Tell = Callable[[str, str, str], None]

HOST = "host"  # the built-in image: a skeleton root with the node's /usr
ERROR_SHOWN_S = 1.0  # ErrImagePull is to be seen before ImagePullBackOff
NEVER_AGAIN_S = 300.0  # nothing but a load, which wakes the Pod, can change the answer


@dataclass(frozen=True)
class Pulled:
    """An image as a container needs it. `layers` () is the image `host`."""

    id: str = ""
    ref: str = ""  # what a status shows as imageID: "registry.local/app@sha256:…"
    layers: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    cmd: Sequence[str] = ()
    env: Sequence[str] = ()
    user: str = ""
    working_dir: str = ""
    stop_signal: str = "SIGTERM"
    volumes: Sequence[str] = ()


class ImageNotReady(Exception):
    """The container waits; `reason` is Kubernetes', "" while it is being pulled; `again_s` says
    when to look again, None when we are woken."""

    def __init__(self, reason: str, message: str, again_s: float | None) -> None:
        super().__init__(message)
        self.reason, self.message, self.again_s = reason, message, again_s


@dataclass
class _Failure:
    """The last one of a Pod and an image. `pull` is None when nothing was pulled."""

    reason: str
    message: str
    at: float
    backoff: Backoff
    pull: Pull | None = None
    who: Keyring | None = None
    is_told: bool = False  # that we back off


@dataclass
class _Wanted:
    """What one container or volume asks for."""

    pod: Object
    reference: str
    policy: str
    field_path: str
    tell: Tell

    @property
    def uid(self) -> str:
        return str(self.pod["metadata"]["uid"])

    @property
    def key(self) -> tuple[str, str]:
        return self.uid, self.reference


@dataclass
class _State:
    failures: dict[tuple[str, str], _Failure] = field(default_factory=dict)
    pulls: dict[tuple[str, str, str], Pull] = field(default_factory=dict)  # and by field path


class ImagePuller:
    """Thread-safe. `wake(uid)` is called when a Pod's pull has ended, `came()` when there is a new
    image. Failures are remembered by Pod and image."""

    def __init__(
        self, images: ImageStore, pulls: Pulls, secrets: PullSecrets, recorder: Recorder,
        *, wake: Callable[[str], None], came: Callable[[], None] = lambda: None,
        now: Callable[[], float] = time.time,
    ) -> None:  # fmt: skip
        self._images, self._pulls, self._secrets = images, pulls, secrets
        self._recorder, self._wake, self._came, self._now = recorder, wake, came, now
        self._lock = threading.Lock()
        self._state = _State()

    def ensure(self, pod: Object, container: Object, field_path: str) -> Pulled:
        """The image of a container, or ImageNotReady."""
        policy = container.get("imagePullPolicy") or "IfNotPresent"
        return self.ensure_reference(pod, container["image"], policy, field_path)

    def ensure_reference(self, pod: Object, reference: str, policy: str, field_path: str) -> Pulled:
        """The image of that name, also for an image volume; or ImageNotReady."""

        def tell(type_: str, reason: str, message: str) -> None:
            self._recorder.event(pod, type_, reason, message, field_path=field_path)

        if reference == HOST:
            tell("Normal", "Pulled", _present(reference))
            return Pulled(id=HOST, ref=HOST)
        wanted = _Wanted(pod, reference, policy, field_path, tell)
        return _pulled(self._ensure(wanted), reference)

    def forget(self, uid: str) -> None:
        """The Pod is gone."""
        with self._lock:
            for table in (self._state.failures, self._state.pulls):
                for key in [key for key in table if key[0] == uid]:
                    del table[key]  # type: ignore[attr-defined]

    def waiting_pods(self) -> set[str]:
        """Uids of the Pods that wait for an image; from now on without back-off, as images have
        come."""
        with self._lock:
            uids = {uid for uid, _ in self._state.failures}
            self._state.failures.clear()
        return uids

    def _ensure(self, wanted: _Wanted) -> Image:
        """In image_manager.go's order."""
        try:
            normalise(wanted.reference)
            present = self._present(wanted.reference)
        except InvalidReference as failure:
            message = f'Failed to apply default image tag "{wanted.reference}": {failure}'
            raise self._refused(wanted, "InspectFailed", "InvalidImageName", message) from failure
        except (ImageError, OSError) as failure:
            message = f'Failed to inspect image "{wanted.reference}": {failure}'
            raise self._refused(wanted, "InspectFailed", "ImageInspectError", message) from failure
        if present is not None and wanted.policy != "Always":
            return self._found(wanted, present)
        if wanted.policy == "Never":
            message = (
                f'Container image "{wanted.reference}" is not present with pull policy of Never'
            )
            raise self._refused(wanted, "ErrImageNeverPull", "ErrImageNeverPull", message)
        return self._pull(wanted)

    def _present(self, reference: str) -> Image | None:
        try:
            return self._images.get(reference)
        except ImageNotFound:
            return None

    def _found(self, wanted: _Wanted, image: Image) -> Image:
        """It is here; perhaps because the pull that we wait for has brought it."""
        self._images.touch(image.id, self._now())
        with self._lock:
            self._state.failures.pop(wanted.key, None)
            pull = self._state.pulls.pop((*wanted.key, wanted.field_path), None)
        if pull is not None and pull.is_done and pull.failure is None:
            wanted.tell("Normal", "Pulled", _success(wanted.reference, pull))
        else:
            wanted.tell("Normal", "Pulled", _present(wanted.reference))
        return image

    def _refused(self, wanted: _Wanted, event: str, reason: str, message: str) -> ImageNotReady:
        """What no time heals; a load may, and that wakes those who are remembered as failed."""
        wanted.tell("Warning", event, message)
        with self._lock:
            self._state.failures.setdefault(
                wanted.key, _Failure(reason, message, self._now(), Backoff())
            )
        return ImageNotReady(reason, message, NEVER_AGAIN_S)

    # ---- pulling ----

    def _pull(self, wanted: _Wanted) -> Image:
        key = (*wanted.key, wanted.field_path)
        with self._lock:
            pull = self._state.pulls.get(key)
        if pull is None:
            raise self._begin(wanted)
        if not pull.is_done:
            raise ImageNotReady("", "", None)
        if pull.failure is not None:
            with self._lock:
                self._state.pulls.pop(key, None)
            raise self._failed(wanted, pull, pull.failure)
        assert pull.image is not None
        return self._found(wanted, pull.image)

    def _begin(self, wanted: _Wanted) -> ImageNotReady:
        """A pull that wakes us, unless the last one has failed too short a time ago."""
        keyring, missing = self._secrets.keyring(wanted.pod)
        with self._lock:
            failure = self._state.failures.get(wanted.key)
        if (
            failure is not None
            and failure.pull is not None
            and failure.who == keyring
            and self._now() < failure.backoff.due(failure.at)
        ):
            return self._backing_off(wanted, failure)
        if missing:
            wanted.tell(
                "Warning", "FailedToRetrieveImagePullSecret",
                f"Unable to retrieve some image pull secrets ({', '.join(missing)}); attempting to "
                "pull the image may not succeed.",
            )  # fmt: skip
        wanted.tell("Normal", "Pulling", f'Pulling image "{wanted.reference}"')
        is_fresh = wanted.policy == "Always"
        pull = self._pulls.start(wanted.reference, keyring, is_fresh=is_fresh)
        with self._lock:
            self._state.pulls[(*wanted.key, wanted.field_path)] = pull
        pull.follow(lambda: self._ended(wanted.uid, pull), lambda: _tell_progress(wanted, pull))
        return ImageNotReady("", "", None)

    def _ended(self, uid: str, pull: Pull) -> None:
        if pull.failure is None:
            self._came()
        self._wake(uid)

    def _failed(self, wanted: _Wanted, pull: Pull, error: ImageError) -> ImageNotReady:
        """Two containers that waited for one pull count as one failure."""
        now = self._now()
        reason, message = _reason(wanted.reference, error)
        with self._lock:
            old = self._state.failures.get(wanted.key)
            if old is None or old.pull is not pull:
                backoff = old.backoff if old is not None else Backoff()
                backoff.tried(now, now)
                self._state.failures[wanted.key] = _Failure(
                    reason, message, now, backoff, pull, pull.keyring
                )
        wanted.tell("Warning", "Failed", f'Failed to pull image "{wanted.reference}": {error}')
        wanted.tell("Warning", "Failed", f"Error: {reason}")
        return ImageNotReady(reason, message, ERROR_SHOWN_S)

    def _backing_off(self, wanted: _Wanted, failure: _Failure) -> ImageNotReady:
        now = self._now()
        shown_s = failure.at + ERROR_SHOWN_S - now
        if shown_s > 0:
            return ImageNotReady(failure.reason, failure.message, shown_s)
        said = f'Back-off pulling image "{wanted.reference}"'
        if not failure.is_told:
            failure.is_told = True
            wanted.tell("Normal", "BackOff", said)
            wanted.tell("Warning", "Failed", "Error: ImagePullBackOff")
        message = f"{said}: {failure.reason}: {failure.message}"
        return ImageNotReady("ImagePullBackOff", message, failure.backoff.due(failure.at) - now)


def _reason(reference: str, error: ImageError) -> tuple[str, str]:
    """(reason, message) of the waiting container."""
    if isinstance(error, RegistryUnavailable):
        message = f"image pull failed for {reference} because the registry is unavailable: {error}"
        return "RegistryUnavailable", message
    return "ErrImagePull", str(error)


def _present(reference: str) -> str:
    return f'Container image "{reference}" already present on machine'


def _success(reference: str, pull: Pull) -> str:
    assert pull.image is not None
    took_s, all_s = pull.ended_at - pull.began_at, pull.ended_at - pull.asked_at
    return (
        f'Successfully pulled image "{reference}" in {short_duration(took_s)} '
        f"({short_duration(all_s)} including waiting). Image size: {pull.image.size_bytes} bytes."
    )


def _tell_progress(wanted: _Wanted, pull: Pull) -> None:
    """Of a long pull; Kubernetes says nothing there."""
    share = 100 * pull.done_bytes // max(pull.total_bytes, 1)
    wanted.tell(
        "Normal", "Pulling",
        f'Pulling image "{wanted.reference}": {pull.done_bytes >> 20} of '
        f"{pull.total_bytes >> 20} MiB ({share} %)",
    )  # fmt: skip


def short_duration(seconds: float) -> str:
    """As Go prints a duration of whole milliseconds: 12ms, 2.345s, 1m2.5s."""
    milliseconds = int(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    text = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{text}s"
    return f"{minutes}m{text}s" if minutes else f"{text}s"


def image_ref(image: Image, reference: str) -> str:
    """What a status shows: the digest in the repository that was asked for, else in another, else
    the image's id."""
    own = repository(normalise(reference))
    ours = [each for each in image.repo_digests if repository(normalise(each)) == own]
    return next(iter([*ours, *image.repo_digests]), image.id)


def _pulled(image: Image, reference: str) -> Pulled:
    config = image.config
    return Pulled(
        id=image.id,
        ref=image_ref(image, reference),
        layers=tuple(image.layers),
        entrypoint=tuple(config.entrypoint or ()),
        cmd=tuple(config.cmd or ()),
        env=tuple(config.env or ()),
        user=config.user or "",
        working_dir=config.working_dir or "",
        stop_signal=config.stop_signal or "SIGTERM",
        volumes=tuple(config.volumes),
    )
