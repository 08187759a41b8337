"""Image references: "busybox", "busybox:1.0", "registry.local:5000/team/app@sha256:…".

Room kubelet/images. Source: distribution's reference grammar.
"""

from __future__ import annotations

import re

DEFAULT_REGISTRY = "docker.io"
_TAG = re.compile(r"[\w][\w.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PATH = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")


class InvalidReference(ValueError):
    """Not an image reference; the message is Kubernetes' own."""


def normalise(reference: str) -> str:
    """The full form: "busybox" → "docker.io/library/busybox:latest". Raises InvalidReference."""
    rest, at, digest = reference.partition("@")
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        registry, path = head, tail
    else:
        registry, path = DEFAULT_REGISTRY, rest if slash else f"library/{rest}"
    path, colon, tag = path.partition(":")
    is_good = _PATH.fullmatch(path) and (not colon or _TAG.fullmatch(tag)) and (not at or _DIGEST.fullmatch(digest))
    if not is_good:
        raise InvalidReference(f'couldn\'t parse image name "{reference}": invalid reference format')
    if at:
        return f"{registry}/{path}@{digest}"
    return f"{registry}/{path}:{tag or 'latest'}"


def familiar(reference: str) -> str:
    """The short form of a full one: what a person typed."""
    return reference.removeprefix(f"{DEFAULT_REGISTRY}/library/").removeprefix(f"{DEFAULT_REGISTRY}/")
