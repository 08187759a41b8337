"""Manifests and indexes as JSON of strangers: read strictly, chosen by platform. Pure.

Room kubelet/images; called by archive.py and by the registry's client.
Sources: OCI image spec `manifest.md`, `image-index.md`, `descriptor.md`; distribution
`manifest-v2-2.md`.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from kubelet.images.errors import InvalidImage

MAX_JSON_BYTES = 4 * 1024 * 1024
MAX_NESTED_INDEXES = 4
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_LAYER = re.compile(
    r"application/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?"
    r"|docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?)"
)
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
# `uname -m` → architecture and the newest variant that runs here (Go's GOARCH and GOARM)
_MACHINES = {
    "x86_64": ("amd64", "v1"), "aarch64": ("arm64", "v8"), "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"), "i686": ("386", ""),
}  # fmt: skip
_PLAIN_VARIANT = {"amd64": "v1", "arm64": "v8", "arm": "v7"}  # what no variant means
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob by its digest, and how large it says it is (−1: it does not say)."""

    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class Manifest:
    config: Descriptor
    layers: list[Descriptor]  # lowest first


# ---- what a blob is ----


def is_index(content: dict[str, Any]) -> bool:
    """Of a manifest's JSON: whether it names others."""
    return "manifests" in content or "config" not in content


def read_object(content: bytes, what: str) -> dict[str, Any]:
    """Raises InvalidImage."""
    return typed(json_of(content, what), dict, what)


def read_manifest(content: dict[str, Any]) -> Manifest:
    """Of one image; raises InvalidImage for what is none: an old schema, an artifact."""
    if content.get("schemaVersion") == 1:
        raise InvalidImage("a manifest of schema 1, which nobody can verify; push the image anew")
    config = field(content, "config", dict)
    kind = field(config, "mediaType", str, "")
    if kind and kind not in _CONFIGS:
        raise InvalidImage(f"not a container image but an artifact of config type {kind[:200]!r}")
    return Manifest(descriptor(config), [_layer(layer) for layer in array(content, "layers")])


def _layer(layer: Any) -> Descriptor:
    kind = field(layer, "mediaType", str, "")
    if kind and not _LAYER.fullmatch(kind):
        raise InvalidImage(f"a layer of unsupported type {kind[:200]!r}")
    if field(layer, "urls", list, []):
        raise InvalidImage("a layer that is not with the image but elsewhere (urls)")
    return descriptor(layer)


def descriptor(data: Any) -> Descriptor:
    return Descriptor(digest_of(data), field(data, "size", int, -1))


def digest_of(data: Any) -> str:
    return checked_digest(field(data, "digest", str))


def checked_digest(digest: str) -> str:
    if not _SHA256.fullmatch(digest):
        raise InvalidImage(f"unsupported digest {digest[:100]!r}")
    return digest


def verified(content: bytes, digest: str) -> bytes:
    """The content, if it is what its digest says."""
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise InvalidImage(f"blob {digest} does not have the content that its digest says")
    return content


# ---- platforms ----


def our_platform() -> str:
    return f"linux/{_ours()[0]}"


def _ours() -> tuple[str, str]:
    machine = platform.machine()
    return _MACHINES.get(machine, (machine, ""))


def choose(entries: Sequence[Any]) -> dict[str, Any]:
    """The entry of an index that suits this machine best; raises InvalidImage with what there is
    instead."""
    candidates = [entry for entry in entries if not is_attestation(entry)]
    fitting = [entry for entry in candidates if fits(entry)]
    if not fitting:
        raise InvalidImage(no_manifest_for_us([platform_of(c) for c in candidates]))
    best: dict[str, Any] = max(fitting, key=_variant)
    return best


def is_attestation(entry: Any) -> bool:
    kind = field(entry, "annotations", dict, {}).get("vnd.docker.reference.type")
    return kind == "attestation-manifest"


def platform_of(entry: Any) -> str:
    """ "linux/amd64", "linux/arm/v7", or "" if it does not say."""
    said = field(entry, "platform", dict, {})
    parts = [said.get("os", "linux"), said.get("architecture", ""), said.get("variant")]
    return "/".join(str(part) for part in parts if part) if said else ""


def fits(entry: Any) -> bool:
    said = field(entry, "platform", dict, {})
    architecture, newest = _ours()
    if not said:
        return True
    is_ours = said.get("os", "linux") == "linux" and said.get("architecture") == architecture
    return is_ours and _variant(entry) <= newest


def _variant(entry: Any) -> str:
    """v6 < v7 < v8."""
    said = field(entry, "platform", dict, {})
    return str(said.get("variant") or _PLAIN_VARIANT.get(str(said.get("architecture")), ""))


def no_manifest_for_us(others: Sequence[str]) -> str:
    known = ", ".join(sorted({other for other in others if other})) or "nothing"
    return f"the image is not for this machine: it has {known}, not {our_platform()}"


# ---- JSON of strangers ----

_REQUIRED: Any = object()


def json_of(content: bytes, what: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as failure:
        raise InvalidImage(f"{what} is not valid JSON: {failure}") from failure


def typed(value: Any, kind: type[_T], what: str) -> _T:
    if not isinstance(value, kind):
        raise InvalidImage(f"{what} should be a {kind.__name__} and is {value!r:.100}")
    return value


def field(data: Any, name: str, kind: type[_T], default: _T = _REQUIRED) -> _T:
    """A field of an object; null counts as absent."""
    value = typed(data, dict, "an entry").get(name)
    if value is None and default is not _REQUIRED:
        return default
    if value is None:
        raise InvalidImage(f"an entry lacks {name!r}")
    return typed(value, kind, name)


def array(data: Any, name: str) -> list[Any]:
    return field(data, name, list, [])
