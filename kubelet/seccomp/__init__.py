"""Which system calls a container may make: securityContext.seccompProfile, made into a program.

Room kubelet; called by container_config.py. The kubelet compiles (a profile and a set of
capabilities once), the program travels in the ContainerConfig, and the container child gives it to
the kernel.
Source: Kubernetes docs "Seccomp and Kubernetes"; kubelet `pkg/kubelet/kuberuntime/helpers.go`.
"""

from __future__ import annotations

import base64
import functools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kubelet.runtime import syscalls
from kubelet.seccomp import compiler, default_profile
from kubelet.seccomp.profile import ProfileError, Situation, parse

Object = dict[str, Any]

_CACHED_PROGRAMS = 64
PROFILE_MAX_BYTES = 1 << 20


class SeccompProfiles:
    """`directory` is where the node's own profiles lie (`<node dir>/seccomp`); with `is_default`
    (a KubeletConfiguration's seccompDefault) saying nothing means RuntimeDefault."""

    def __init__(self, directory: str, *, is_default: bool = False) -> None:
        self.directory = Path(directory)
        self._unsaid = "RuntimeDefault" if is_default else "Unconfined"

    def program(self, profile: Object | None, capabilities: Iterable[str]) -> str:
        """The program for a container with these capabilities, in base64; "" for no filter.
        Raises ProfileError."""
        kind = self._kind(profile)
        if kind == "Unconfined":
            return ""
        text = b"" if kind == "RuntimeDefault" else self._read((profile or {})["localhostProfile"])
        return _compiled(text, frozenset(capabilities))

    def source(self, profile: Object | None) -> str:
        """For an engine that compiles by itself: "RuntimeDefault", a file's path, or ""."""
        kind = self._kind(profile)
        if kind == "Localhost":
            return str(self.directory / (profile or {})["localhostProfile"])
        return "" if kind == "Unconfined" else kind

    def _kind(self, profile: Object | None) -> str:
        return str((profile or {}).get("type") or self._unsaid)

    def _read(self, name: str) -> bytes:
        """A file of the node; neither ".." nor a link leads out of the directory."""
        path = self.directory / name
        try:
            root = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fd = syscalls.open_in_root(root, name, os.O_RDONLY | os.O_NONBLOCK)
            finally:
                os.close(root)
            try:
                text = os.read(fd, PROFILE_MAX_BYTES + 1)
            finally:
                os.close(fd)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            why = f'cannot load seccomp profile "{path}": open {path}: {reason}'
            raise ProfileError(f"failed to generate seccomp spec opts: {why}") from None
        if len(text) > PROFILE_MAX_BYTES:
            raise ProfileError(f'seccomp profile "{path}" has more than {PROFILE_MAX_BYTES} bytes')
        return text


@functools.lru_cache(maxsize=_CACHED_PROGRAMS)
def _compiled(text: bytes, capabilities: frozenset[str]) -> str:
    """`text` is a profile as it stands in its file; empty means RuntimeDefault."""
    release = os.uname().release.split(".")
    kernel = (int(release[0]), int("".join(c for c in release[1] if c.isdigit()) or 0))
    situation = Situation(os.uname().machine, kernel, capabilities)
    source = text or json.dumps(default_profile.PROFILE).encode()
    return base64.b64encode(compiler.compile_profile(parse(source, situation))).decode()


__all__ = ["ProfileError", "SeccompProfiles"]
