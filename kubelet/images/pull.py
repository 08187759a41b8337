"""Images from registries into the store: each fetched once, however many want it.

Room kubelet/images, in the kubelet's process. `Pulls.start` gives a `Pull` at once; a thread of its
own does the work, a bounded number of them at a time. A layer is unpacked while it is downloaded;
the ones above it, which must wait for their turn, are downloaded ahead into scratch files.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kubelet.images.config import chain_ids, read_config
from kubelet.images.errors import ImageError, InvalidImage, NoRoomForImage, PullFailed
from kubelet.images.fetch import Ahead, RemoteLayer, Transfers
from kubelet.images.reference import normalise, repository
from kubelet.images.registry.credentials import Credential, Keyring
from kubelet.images.registry.hosts import Registries
from kubelet.images.store import Image, ImageStore

if TYPE_CHECKING:
    from kubelet.images.manifest import Manifest
    from kubelet.images.registry.client import Repository
    from kubelet.images.registry.transport import Timing

log = logging.getLogger("pull")

PARALLEL_PULLS = 5
LAYERS_AHEAD = 2
TELL_EVERY_S = 30.0


class Pull:
    """One image on its way. Times are monotonic; `began_at` 0.0: it waits for others to end."""

    def __init__(self, reference: str, keyring: Keyring) -> None:
        self.reference, self.keyring = reference, keyring
        self.asked_at, self.began_at, self.ended_at = time.monotonic(), 0.0, 0.0
        self.is_resolved = False  # what the reference means has been asked
        self.done_bytes = self.total_bytes = 0
        self.image: Image | None = None
        self.failure: ImageError | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._told_at = self.asked_at
        self._when_done: list[Callable[[], None]] = []
        self._when_far: list[Callable[[], None]] = []

    @property
    def is_done(self) -> bool:
        return self._ended.is_set()

    def wait(self) -> Image:
        """Raises what it has failed with."""
        self._ended.wait()
        if self.failure is not None:
            raise self.failure
        assert self.image is not None
        return self.image

    def follow(self, when_done: Callable[[], None], when_far: Callable[[], None]) -> None:
        """Call the one once it has ended (perhaps now), the other from time to time while it
        goes on."""
        with self._lock:
            self._when_far.append(when_far)
            if not self.is_done:
                self._when_done.append(when_done)
                return
        when_done()

    def came(self, count: int) -> None:
        """So many bytes more."""
        now = time.monotonic()
        with self._lock:
            self.done_bytes += count
            is_time = now - self._told_at >= TELL_EVERY_S
            if is_time:
                self._told_at = now
            listeners = list(self._when_far) if is_time else []
        for tell in listeners:
            tell()

    def end(self, image: Image | None, failure: ImageError | None) -> None:
        self.ended_at = time.monotonic()
        with self._lock:
            self.image, self.failure = image, failure
            self._ended.set()
            listeners = list(self._when_done)
        for tell in listeners:
            tell()


class Pulls:
    """The pulls of one node."""

    def __init__(
        self, store: ImageStore, registries: Registries, *, parallel: int = PARALLEL_PULLS,
        per_s: int = 0, burst: int = 1, timing: Timing | None = None,
    ) -> None:  # fmt: skip
        """`per_s` pulls begin in a second, `burst` of them at once; 0: as many as there are."""
        self._store, self._registries, self._timing = store, registries, timing
        self._lock = threading.Lock()
        self._under_way: dict[tuple[str, Keyring], Pull] = {}
        self._slots = threading.BoundedSemaphore(parallel)
        self._rate = _Rate(per_s, burst)
        self._transfers = Transfers()
        self._ahead = Ahead(store)

    def start(self, reference: str, keyring: Keyring, *, is_fresh: bool = False) -> Pull:
        """The pull of that image with those credentials that is under way, or a new one: with
        `is_fresh` what the registry says from now on counts, not what it has said already. Raises
        InvalidReference."""
        full = normalise(reference)
        with self._lock:
            pull = self._under_way.get((full, keyring))
            if pull is None or (is_fresh and pull.is_resolved):
                pull = self._under_way[full, keyring] = Pull(reference, keyring)
                arguments = (pull, full, keyring, self._rate.wait_s())
                threading.Thread(target=self._run, args=arguments, name="pull", daemon=True).start()
            return pull

    def _run(self, pull: Pull, full: str, keyring: Keyring, wait_s: float) -> None:
        image, failure = None, None
        time.sleep(wait_s)
        try:
            with self._slots:
                pull.began_at = time.monotonic()
                image = self._pull(pull, full, keyring)
        except ImageError as error:
            failure = error
        except Exception as error:  # a thread of nobody's: its failure is the image's
            log.exception("pulling %s", full)
            failure = PullFailed(f"{type(error).__name__}: {error}")
        with self._lock:
            if self._under_way.get((full, keyring)) is pull:
                del self._under_way[full, keyring]
        pull.end(image, failure)

    def _pull(self, pull: Pull, full: str, keyring: Keyring) -> Image:
        """From the first place, with the first credentials, that give it."""
        failures: list[ImageError] = []
        for candidate in self._candidates(pull, full):
            for credential in keyring.lookup(repository(candidate)) or [None]:
                try:
                    return self._from(pull, full, candidate, credential, keyring)
                except NoRoomForImage:
                    raise
                except ImageError as failure:
                    failures.append(_told(candidate, failure))
        raise _aggregate(failures)

    def _candidates(self, pull: Pull, full: str) -> list[str]:
        try:
            return self._registries.candidates(full)
        except PullFailed as failure:
            raise _told(pull.reference, failure) from failure

    def _from(
        self, pull: Pull, full: str, candidate: str, credential: Credential | None, keyring: Keyring
    ) -> Image:
        # These pull in http, ssl and tarfile, which a kubelet whose images are there never needs
        from kubelet.images.archive import Found
        from kubelet.images.registry.client import Repository

        source = Repository(candidate, self._registries, credential, keyring, self._timing)
        names = list(dict.fromkeys([candidate, full]))
        try:
            with _resolving(candidate):
                pull.is_resolved = True
                digest = source.resolve().digest
            if (known := self._store.adopt(repository(candidate), digest, names)) is not None:
                return known
            manifest = _manifest(source, digest)
            config = source.config(manifest.config.digest)
            with self._layers(pull, source, config, manifest) as layers:
                return self._store.add(Found(names, config, layers, digest), names)
        finally:
            source.close()

    @contextmanager
    def _layers(
        self, pull: Pull, source: Repository, config: bytes, manifest: Manifest
    ) -> Iterator[list[RemoteLayer]]:
        chain = chain_ids(read_config(config)[1])
        layers = [
            RemoteLayer(each, source, pull.came, self._transfers, self._ahead)
            for each in manifest.layers
        ]
        missing = [
            layer
            for layer, name in zip(layers, chain, strict=False)
            if not self._store.has_layer(name)
        ]
        for layer, rest in ((each, missing[n + 1 :]) for n, each in enumerate(missing)):
            layer.next = rest[:LAYERS_AHEAD]
        pull.total_bytes = sum(layer.size for layer in missing)
        try:
            yield layers
        finally:
            for layer in layers:
                layer.drop()


def _manifest(source: Repository, digest: str) -> Manifest:
    """That of this machine, through indexes."""
    from kubelet.images.manifest import (
        MAX_NESTED_INDEXES,
        array,
        choose,
        digest_of,
        is_index,
        read_manifest,
        read_object,
    )

    for _ in range(MAX_NESTED_INDEXES + 1):
        content = read_object(source.manifest(digest), digest)
        if not is_index(content):
            return read_manifest(content)
        digest = digest_of(choose(array(content, "manifests")))
    raise InvalidImage(f"indexes nested deeper than {MAX_NESTED_INDEXES}")


@contextmanager
def _resolving(name: str) -> Iterator[None]:
    try:
        yield
    except PullFailed as failure:
        raise type(failure)(f'failed to resolve reference "{name}": {failure}') from failure


def _told(name: str, failure: ImageError) -> ImageError:
    return type(failure)(f'failed to pull and unpack image "{name}": {failure}')


def _aggregate(failures: Sequence[ImageError]) -> ImageError:
    """As Kubernetes shows several errors: "[one, another]"."""
    messages = list(dict.fromkeys(str(failure) for failure in failures))
    if len(messages) == 1:
        return failures[0]
    return PullFailed(f"[{', '.join(messages)}]")


class _Rate:
    """A bucket of tokens that fills again; who finds it empty waits, where Kubernetes fails with
    "pull QPS exceeded". Not thread-safe."""

    def __init__(self, per_s: int, burst: int) -> None:
        self._per_s, self._burst = per_s, max(burst, 1)
        self._full_at = 0.0  # when it will have all its tokens again

    def wait_s(self) -> float:
        """Take one; seconds until it may be used."""
        if self._per_s == 0:
            return 0.0
        now = time.monotonic()
        self._full_at = max(self._full_at, now) + 1 / self._per_s
        return max(0.0, self._full_at - now - self._burst / self._per_s)
