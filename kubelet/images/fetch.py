"""Layers on their way from a registry: streamed into the unpacker, or downloaded ahead of their
turn.

Room kubelet/images; used by pull.py, in its threads. A layer can be unpacked only on top of the
one below it; so while that is unpacked as it comes, the next ones are fetched into scratch files.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kubelet.images.errors import ImageError
from kubelet.images.limits import Allowance
from kubelet.images.store import ImageStore

if TYPE_CHECKING:
    from kubelet.images.manifest import Descriptor
    from kubelet.images.registry.client import Repository
    from kubelet.images.tar_stream import Readable

log = logging.getLogger("pull")

PARALLEL_TRANSFERS, PARALLEL_OF_A_REGISTRY = 16, 4
_BUFFER_BYTES = 1024 * 1024


class Transfers:
    """So many downloads at a time, in all and from one registry."""

    def __init__(self) -> None:
        self._all = threading.BoundedSemaphore(PARALLEL_TRANSFERS)
        self._lock = threading.Lock()
        self._by_registry: defaultdict[str, threading.BoundedSemaphore] = defaultdict(
            lambda: threading.BoundedSemaphore(PARALLEL_OF_A_REGISTRY)
        )

    @contextmanager
    def slot(self, registry: str) -> Iterator[None]:
        with self._lock:
            own = self._by_registry[registry]
        with own, self._all:
            yield


class RemoteLayer:
    """A layer in a registry, as the store wants it: opened only when it is not there yet."""

    def __init__(
        self, blob: Descriptor, source: Repository, came: Callable[[int], None],
        transfers: Transfers, ahead: Ahead,
    ) -> None:  # fmt: skip
        self.digest, self.size = blob.digest, blob.size
        self.next: list[RemoteLayer] = []
        self._source, self._came = source, came
        self._transfers, self._ahead = transfers, ahead
        self._spool: _Spool | None = None

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """While this one is read, the next are fetched."""
        for layer in self.next:
            layer.prefetch()
        with (
            self._ahead.taking(self.digest) as path,
            self.download() if path is None else open(path, "rb") as source,
        ):
            yield source

    def prefetch(self) -> None:
        if self._spool is None:
            self._spool = self._ahead.want(self)

    @contextmanager
    def download(self) -> Iterator[Readable]:
        with (
            self._transfers.slot(self._source.registry),
            self._source.blob(self.digest, self.size, self._came) as blob,
        ):
            yield blob

    def drop(self) -> None:
        """Nothing of it is needed any more."""
        if self._spool is not None:
            self._ahead.leave(self._spool)
            self._spool = None


class _Spool:
    """A blob that is downloaded ahead; how far it is the lock of `Ahead` guards."""

    def __init__(self, digest: str, path: Path) -> None:
        self.digest, self.path = digest, path
        self.users = 1
        self.is_good = False
        self.ended = threading.Event()


class Ahead:
    """Blobs downloaded before their turn, each once, whichever pulls want it."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._spools: dict[str, _Spool] = {}

    def want(self, layer: RemoteLayer) -> _Spool:
        """To be left when it is not needed any more."""
        with self._lock:
            spool = self._spools.get(layer.digest)
            if spool is not None:
                spool.users += 1
                return spool
            fd, path = tempfile.mkstemp(dir=self._store.scratch)
            os.close(fd)
            spool = self._spools[layer.digest] = _Spool(layer.digest, Path(path))
        threading.Thread(
            target=self._fetch, args=(spool, layer), name="layer-ahead", daemon=True
        ).start()
        return spool

    @contextmanager
    def taking(self, digest: str) -> Iterator[Path | None]:
        """The file, once it is all there; None when it is to be downloaded now: nobody does, or has
        done so in vain."""
        with self._lock:
            spool = self._spools.get(digest)
            if spool is not None:
                spool.users += 1
        if spool is None:
            yield None
            return
        try:
            spool.ended.wait()
            yield spool.path if spool.is_good else None
        finally:
            self.leave(spool)

    def leave(self, spool: _Spool) -> None:
        with self._lock:
            spool.users -= 1
            if spool.users == 0:
                del self._spools[spool.digest]
                if spool.ended.is_set():
                    spool.path.unlink(missing_ok=True)

    def _fetch(self, spool: _Spool, layer: RemoteLayer) -> None:
        is_good = False
        try:
            with layer.download() as blob, open(spool.path, "wb") as file:
                allowance = Allowance(self._store.limits, str(self._store.scratch))
                while spool.users and (piece := blob.read(_BUFFER_BYTES)):
                    allowance.more(len(piece))
                    file.write(piece)
            is_good = spool.users > 0
        except (ImageError, OSError) as failure:  # it is tried again when its turn comes
            log.info("layer %s ahead: %s", spool.digest, failure)
        with self._lock:
            spool.is_good = is_good
            spool.ended.set()
            if spool.users == 0:
                spool.path.unlink(missing_ok=True)
