"""Image references: "busybox", "busybox:1.0", "registry.local:5000/team/app@sha256:…".

Room kubelet/images. Source: distribution's reference grammar (`reference/reference.go`, comment at
the top).
"""

from __future__ import annotations

import re

from kubelet.images.errors import InvalidReference

DEFAULT_REGISTRY = "docker.io"
MAX_REPOSITORY_CHARACTERS = 255
_OFFICIAL = "library/"
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_WORD}(?:/{_WORD})*")
_HOST = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_HOST}(?:\.{_HOST})*|\[[0-9a-fA-F:]+\])(?::\d+)?")


def normalise(reference: str) -> str:
    """The full form: "busybox" → "docker.io/library/busybox:latest". With a digest the tag is left
    out, as it says nothing more. Raises InvalidReference."""
    rest, at, digest = reference.partition("@")
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost" or head != head.lower()):
        registry, path = head, tail
    else:
        registry, path = DEFAULT_REGISTRY, rest
    if registry == f"index.{DEFAULT_REGISTRY}":  # what Docker Hub was called
        registry = DEFAULT_REGISTRY
    path, colon, tag = path.partition(":")
    if registry == DEFAULT_REGISTRY and "/" not in path:
        path = _OFFICIAL + path
    is_good = (
        _REGISTRY.fullmatch(registry)
        and _PATH.fullmatch(path)
        and len(registry) + 1 + len(path) <= MAX_REPOSITORY_CHARACTERS
        and (not colon or _TAG.fullmatch(tag))
        and (not at or _DIGEST.fullmatch(digest))
    )
    if not is_good:
        raise InvalidReference(_complaint(reference, path))
    return f"{registry}/{path}@{digest}" if at else f"{registry}/{path}:{tag or 'latest'}"


def _complaint(reference: str, path: str) -> str:
    message = f'couldn\'t parse image name "{reference}": invalid reference format'
    if path != path.lower() and _PATH.fullmatch(path.lower()):
        message += f": repository name ({path}) must be lowercase"
    return message


def repository(reference: str) -> str:
    """A full form without its tag or digest."""
    rest = reference.partition("@")[0]
    head, slash, tail = rest.rpartition("/")
    return head + slash + tail.partition(":")[0]


def familiar(reference: str) -> str:
    """The short form of a full one: what a person typed."""
    hub = f"{DEFAULT_REGISTRY}/"
    if not reference.startswith(hub):
        return reference
    path = reference.removeprefix(hub)
    official = path.removeprefix(_OFFICIAL)
    return path if "/" in official else official
