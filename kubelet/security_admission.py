"""What this node's kernel or its settings cannot give a Pod that asks for security. Pure but for
one look at the kernel.

Room kubelet; called by pod_sync.py before a Pod's first start. Such a Pod fails at once, with
Kubernetes' reasons: it would run with less protection than it asks for.
Source: kubelet `pkg/security/apparmor`, `pkg/kubelet/sysctl/allowlist.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet import security, sysctls
from kubelet.admission import Rejection
from kubelet.configuration import KubeletConfiguration
from kubelet.unsupported import containers_of

Object = dict[str, Any]

_APPARMOR_ENABLED = Path("/sys/module/apparmor/parameters/enabled")
_SELINUX = Path("/sys/fs/selinux/enforce")


@dataclass(frozen=True)
class Modules:
    """Which security modules the kernel runs."""

    apparmor: bool
    selinux: bool


def find_modules() -> Modules:
    try:
        apparmor = _APPARMOR_ENABLED.read_text().startswith("Y")
    except OSError:
        apparmor = False
    return Modules(apparmor, _SELINUX.exists())


def rejection(pod: Object, settings: KubeletConfiguration, modules: Modules) -> Rejection | None:
    """Why this node will not run the Pod; None if it will."""
    if why := sysctls.refusal(pod, settings.allowed_unsafe_sysctls):
        return Rejection("SysctlForbidden", f"Pod was rejected: {why}")
    if any(_wants_apparmor(pod, container) for _, container in containers_of(pod)):
        why = "this kubelet loads no profiles" if modules.apparmor else _not_enabled("AppArmor")
        return Rejection("AppArmor", f"Pod was rejected: Cannot enforce AppArmor: {why}")
    if any(_selinux_options(pod)):
        why = "this kubelet sets no labels" if modules.selinux else _not_enabled("SELinux")
        return Rejection("SELinux", f"Pod was rejected: Cannot enforce SELinux: {why}")
    return None


def _not_enabled(module: str) -> str:
    return f"{module} is not enabled on the host"


def _wants_apparmor(pod: Object, container: Object) -> bool:
    profile = security.apparmor_profile(pod, container)
    return profile is not None and profile != "unconfined"


def _selinux_options(pod: Object) -> Iterator[Object]:
    """Those that say something."""
    contexts = [security.pod_context(pod)]
    contexts += [security.context_of(container) for _, container in containers_of(pod)]
    for context in contexts:
        if options := context.get("seLinuxOptions"):
            yield options
