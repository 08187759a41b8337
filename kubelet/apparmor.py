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
import threading
from concurrent.futures import Future
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
        self._is_loaded: Future[bool] | None = None  # None: nobody is loading it

    def start_loading(self) -> None:
        """Have the default profile compiled, which takes a tenth of a second, and go on. Once."""
        if self._parser is not None:
            self._is_loaded = Future()
            words = (self._parser, self._is_loaded)
            threading.Thread(target=self._load, args=words, name="apparmor").start()

    def _load(self, parser: str, is_loaded: Future[bool]) -> None:
        failure = _compile(parser, _DEFAULT_PROFILE.format(name=self._default))
        if failure:
            log.warning("the default profile is not loaded: %s", failure)
        is_loaded.set_result(not failure)

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
        return self._is_loaded is not None and self._is_loaded.result()


def unload(default: str) -> None:
    """Take a node's default profile out of the kernel. Safe to repeat."""
    if default in _loaded():
        (_KERNEL / ".remove").write_text(default)


def _compile(parser: str, profile: str) -> str:
    """Have the kernel know a profile; what went wrong, or ""."""
    try:
        done = subprocess.run(
            [parser, "--replace", "--skip-cache"],
            input=profile.encode(), capture_output=True, timeout=LOAD_TIMEOUT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip()
    return "" if done.returncode == 0 else said or f"{parser}: exit {done.returncode}"


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
