"""Where images lie: layers by what they contain, unpacked once; small JSON records for the images.

    <root>/layers/<hex of diff id>/   an unpacked layer, complete once it has this name
    <root>/images/<hex of image id>.json
    <root>/scratch/                   what is being loaded; emptied at the start

Room kubelet/images; safe for many threads. An image's id is the digest of its config, as everywhere.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from kubelet.images.archive import Found, open_layer, read_archive, spread
from kubelet.images.reference import InvalidReference, familiar, normalise
from kubelet.images.unpack import MAX_LAYER_BYTES, InvalidImage, unpack_layer


class ImageNotFound(LookupError):
    """No image of that name on this node."""


@dataclass(frozen=True)
class ImageConfig:
    """What an image says about running it (OCI image spec, `config.md`)."""

    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    env: list[str] = field(default_factory=list)  # "K=V"
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    exposed_ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Image:
    """`layers` are directories, lowest first, ready to be overlay's lowerdirs."""

    id: str  # "sha256:…"
    references: list[str]
    repo_digests: list[str]
    size_bytes: int
    layers: list[str]
    config: ImageConfig


class ImageStore:
    """The images below `root`."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)
        self._lock = threading.RLock()
        for name in ("layers", "images"):
            (self._root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(self._root / "scratch", ignore_errors=True)
        (self._root / "scratch").mkdir(mode=0o700)
        self._images = {image.id: image for image in map(_read, (self._root / "images").glob("*.json"))}

    def load(self, stream: IO[bytes] | Path, *, name: str | None = None) -> list[Image]:
        """Every image of an archive (a stream or file) or of an OCI layout directory; raises
        InvalidImage and keeps nothing of a broken one."""
        with tempfile.TemporaryDirectory(dir=self._root / "scratch") as scratch:
            if isinstance(stream, Path) and stream.is_dir():
                directory = stream
            elif isinstance(stream, Path):
                with open(stream, "rb") as file:
                    directory = spread(file, Path(scratch))
            else:
                directory = spread(stream, Path(scratch))
            found = list(read_archive(directory))
            if not found:
                raise InvalidImage("the archive has no image in it")
            return [self._add(each, name) for each in found]

    def _add(self, found: Found, name: str | None) -> Image:
        try:
            described = json.loads(found.config)
            diff_ids = [str(d) for d in described["rootfs"]["diff_ids"]]
        except (ValueError, KeyError, TypeError) as failure:
            raise InvalidImage(f"the image's config cannot be read: {failure}") from failure
        if len(diff_ids) != len(found.layers):
            raise InvalidImage(f"{len(found.layers)} layers, but the config names {len(diff_ids)}")
        sizes = [self._layer(d, file) for d, file in zip(diff_ids, found.layers, strict=True)]
        image_id = f"sha256:{hashlib.sha256(found.config).hexdigest()}"
        try:
            names = [normalise(n) for n in ([name] if name else found.names)]
        except InvalidReference as failure:
            raise InvalidImage(str(failure)) from failure
        digests = [f"{n.rsplit(':', 1)[0]}@{found.manifest_digest}" for n in names if found.manifest_digest]
        with self._lock:
            self._take_names(names)
            old = self._images.get(image_id)
            image = Image(
                id=image_id,
                references=sorted({*(old.references if old else ()), *map(familiar, names)}),
                repo_digests=sorted({*(old.repo_digests if old else ()), *map(familiar, digests)}),
                size_bytes=sum(sizes),
                layers=[str(self._layer_dir(d)) for d in diff_ids],
                config=_config(described.get("config") or {}),
            )
            self._keep(image)
            return image

    def _layer_dir(self, diff_id: str) -> Path:
        algorithm, _, value = diff_id.partition(":")
        if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
            raise InvalidImage(f"unsupported digest {diff_id!r}")
        return self._root / "layers" / value

    def _layer(self, diff_id: str, file: Path) -> int:
        """Unpack a layer if it is not there yet; its size. Checked against the digest of its content."""
        target = self._layer_dir(diff_id)
        if target.is_dir():
            return file.stat().st_size
        with tempfile.TemporaryDirectory(dir=self._root / "scratch") as scratch:
            unpacked = Path(scratch) / "layer"
            unpacked.mkdir(mode=0o755)
            with open_layer(file) as opened:
                reader = _Hashing(opened)
                try:
                    unpack_layer(reader, str(unpacked))  # type: ignore[arg-type]
                    reader.drain()
                except (OSError, EOFError) as failure:
                    raise InvalidImage(f"layer {diff_id} cannot be unpacked: {failure}") from failure
            if reader.digest() != diff_id:
                raise InvalidImage(f"layer {diff_id} has the content of {reader.digest()}")
            with self._lock:
                if not target.exists():
                    unpacked.rename(target)
        return file.stat().st_size

    def _take_names(self, names: list[str]) -> None:
        """A name belongs to one image: the newest."""
        short = {familiar(n) for n in names}
        for image in list(self._images.values()):
            if short & set(image.references):
                left = [r for r in image.references if r not in short]
                self._keep(Image(**{**asdict(image), "references": left, "config": image.config}))

    def _keep(self, image: Image) -> None:
        path = self._root / "images" / f"{image.id.partition(':')[2]}.json"
        temporary = path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(image)))
        temporary.rename(path)
        self._images[image.id] = image

    def get(self, reference: str) -> Image:
        """By name, digest or id; raises ImageNotFound."""
        with self._lock:
            if reference in self._images:
                return self._images[reference]
            try:
                wanted = familiar(normalise(reference))
            except InvalidReference as failure:
                raise ImageNotFound(str(failure)) from failure
            for image in self._images.values():
                if wanted in image.references or wanted in image.repo_digests:
                    return image
        raise ImageNotFound(f'image "{reference}" not found')

    def list(self) -> list[Image]:
        with self._lock:
            return sorted(self._images.values(), key=lambda image: (image.references, image.id))

    def remove(self, reference: str) -> None:
        """Forget an image, and the layers that no other image has; raises ImageNotFound."""
        with self._lock:
            image = self.get(reference)
            del self._images[image.id]
            (self._root / "images" / f"{image.id.partition(':')[2]}.json").unlink(missing_ok=True)
            used = {layer for other in self._images.values() for layer in other.layers}
            for layer in set(image.layers) - used:
                shutil.rmtree(layer)


class _Hashing:
    """A stream that remembers the digest of what was read, and stops at the size bound."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._hash = hashlib.sha256()
        self._left = MAX_LAYER_BYTES * 2

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._left -= len(piece)
        if self._left < 0:
            raise InvalidImage("a layer that unpacks to more than the bound")
        self._hash.update(piece)
        return piece

    def drain(self) -> None:
        """tar stops at its end mark; the digest covers what follows as well."""
        while self.read(1024 * 1024):
            pass

    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _config(said: dict[str, Any]) -> ImageConfig:
    return ImageConfig(
        entrypoint=list(said.get("Entrypoint") or ()),
        cmd=list(said.get("Cmd") or ()),
        env=list(said.get("Env") or ()),
        user=str(said.get("User") or ""),
        working_dir=str(said.get("WorkingDir") or ""),
        stop_signal=str(said.get("StopSignal") or ""),
        exposed_ports=sorted(said.get("ExposedPorts") or ()),
        volumes=sorted(said.get("Volumes") or ()),
    )


def _read(path: Path) -> Image:
    record = json.loads(path.read_text())
    return Image(**{**record, "config": ImageConfig(**record["config"])})
