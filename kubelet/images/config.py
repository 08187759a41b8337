"""What an image says about itself: the config, whose digest is the image's id.

Room kubelet/images. Source: OCI image spec `config.md`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any

from kubelet.images.errors import InvalidImage
from kubelet.images.manifest import fits, no_manifest_for_us, platform_of

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")
MAX_LAYERS = 500  # what overlayfs takes


@dataclass(frozen=True)
class ImageConfig:
    """How to run it."""

    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)
    env: list[str] = field(default_factory=list)  # "K=V"
    user: str = ""
    working_dir: str = ""
    stop_signal: str = ""
    exposed_ports: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)


def read_config(content: bytes) -> tuple[ImageConfig, list[str]]:
    """(how to run it, the digests of its uncompressed layers); raises InvalidImage."""
    try:
        described = json.loads(content)
        _check_platform(described)
        diff_ids = [str(digest) for digest in described["rootfs"].get("diff_ids") or ()]
        return _run_config(described.get("config") or {}), _checked(diff_ids)
    except InvalidImage:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as failure:
        raise InvalidImage(f"the image's config cannot be read: {failure!r:.200}") from failure


def _check_platform(described: dict[str, Any]) -> None:
    """An image without an index says only here what it is for."""
    platform = {"os": described.get("os") or "linux",
                "architecture": described.get("architecture"),
                "variant": described.get("variant")}  # fmt: skip
    if platform["architecture"] and not fits({"platform": platform}):
        raise InvalidImage(no_manifest_for_us([platform_of({"platform": platform})]))


def _checked(diff_ids: list[str]) -> list[str]:
    for digest in diff_ids:
        if not _SHA256.fullmatch(digest):
            raise InvalidImage(f"unsupported digest {digest[:100]!r}")
    if len(diff_ids) > MAX_LAYERS:
        raise InvalidImage(f"{len(diff_ids)} layers, more than the {MAX_LAYERS} that fit")
    return diff_ids


def _run_config(said: dict[str, Any]) -> ImageConfig:
    return ImageConfig(
        entrypoint=_texts(said.get("Entrypoint")),
        cmd=_texts(said.get("Cmd")),
        env=_texts(said.get("Env")),
        user=str(said.get("User") or ""),
        working_dir=str(said.get("WorkingDir") or ""),
        stop_signal=str(said.get("StopSignal") or ""),
        exposed_ports=sorted(said.get("ExposedPorts") or ()),
        volumes=sorted(said.get("Volumes") or ()),
    )


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise InvalidImage(f"the image's config has {value!r:.100} where a list of texts belongs")
    return value


def chain_ids(diff_ids: list[str]) -> list[str]:
    """The hex name of each layer on top of those below it (OCI image spec, `config.md`,
    ChainID)."""
    chain: list[str] = []
    for diff_id in diff_ids:
        below = f"sha256:{chain[-1]} " if chain else ""
        on_top = hashlib.sha256(f"{below}{diff_id}".encode()).hexdigest()
        chain.append(on_top if below else diff_id.removeprefix("sha256:"))
    return chain
