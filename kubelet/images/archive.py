"""Image archives: an OCI layout (tar or directory) or what `docker save` writes.

Room kubelet/images. A tar is first spread into numbered files in a scratch directory: its names are
only keys of a dict and never paths, so they can lead nowhere. Then it is read by its index. Digests
are checked of everything that has one: manifests and configs here, layers while they are unpacked.

Sources: OCI image spec `image-layout.md`, `image-index.md`, `manifest.md`; moby
`image/spec/spec.md`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kubelet.images.compression import Decompressed
from kubelet.images.errors import InvalidImage
from kubelet.images.limits import Allowance, Limits
from kubelet.images.tar_stream import Readable, copy, entries

MAX_JSON_BYTES = 4 * 1024 * 1024
MAX_FILES = 10_000  # blobs of an archive; an image has about as many as layers
MAX_NESTED_INDEXES = 4
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
_REF_NAME = "org.opencontainers.image.ref.name"
_FULL_NAME = "io.containerd.image.name"  # docker save since 25 writes this beside the tag alone
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """A layer's file as it came, and what it should be; "" where the archive does not say."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Found:
    """An image in an archive: its names, its config and its layers, lowest first."""

    names: list[str]
    config: bytes
    layers: list[PackedLayer]
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
    for entry in _typed(_json(archive.path("manifest.json")), list, "manifest.json"):
        config = _read_small(archive.path(_field(entry, "Config", str)))
        layers = [_typed(name, str, "Layers") for name in _list(entry, "Layers")]
        names = [_typed(name, str, "RepoTags") for name in _list(entry, "RepoTags")]
        yield Found(names, config, [PackedLayer(archive.path(n), "") for n in layers], "")


# ---- OCI ----


def _oci(archive: Archive) -> Iterator[Found]:
    index = _json(archive.path("index.json"))
    others: list[str] = []
    is_any = False
    for descriptor in _list(index, "manifests"):
        if _is_attestation(descriptor):
            continue
        if not _fits(descriptor):
            others.append(_platform(descriptor))
            continue
        is_any = True
        yield _image(archive, descriptor)
    if others and not is_any:
        raise InvalidImage(_no_manifest_for_us(others))


def _image(archive: Archive, descriptor: dict[str, Any]) -> Found:
    annotations = _field(descriptor, "annotations", dict, {})
    name = annotations.get(_FULL_NAME) or annotations.get(_REF_NAME)
    manifest, digest = _manifest(archive, descriptor, MAX_NESTED_INDEXES)
    config = _verified(archive, _field(manifest, "config", dict))
    layers = [_layer(archive, layer) for layer in _list(manifest, "layers")]
    return Found([str(name)] if name else [], config, layers, digest)


def _layer(archive: Archive, descriptor: dict[str, Any]) -> PackedLayer:
    if _field(descriptor, "urls", list, []):
        raise InvalidImage("a layer that is not in the archive but elsewhere (urls)")
    digest = _digest(descriptor)
    return PackedLayer(archive.path(_blob(digest)), digest)


def _manifest(
    archive: Archive, descriptor: dict[str, Any], indexes_left: int
) -> tuple[dict[str, Any], str]:
    """(the manifest for this machine, its digest), of an index if it is one."""
    said = _json_of(_verified(archive, descriptor), _digest(descriptor))
    content = _typed(said, dict, "a manifest")
    if "config" in content and "manifests" not in content:
        return content, _digest(descriptor)
    candidates = [c for c in _list(content, "manifests") if not _is_attestation(c)]
    fitting = [c for c in candidates if _fits(c)]
    if not fitting:
        raise InvalidImage(_no_manifest_for_us([_platform(c) for c in candidates]))
    if indexes_left == 0:
        raise InvalidImage(f"indexes nested deeper than {MAX_NESTED_INDEXES}")
    return _manifest(archive, fitting[0], indexes_left - 1)


def _is_attestation(descriptor: dict[str, Any]) -> bool:
    kind = _field(descriptor, "annotations", dict, {}).get("vnd.docker.reference.type")
    return kind == "attestation-manifest"


def our_platform() -> str:
    machine = platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"


def _platform(descriptor: dict[str, Any]) -> str:
    """ "linux/amd64", or "" if it does not say."""
    said = _field(descriptor, "platform", dict, {})
    return f"{said.get('os', 'linux')}/{said.get('architecture', '')}" if said else ""


def _fits(descriptor: dict[str, Any]) -> bool:
    return _platform(descriptor) in ("", our_platform())


def _no_manifest_for_us(others: list[str]) -> str:
    known = ", ".join(sorted({other for other in others if other})) or "nothing"
    return f"the image is not for this machine: it has {known}, not {our_platform()}"


# ---- blobs ----


def _digest(descriptor: dict[str, Any]) -> str:
    digest = _field(descriptor, "digest", str)
    if not _SHA256.fullmatch(digest):
        raise InvalidImage(f"unsupported digest {digest[:100]!r}")
    return digest


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _verified(archive: Archive, descriptor: dict[str, Any]) -> bytes:
    """A small blob, after its digest was checked."""
    digest = _digest(descriptor)
    content = _read_small(archive.path(_blob(digest)))
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise InvalidImage(f"blob {digest} does not have the content that its digest says")
    return content


def _read_small(path: Path) -> bytes:
    with open(path, "rb") as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise InvalidImage(f"a manifest or config of more than {MAX_JSON_BYTES} bytes")
    return content


# ---- JSON of strangers ----

_REQUIRED: Any = object()


def _json(path: Path) -> Any:
    return _json_of(_read_small(path), path.name)


def _json_of(content: bytes, what: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as failure:
        raise InvalidImage(f"{what} is not valid JSON: {failure}") from failure


def _typed(value: Any, kind: type[_T], what: str) -> _T:
    if not isinstance(value, kind):
        raise InvalidImage(f"{what} should be a {kind.__name__} and is {value!r:.100}")
    return value


def _field(data: Any, name: str, kind: type[_T], default: _T = _REQUIRED) -> _T:
    """A field of an object; null counts as absent."""
    value = _typed(data, dict, "an entry").get(name)
    if value is None and default is not _REQUIRED:
        return default
    if value is None:
        raise InvalidImage(f"an entry lacks {name!r}")
    return _typed(value, kind, name)


def _list(data: Any, name: str) -> list[Any]:
    return _field(data, name, list, [])
