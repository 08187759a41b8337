"""Where images lie: layers by what they contain, unpacked once; small JSON records for the images.

    <root>/layers/<chain id>/         an unpacked layer, complete once it has this name
    <root>/images/<hex of image id>.json
    <root>/scratch/                   what is being loaded; emptied at the start

Room kubelet/images, in the kubelet's process; safe for many threads. An image's id is the digest of
its config, as everywhere. A layer's name covers its content and that of all layers below it.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import logging
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from kubelet.images.config import ImageConfig, chain_ids, read_config
from kubelet.images.errors import (
    ImageError,
    ImageNotFound,
    InvalidImage,
    InvalidReference,
    NoRoomForImage,
)
from kubelet.images.limits import Allowance, Limits, is_full
from kubelet.images.reference import familiar, normalise, repository

if TYPE_CHECKING:
    from kubelet.images.archive import Found, PackedLayer

log = logging.getLogger("images")

_BUFFER_BYTES = 1024 * 1024
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Image:
    """`layers` are directories, lowest first, ready to be overlay's lowerdirs."""

    id: str  # "sha256:…"
    references: list[str]
    repo_digests: list[str]
    size_bytes: int
    layers: list[str]
    config: ImageConfig


@dataclass(frozen=True)
class Disk:
    """That which the images lie on."""

    capacity_bytes: int
    available_bytes: int
    inodes: int
    inodes_free: int

    @property
    def used_percent(self) -> int:
        return 100 - self.available_bytes * 100 // self.capacity_bytes


class ImageStore:
    """The images below `root`."""

    def __init__(self, root: str, limits: Limits | None = None) -> None:
        self._root = Path(root)
        self._limits = limits or Limits()
        self._lock = threading.RLock()  # the records; never held while something is unpacked
        self._layer_locks = _KeyedLocks()
        self._pins: Counter[str] = Counter()  # layers of images that are being loaded
        self._layer_sizes: dict[str, tuple[int, int]] = {}  # bytes and inodes, once counted
        for name in ("layers", "images", "scratch"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self.scratch.iterdir():
            _remove(left)
        self._images = {image.id: image for image in self._read_records()}
        self._collect()

    @property
    def scratch(self) -> Path:
        """For what is being fetched; emptied at the start."""
        return self._root / "scratch"

    @property
    def limits(self) -> Limits:
        return self._limits

    # ---- loading ----

    def load(self, stream: IO[bytes] | Path, *, name: str | None = None) -> list[Image]:
        """Every image of an archive (a stream or a file) or of an OCI layout directory. Raises
        InvalidImage or NoRoomForImage, and keeps nothing then."""
        # These pull in tarfile and gzip, which a kubelet whose images are there never needs
        from kubelet.images.archive import DirectoryArchive, TarArchive, read_archive

        with self._scratch() as scratch:
            if not isinstance(stream, Path):
                found = read_archive(TarArchive(stream, scratch, self._limits))
            elif stream.is_dir():
                found = read_archive(DirectoryArchive(stream))
            else:
                with open(stream, "rb") as file:
                    found = read_archive(TarArchive(file, scratch, self._limits))
            if name is not None and len(found) > 1:
                raise InvalidImage(f"{len(found)} images in one archive, and one name for them")
            return [self.add(each, [name] if name else each.names) for each in found]

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A directory that goes again; a disk that gets full inside is told from a bad image."""
        try:
            with tempfile.TemporaryDirectory(dir=self.scratch) as scratch:
                yield Path(scratch)
        except OSError as failure:
            if is_full(failure):
                raise NoRoomForImage(f"no room on the disk of {self._root}") from failure
            raise

    def add(self, found: Found, names: list[str]) -> Image:
        """Unpack the layers that are not there yet, then keep the record: from then on it
        exists."""
        config, diff_ids = read_config(found.config)
        if len(diff_ids) != len(found.layers):
            raise InvalidImage(f"{len(found.layers)} layers, but the config names {len(diff_ids)}")
        full_names = _full_names(names)
        chain = chain_ids(diff_ids)
        with self._pinned(chain):
            for number, (packed, diff_id) in enumerate(zip(found.layers, diff_ids, strict=True)):
                self._ensure_layer(packed, diff_id, chain[: number + 1])
            image = Image(
                id=f"sha256:{hashlib.sha256(found.config).hexdigest()}",
                references=[familiar(name) for name in full_names if "@" not in name],
                repo_digests=_repo_digests(full_names, found.manifest_digest),
                size_bytes=sum(packed.size for packed in found.layers),
                layers=[str(self._layer(name)) for name in chain],
                config=config,
            )
            return self._keep_new(image)

    def has_layer(self, chain_id: str) -> bool:
        return self._layer(chain_id).is_dir()

    def _layer(self, chain_id: str) -> Path:
        return self._root / "layers" / chain_id

    @contextmanager
    def _pinned(self, chain: list[str]) -> Iterator[None]:
        """What is being loaded is not collected, what was loaded in vain is."""
        with self._lock:
            self._pins.update(chain)
        try:
            yield
        finally:
            with self._lock:
                self._pins -= Counter(chain)
            self._collect()

    def _ensure_layer(self, packed: PackedLayer, diff_id: str, chain: list[str]) -> None:
        """`chain` ends with this layer."""
        target = self._layer(chain[-1])
        with self._layer_locks.holding(chain[-1]):
            if target.is_dir():
                return
            with self._scratch() as scratch:
                unpacked = scratch / "layer"
                unpacked.mkdir(mode=0o755)
                self._unpack(packed, diff_id, unpacked, [str(self._layer(c)) for c in chain[:-1]])
                _to_disk(unpacked)
                unpacked.rename(target)

    def _unpack(self, packed: PackedLayer, diff_id: str, target: Path, lower: list[str]) -> None:
        """Checked against the digests of what it came as and of what it contains."""
        from kubelet.images.compression import Decompressed
        from kubelet.images.unpack import unpack_layer

        what = f"layer {diff_id}"
        allowance = Allowance(self._limits, str(target), packed.size)
        with packed.open() as file:
            came = _Digested(file)
            try:
                plain = _Digested(Decompressed(came), allowance)
                unpack_layer(
                    plain, str(target), lower=lower, limits=self._limits, allowance=allowance,
                    what=what,
                )  # fmt: skip
                plain.drain()  # a tar stops at its end mark, a digest covers what follows as well
                came.drain()
            except NoRoomForImage:
                raise
            except ImageError as failure:
                # Say "damaged" of what is damaged, rather than what its damage looks like
                came.drain()
                _check(packed.digest, came.digest(), f"blob {packed.digest}")
                raise failure
        _check(packed.digest, came.digest(), f"blob {packed.digest}")
        _check(diff_id, plain.digest(), what)

    # ---- records ----

    def _keep_new(self, image: Image) -> Image:
        """A name belongs to one image, the newest; an image may have several names."""
        with self._lock:
            for other in list(self._images.values()):
                left = [name for name in other.references if name not in image.references]
                if other.id != image.id and left != other.references:
                    self._keep(replace(other, references=left))
            if (old := self._images.get(image.id)) is not None:
                image = replace(
                    image,
                    references=sorted({*old.references, *image.references}),
                    repo_digests=sorted({*old.repo_digests, *image.repo_digests}),
                )
            self._keep(image)
            return image

    def adopt(self, full_repository: str, digest: str, names: list[str]) -> Image | None:
        """The image that came from that repository under that digest, with more names; None when
        it is not here."""
        full_names = _full_names(names)
        with self._lock:
            wanted = f"{familiar(full_repository)}@{digest}"
            image = next((i for i in self._images.values() if wanted in i.repo_digests), None)
            if image is None:
                return None
            return self._keep_new(replace(
                image,
                references=[familiar(name) for name in full_names if "@" not in name],
                repo_digests=_repo_digests(full_names, digest),
            ))  # fmt: skip

    def _record(self, image_id: str) -> Path:
        return self._root / "images" / f"{image_id.removeprefix('sha256:')}.json"

    def _keep(self, image: Image) -> None:
        record = asdict(image) | {"layers": [Path(layer).name for layer in image.layers]}
        path = self._record(image.id)
        temporary = path.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(record, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        _fsync_directory(path.parent)
        self._images[image.id] = image

    def _read_records(self) -> Iterator[Image]:
        """One that cannot be used any more is dropped: the image can be loaded again."""
        for path in sorted((self._root / "images").iterdir()):
            try:
                record: dict[str, Any] = json.loads(path.read_text())
                config = ImageConfig(**record.pop("config"))
                layers = [str(self._layer(name)) for name in record.pop("layers")]
                image = Image(**record, layers=layers, config=config)
            except (ValueError, KeyError, TypeError) as failure:
                log.warning("dropping the image record %s: %s", path.name, failure)
            else:
                if path == self._record(image.id) and all(os.path.isdir(x) for x in image.layers):
                    yield image
                    continue
                log.warning("dropping the image %s: a layer is not there", image.references)
            path.unlink()

    # ---- asking, removing ----

    def get(self, reference: str) -> Image:
        """By name, digest or id; raises ImageNotFound."""
        with self._lock:
            if reference in self._images:
                return self._images[reference]
            try:
                full = normalise(reference)
            except InvalidReference as failure:
                raise ImageNotFound(str(failure)) from failure
            short = familiar(full)
            for image in self._images.values():
                if short in image.references or short in image.repo_digests:
                    return image
            digest = full.partition("@")[2]
            for image in self._images.values():  # the id is a digest as well: name@id
                if digest and digest == image.id and _has_repository(image, full):
                    return image
        raise ImageNotFound(f'image "{reference}" not found')

    def list(self) -> list[Image]:
        """By name."""
        with self._lock:
            return sorted(self._images.values(), key=lambda image: (image.references, image.id))

    def remove(self, reference: str) -> None:
        """Take the name away; the image goes with its last one, or when it is named by its id. Its
        layers stay while another image has them. Raises ImageNotFound."""
        with self._lock:
            image = self.get(reference)
            left: list[str] = []
            if reference not in self._images and "@" not in reference:
                short = familiar(normalise(reference))
                left = [name for name in image.references if name != short]
            if left:
                self._keep(replace(image, references=left))
                return
            del self._images[image.id]
            self._record(image.id).unlink(missing_ok=True)
        self._collect()

    # ---- use and room ----

    def touch(self, image_id: str, now: float) -> None:
        """It is used; kept over a restart, as the time of its record."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._record(image_id), (now, now))

    def used_at(self, image_id: str) -> float:
        """When it was last used, or came; 0.0 for one that is gone."""
        try:
            return self._record(image_id).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def discard(self, image_id: str, *, unless_used_since: float) -> int | None:
        """Remove an image with all its names; the bytes that its own layers took, None if it stays:
        it was used meanwhile, or is gone."""
        with self._lock:
            image = self._images.get(image_id)
            if image is None or self.used_at(image_id) >= unless_used_since:
                return None
            others = {x for each in self._images.values() if each is not image for x in each.layers}
            own = [Path(layer).name for layer in image.layers if layer not in others]
            freed = sum(self._size_of(name)[0] for name in own)
            del self._images[image.id]
            self._record(image.id).unlink(missing_ok=True)
        self._collect()
        return freed

    def disk(self) -> Disk:
        found = os.statvfs(self._root)
        return Disk(
            found.f_blocks * found.f_frsize,
            found.f_bavail * found.f_frsize,
            found.f_files,
            found.f_favail,
        )

    def used(self) -> tuple[int, int]:
        """(bytes, inodes) that the layers take on the disk."""
        with self._lock:
            names = {Path(layer).name for image in self._images.values() for layer in image.layers}
        sizes = [self._size_of(name) for name in names]
        return sum(size for size, _ in sizes), sum(inodes for _, inodes in sizes)

    def _size_of(self, chain_id: str) -> tuple[int, int]:
        """A layer never changes, so it is counted once."""
        known = self._layer_sizes.get(chain_id)
        if known is None:
            known = self._layer_sizes[chain_id] = _disk_usage(self._layer(chain_id))
        return known

    def _collect(self) -> None:
        """Remove the layers that no image has: moved away at once, deleted at leisure."""
        with self._lock:
            used = {Path(layer).name for image in self._images.values() for layer in image.layers}
            stale = [
                path
                for path in (self._root / "layers").iterdir()
                if path.name not in used and not self._pins[path.name]
            ]
            if not stale:
                return
            grave = tempfile.mkdtemp(dir=self._root / "scratch")
            for path in stale:
                path.rename(Path(grave) / path.name)
                self._layer_sizes.pop(path.name, None)
        shutil.rmtree(grave)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _disk_usage(directory: Path) -> tuple[int, int]:
    """(bytes, inodes); a file with several names counts once."""
    seen = {}
    for parent, directories, files in os.walk(directory):
        for name in (".", *directories, *files):
            with contextlib.suppress(FileNotFoundError):
                found = os.lstat(os.path.join(parent, name))
                seen[found.st_ino] = found.st_blocks * 512
    return sum(seen.values()), len(seen)


def _full_names(names: list[str]) -> list[str]:
    try:
        return sorted({normalise(name) for name in names})
    except InvalidReference as failure:
        raise InvalidImage(str(failure)) from failure


def _repo_digests(full_names: list[str], digest: str) -> list[str]:
    if not digest:
        return []
    return sorted({f"{familiar(repository(name))}@{digest}" for name in full_names})


def _has_repository(image: Image, full: str) -> bool:
    return any(repository(normalise(name)) == repository(full) for name in image.references)


class _KeyedLocks:
    """A lock for each name that somebody holds or waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, threading.Lock] = {}
        self._users: Counter[str] = Counter()

    @contextmanager
    def holding(self, key: str) -> Iterator[None]:
        with self._lock:
            own = self._held.setdefault(key, threading.Lock())
            self._users[key] += 1
        try:
            with own:
                yield
        finally:
            with self._lock:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._held[key]


class _Digested:
    """A source that remembers the digest of what was read of it, counted if there is an
    allowance."""

    def __init__(self, source: Any, allowance: Allowance | None = None) -> None:
        self._source = source
        self._allowance = allowance
        self._hash = hashlib.sha256()

    def read(self, size: int) -> bytes:
        piece: bytes = self._source.read(size)
        if self._allowance is not None:
            self._allowance.more(len(piece))
        self._hash.update(piece)
        return piece

    def drain(self) -> None:
        while self.read(_BUFFER_BYTES):
            pass

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _check(expected: str, found: str, what: str) -> None:
    if expected and expected != found:
        raise InvalidImage(f"{what} is damaged: its content is {found}")


def _to_disk(directory: Path) -> None:
    """Everything of that file system: a name must not outlive its content (`man 2 syncfs`)."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _libc.syncfs(fd) != 0:
            code = ctypes.get_errno()
            raise OSError(code, f"syncfs {directory}: {os.strerror(code)}")
    finally:
        os.close(fd)


def _fsync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
