"""Image archives: an OCI layout (tar or directory) or what `docker save` writes.

Room kubelet/images. An archive is first unpacked into a scratch directory as plain blobs, then read by
its index; nothing is trusted before its digest was checked.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import platform
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from kubelet.images.unpack import MAX_LAYER_BYTES, InvalidImage

MAX_JSON_BYTES = 4 * 1024 * 1024
_COPY = 1024 * 1024
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"
_INDEX_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True)
class Found:
    """An image in an archive: its names, its config and the files of its layers, lowest first."""

    names: list[str]
    config: bytes
    layers: list[Path]
    manifest_digest: str  # "" where the archive has no manifest (docker save)


def spread(stream: IO[bytes], scratch: Path) -> Path:
    """Unpack a tar (plain or gzip) of blobs; its files, and nothing else, below `scratch`."""
    try:
        with tarfile.open(fileobj=_Reader(stream), mode="r|*") as tar:
            for member in tar:
                _spread_one(tar, member, scratch)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as failure:
        raise InvalidImage(f"not an image archive: {failure}") from failure
    return scratch


class _Reader:
    """Only what tarfile asks of a stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return bytes(self._stream.read(size))


def _spread_one(tar: tarfile.TarFile, member: tarfile.TarInfo, scratch: Path) -> None:
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if ".." in parts or member.size > MAX_LAYER_BYTES:
        raise InvalidImage(f"an archive with an entry that no image has: {member.name!r}")
    target = scratch.joinpath(*parts)
    if member.isreg():
        target.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        if source is None:
            raise InvalidImage(f"a file without content: {member.name!r}")
        with open(target, "wb") as file:
            shutil.copyfileobj(source, file, _COPY)
    elif member.issym() and not os.path.isabs(member.linkname):
        # docker save links equal layers to one file; the link must stay inside
        inside = os.path.normpath(os.path.join(*parts[:-1], member.linkname))
        if inside.startswith(".."):
            raise InvalidImage(f"a link out of the archive: {member.name!r}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(member.linkname)


def read_archive(directory: Path) -> Iterator[Found]:
    """The images of a spread archive; raises InvalidImage."""
    if (directory / "manifest.json").exists():
        yield from _docker(directory)
    elif (directory / "index.json").exists():
        yield from _oci(directory)
    else:
        raise InvalidImage("neither an OCI layout (index.json) nor a docker archive (manifest.json)")


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InvalidImage(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InvalidImage(f"the archive lacks {path.name}") from None
    except ValueError as failure:
        raise InvalidImage(f"{path.name} is not valid JSON: {failure}") from failure


def _inside(directory: Path, name: str) -> Path:
    path = (directory / name).resolve()
    if not path.is_relative_to(directory.resolve()) or not path.is_file():
        raise InvalidImage(f"the archive lacks {name}")
    return path


def _docker(directory: Path) -> Iterator[Found]:
    entries = _json(directory / "manifest.json")
    for entry in entries if isinstance(entries, list) else []:
        config = _inside(directory, entry["Config"]).read_bytes()
        layers = [_inside(directory, name) for name in entry.get("Layers") or ()]
        yield Found(list(entry.get("RepoTags") or ()), config, layers, "")


def _blob(directory: Path, descriptor: dict[str, Any]) -> Path:
    algorithm, _, value = str(descriptor.get("digest", "")).partition(":")
    if algorithm != "sha256" or len(value) != 64:
        raise InvalidImage(f"unsupported digest {descriptor.get('digest')!r}")
    path = _inside(directory, f"blobs/sha256/{value}")
    if digest_of(path) != f"sha256:{value}":
        raise InvalidImage(f"blob sha256:{value} does not have the content that its digest says")
    return path


def _oci(directory: Path) -> Iterator[Found]:
    for descriptor in _json(directory / "index.json").get("manifests") or ():
        annotations = descriptor.get("annotations") or {}
        name = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME)
        manifest, digest = _manifest(directory, descriptor)
        layers = [_blob(directory, layer) for layer in manifest.get("layers") or ()]
        config = _blob(directory, manifest["config"]).read_bytes()
        yield Found([name] if name else [], config, layers, digest)


def _manifest(directory: Path, descriptor: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The manifest for this machine, of an index if it is one."""
    content = _json(_blob(directory, descriptor))
    if descriptor.get("mediaType") not in _INDEX_TYPES and "manifests" not in content:
        return content, descriptor["digest"]
    arch = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for candidate in content.get("manifests") or ():
        wanted = candidate.get("platform") or {}
        if wanted.get("os", "linux") == "linux" and wanted.get("architecture", arch) == arch:
            return _json(_blob(directory, candidate)), candidate["digest"]
    raise InvalidImage(f"the image has no manifest for linux/{arch}")


def digest_of(path: Path) -> str:
    """ "sha256:…" of a file."""
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def open_layer(path: Path) -> IO[bytes]:
    """A layer's uncompressed bytes: plain or gzip."""
    with open(path, "rb") as file:
        magic = file.read(4)
    if magic[:2] == b"\x1f\x8b":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if magic == b"\x28\xb5\x2f\xfd":
        raise InvalidImage("zstd layers are not supported in this version; save the image with gzip")
    return open(path, "rb")
