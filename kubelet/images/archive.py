"""Image archives: an OCI layout (tar or directory) or what `docker save` writes.

Room kubelet/images. A tar is first spread into numbered files in a scratch directory: its names are
only keys of a dict and never paths, so they can lead nowhere. Then it is read by its index. Digests
are checked of everything that has one: manifests and configs here, layers while they are unpacked.

Sources: OCI image spec `image-layout.md`, `image-index.md`, `manifest.md`; moby
`image/spec/spec.md`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Protocol

from kubelet.images.compression import Decompressed
from kubelet.images.errors import InvalidImage
from kubelet.images.limits import Allowance, Limits
from kubelet.images.manifest import (
    MAX_JSON_BYTES,
    MAX_NESTED_INDEXES,
    Manifest,
    array,
    choose,
    digest_of,
    field,
    fits,
    is_attestation,
    is_index,
    json_of,
    no_manifest_for_us,
    platform_of,
    read_manifest,
    read_object,
    typed,
    verified,
)
from kubelet.images.tar_stream import Readable, copy, entries

MAX_FILES = 10_000  # blobs of an archive; an image has about as many as layers
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"  # docker save since 25 writes this beside the tag alone


class PackedLayer(Protocol):
    """A layer as it came, and what it should be; "" where nobody says. `open` may be called more
    than once, and costs nothing before it is."""

    @property
    def digest(self) -> str: ...

    @property
    def size(self) -> int: ...

    def open(self) -> AbstractContextManager[Readable]: ...


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A layer on the disk."""

    path: Path
    digest: str

    @property
    def size(self) -> int:
        return self.path.stat().st_size

    def open(self) -> IO[bytes]:
        return open(self.path, "rb")


@dataclass(frozen=True, slots=True)
class Found:
    """An image in an archive or a registry: its names, its config and its layers, lowest first."""

    names: list[str]
    config: bytes
    layers: Sequence[PackedLayer]
    manifest_digest: str  # "" where the archive has no manifest (docker save before 25)


class Archive(Protocol):
    """Files by name."""

    def has(self, name: str) -> bool: ...

    def path(self, name: str) -> Path:
        """Where the file is; raises InvalidImage if there is none."""


class DirectoryArchive:
    """An OCI layout on the disk."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()

    def has(self, name: str) -> bool:
        return (self._directory / name).is_file()

    def path(self, name: str) -> Path:
        try:
            path = (self._directory / name).resolve()
        except (OSError, RuntimeError, ValueError) as failure:  # a loop of links, a NUL
            raise InvalidImage(f"the image has no file {name!r}: {failure}") from failure
        if not path.is_relative_to(self._directory) or not path.is_file():
            raise InvalidImage(f"the image has no file {name!r}")
        return path


class TarArchive:
    """A tar of blobs, plain or compressed, spread over `scratch`."""

    def __init__(self, stream: Readable, scratch: Path, limits: Limits) -> None:
        self._files: dict[str, Path] = {}
        self._links: dict[str, str] = {}
        limits = replace(limits, entries=MAX_FILES)
        allowance = Allowance(limits, str(scratch))
        source = _Counted(Decompressed(stream), allowance)
        for member, content in entries(source, limits, allowance, "the image archive"):
            name = _plain_name(member.name)
            if content is not None:
                path = scratch / f"{len(self._files)}"
                with open(path, "wb") as file:
                    copy(content, file.write)
                self._files[name] = path
            elif member.issym():  # docker save links equal layers to one file
                self._links[name] = _plain_name(f"{posixpath.dirname(name)}/{member.linkname}")
            elif member.islnk():
                self._links[name] = _plain_name(member.linkname)

    def has(self, name: str) -> bool:
        return name in self._files or name in self._links

    def path(self, name: str) -> Path:
        plain = _plain_name(name)
        found = self._files.get(plain) or self._files.get(self._links.get(plain, ""))
        if found is None:
            raise InvalidImage(f"the image archive has no file {name!r}")
        return found


def _plain_name(name: str) -> str:
    return posixpath.normpath(f"/{name}").lstrip("/")


class _Counted:
    """A source that is counted against an allowance as it is read."""

    def __init__(self, source: Readable, allowance: Allowance) -> None:
        self._source, self._allowance = source, allowance

    def read(self, size: int) -> bytes:
        piece = self._source.read(size)
        self._allowance.more(len(piece))
        return piece


def read_archive(archive: Archive) -> list[Found]:
    """The images in it, at least one; raises InvalidImage."""
    is_oci, is_docker = archive.has("index.json"), archive.has("manifest.json")
    if not is_oci and not is_docker:
        raise InvalidImage(
            "neither an OCI layout (no index.json) nor a docker archive (no manifest.json)"
        )
    found = list(_oci(archive)) if is_oci else []
    if is_docker and not any(
        image.names for image in found
    ):  # names may stand in the other one only
        found = list(_docker(archive))
    if not found:
        raise InvalidImage("the archive has no image in it")
    return found


# ---- what docker save writes ----


def _docker(archive: Archive) -> Iterator[Found]:
    for entry in typed(_json(archive.path("manifest.json")), list, "manifest.json"):
        config = _read_small(archive.path(field(entry, "Config", str)))
        layers = [typed(name, str, "Layers") for name in array(entry, "Layers")]
        names = [typed(name, str, "RepoTags") for name in array(entry, "RepoTags")]
        yield Found(names, config, [LayerFile(archive.path(n), "") for n in layers], "")


# ---- OCI ----


def _oci(archive: Archive) -> Iterator[Found]:
    index = _json(archive.path("index.json"))
    others: list[str] = []
    is_any = False
    for entry in array(index, "manifests"):
        if is_attestation(entry):
            continue
        if not fits(entry):
            others.append(platform_of(entry))
            continue
        is_any = True
        yield _image(archive, entry)
    if others and not is_any:
        raise InvalidImage(no_manifest_for_us(others))


def _image(archive: Archive, entry: dict[str, Any]) -> Found:
    annotations = field(entry, "annotations", dict, {})
    name = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME)
    manifest, digest = _manifest(archive, entry, MAX_NESTED_INDEXES)
    config = _blob(archive, manifest.config.digest)
    layers = [LayerFile(archive.path(_path(each.digest)), each.digest) for each in manifest.layers]
    return Found([str(name)] if name else [], config, layers, digest)


def _manifest(archive: Archive, entry: dict[str, Any], indexes_left: int) -> tuple[Manifest, str]:
    """(the manifest for this machine, its digest), of an index if it is one."""
    digest = digest_of(entry)
    content = read_object(_blob(archive, digest), digest)
    if not is_index(content):
        return read_manifest(content), digest
    chosen = choose(array(content, "manifests"))
    if indexes_left == 0:
        raise InvalidImage(f"indexes nested deeper than {MAX_NESTED_INDEXES}")
    return _manifest(archive, chosen, indexes_left - 1)


# ---- blobs ----


def _path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _blob(archive: Archive, digest: str) -> bytes:
    """A small blob, after its digest was checked."""
    return verified(_read_small(archive.path(_path(digest))), digest)


def _read_small(path: Path) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise InvalidImage(f"a manifest or config of more than {MAX_JSON_BYTES} bytes")
    return content


def _json(path: Path) -> Any:
    return json_of(_read_small(path), path.name)
