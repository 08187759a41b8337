"""Who we are to which registry: docker's config files, matched as the kubelet matches them. Pure.

Room kubelet/images. The files come from imagePullSecrets and from the node's own config.json.
Source: Kubernetes `pkg/credentialprovider/config.go`, `keyring.go`, v1.32.
"""

from __future__ import annotations

import base64
import binascii
import fnmatch
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from kubelet.images.reference import DEFAULT_REGISTRY

_OLD_PREFIX = re.compile(r"^/v[12]/")  # "https://registry.example/v1/", as docker once wrote it


@dataclass(frozen=True, slots=True)
class Credential:
    username: str
    password: str

    def __repr__(self) -> str:  # for logs
        return f"Credential({self.username!r}, …)"


class BadConfig(ValueError):
    """Not a docker config; says what is wrong, never what is in it."""


def read_config(content: bytes, *, is_old: bool = False) -> list[tuple[str, Credential]]:
    """(place, who) of a `.dockerconfigjson`, or of the older `.dockercfg`; raises BadConfig."""
    try:
        described = json.loads(content)
        entries = described if is_old else described.get("auths") or {}
        return [(str(place), _credential(entry)) for place, entry in entries.items()]
    except (ValueError, AttributeError, RecursionError) as failure:
        raise BadConfig(f"not a docker config: {type(failure).__name__}") from None


def _credential(entry: dict[str, object]) -> Credential:
    """`auth` wins over `username` and `password`."""
    if encoded := entry.get("auth"):
        try:
            text = base64.b64decode(str(encoded)).decode()
        except (binascii.Error, UnicodeDecodeError) as failure:
            raise ValueError("auth") from failure
        username, colon, password = text.partition(":")
        if not colon:
            raise ValueError("auth")
        return Credential(username, password.rstrip("\0"))
    return Credential(str(entry.get("username") or ""), str(entry.get("password") or ""))


class Keyring:
    """Credentials by place: "registry.example", "*.example:5000", "registry.example/team". Two with
    the same in them are equal."""

    def __init__(self, entries: Iterable[tuple[str, Credential]] = ()) -> None:
        self._entries: dict[str, list[Credential]] = {}
        for place, credential in entries:
            if key := _key(place):
                found = self._entries.setdefault(key, [])
                found += [credential] if credential not in found else []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keyring) and self._entries == other._entries

    def __hash__(self) -> int:
        return hash(frozenset((key, tuple(found)) for key, found in self._entries.items()))

    def lookup(self, repository: str) -> Sequence[Credential]:
        """All that match "registry.example/team/app", the most special first; mostly none or
        one."""
        found: list[Credential] = []
        for key in sorted(self._entries, reverse=True):
            if _matches(key, repository):
                found += [c for c in self._entries[key] if c not in found]
        if not found and repository.startswith(f"{DEFAULT_REGISTRY}/"):
            found += self._entries.get(f"index.{DEFAULT_REGISTRY}", ())
        return found


def _key(place: str) -> str:
    """ "" for what is no place."""
    try:
        url = urlsplit(place if place.startswith(("https://", "http://")) else f"https://{place}")
    except ValueError:
        return ""
    path = _OLD_PREFIX.sub("/", f"{url.path}")
    return url.netloc + ("" if path in ("/", "/v1", "/v2") else path)


def _matches(key: str, repository: str) -> bool:
    """Each label of the host is a glob of its own; the path is a prefix; the port is the same."""
    host, slash, path = key.partition("/")
    their_host, _, their_path = repository.partition("/")
    name, _, port = host.partition(":")
    their_name, _, their_port = their_host.partition(":")
    labels, their_labels = name.split("."), their_name.split(".")
    return (
        port == their_port
        and len(labels) == len(their_labels)
        and (not slash or f"/{their_path}".startswith(f"/{path}"))
        and all(
            fnmatch.fnmatchcase(theirs, glob)
            for glob, theirs in zip(labels, their_labels, strict=True)
        )
    )
