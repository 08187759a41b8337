"""What this node's kernel or its settings cannot give a Pod that asks for security. Pure but for
looks at the kernel.

Room kubelet; called by pod_sync.py before a Pod's first start, and by container_config.py. Such a
Pod fails at once, with Kubernetes' reasons: it would run with less protection than it asks for.
Source: kubelet `pkg/security/apparmor`, `pkg/kubelet/sysctl/allowlist.go`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubelet import security, sysctls
from kubelet.admission import Rejection
from kubelet.apparmor import AppArmor
from kubelet.configuration import KubeletConfiguration
from kubelet.unsupported import containers_of

Object = dict[str, Any]

_SELINUX = Path("/sys/fs/selinux/enforce")


@dataclass(frozen=True)
class Modules:
    """Which security modules the kernel runs."""

    apparmor: AppArmor
    selinux: bool


def find_modules(default_profile: str) -> Modules:
    """`default_profile` is what AppArmor shall know this node's own profile by."""
    return Modules(AppArmor(default_profile), _SELINUX.exists())


def rejection(pod: Object, settings: KubeletConfiguration, modules: Modules) -> Rejection | None:
    """Why this node will not run the Pod; None if it will."""
    if why := sysctls.refusal(pod, settings.allowed_unsafe_sysctls):
        return Rejection("SysctlForbidden", why)
    for _, container in containers_of(pod):
        if module := unenforceable(pod, container, modules):
            return Rejection(module.name, module.problem)
    return None


@dataclass(frozen=True)
class Unenforceable:
    """A security module by name, and why it cannot do what is asked of it."""

    name: str
    problem: str


def unenforceable(pod: Object, container: Object, modules: Modules) -> Unenforceable | None:
    """What a container asks of security modules and will not get; also of an ephemeral one, which
    comes when its Pod has long been admitted."""
    if why := modules.apparmor.problem(security.apparmor_profile(pod, container)):
        return Unenforceable("AppArmor", f"Cannot enforce AppArmor: {why}")
    if security.selinux_options(pod, container):
        is_there = "this kubelet sets no labels"
        why = is_there if modules.selinux else "SELinux is not enabled on the host"
        return Unenforceable("SELinux", f"Cannot enforce SELinux: {why}")
    return None
