"""AppArmor: which profile confines a container, and the default one, which this node loads itself.

Room kubelet; called by security_admission.py, container_config.py and teardown.py. A profile lives
in the kernel under a name. A Pod's `Localhost` is one that the node's administrator has loaded;
`RuntimeDefault` is ours, which apparmor_parser compiles and loads when the kubelet starts. The
container child writes the name into /proc/self/attr/apparmor/exec before its exec.
Source: `man 7 apparmor`, `man 5 apparmor.d`, kernel `security/apparmor/`, Kubernetes docs
"Restrict a Container's Access to Resources with AppArmor".
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
from pathlib import Path

_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_KERNEL = Path("/sys/kernel/security/apparmor")
_SEARCH = os.defpath + ":/usr/sbin:/sbin"
UNCONFINED, RUNTIME_DEFAULT, LOCALHOST = "unconfined", "runtime/default", "localhost/"
LOAD_TIMEOUT_S = 30.0

# What seccomp and capabilities leave open to a container's root: settings and devices of the host
# that are files. It may trace and signal its own kind only.
_DEFAULT_PROFILE = """\
profile {name} flags=(attach_disconnected, mediate_deleted) {{
  network,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send, receive) peer={name},
  ptrace (trace, read, tracedby, readby) peer={name},
  unix,
  deny mount,
  deny /proc/sys/** wl,
  deny /proc/acpi/** rwklx,
  deny /proc/{{kcore,keys,latency_stats,mem,kmem,sched_debug,scsi,timer_list,timer_stats}} rwklx,
  deny /proc/sysrq-trigger rwklx,
  deny /sys/[^f]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,
}}
"""

log = logging.getLogger("apparmor")


class AppArmor:
    """What this node can enforce. `default` is the name that our own profile gets in the kernel."""

    def __init__(self, default: str) -> None:
        self.is_enabled = _is_enabled()
        self._default = default
        self._parser = shutil.which("apparmor_parser", path=_SEARCH) if self.is_enabled else None
        self._loading: subprocess.Popen[bytes] | None = None
        self._is_loaded = False

    def start_loading(self) -> None:
        """Have the default profile compiled, which takes a tenth of a second, and go on."""
        if self._parser is None:
            return
        self._loading = subprocess.Popen(
            [self._parser, "--replace", "--skip-cache"],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        assert self._loading.stdin is not None
        self._loading.stdin.write(_DEFAULT_PROFILE.format(name=self._default).encode())
        self._loading.stdin.close()

    def problem(self, profile: str | None) -> str:
        """Why a profile that a Pod asks for cannot be enforced; "" if it can."""
        if profile in (None, UNCONFINED):
            return ""
        if not self.is_enabled:
            return "AppArmor is not enabled on the host"
        if profile == RUNTIME_DEFAULT:
            return "" if self._has_default() else "the node could not load its default profile"
        name = str(profile).removeprefix(LOCALHOST)
        return "" if name in _loaded() else f'profile "{name}" is not loaded'

    def name_for(self, profile: str | None, *, is_privileged: bool) -> str:
        """The kernel's name of the profile of a container that asks for `profile`; "": leave it.
        What says nothing gets the default where there is one, unless it is privileged."""
        if profile is not None and profile.startswith(LOCALHOST):
            return profile.removeprefix(LOCALHOST)
        if profile == UNCONFINED or is_privileged:
            return ""
        return self._default if self._has_default() else ""

    def _has_default(self) -> bool:
        if self._loading is not None:
            _, said = self._loading.communicate(timeout=LOAD_TIMEOUT_S)
            self._is_loaded = self._loading.returncode == 0
            self._loading = None
            if not self._is_loaded:
                log.warning("apparmor_parser: %s", said.decode(errors="replace").strip())
        return self._is_loaded


def unload(default: str) -> None:
    """Take a node's default profile out of the kernel. Safe to repeat."""
    if default in _loaded():
        (_KERNEL / ".remove").write_text(default)


def _is_enabled() -> bool:
    with contextlib.suppress(OSError):
        return _ENABLED.read_text().startswith("Y")
    return False


def _loaded() -> set[str]:
    """The names in lines of "name (mode)"; none where securityfs is not mounted."""
    with contextlib.suppress(OSError):
        lines = (_KERNEL / "profiles").read_text().splitlines()
        return {line.rpartition(" (")[0] for line in lines}
    return set()
