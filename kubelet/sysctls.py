"""securityContext.sysctls: which a node lets a Pod set. Pure.

Room kubelet; called by security_admission.py and pod_sync.py. A sysctl is safe when it belongs to a
namespace of the Pod and harms nobody else on the node; others that are namespaced need the node's
consent (allowedUnsafeSysctls), and what the kernel does not keep apart is never set.
Source: Kubernetes docs "Using sysctls in a Kubernetes Cluster"; kubelet `pkg/kubelet/sysctl`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Object = dict[str, Any]

SAFE = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
)  # fmt: skip
_NAMESPACES = (  # prefix, namespace, the PodSpec's field that shares the host's
    ("kernel.sem", "IPC", "hostIPC"),
    ("kernel.shm", "IPC", "hostIPC"),
    ("kernel.msg", "IPC", "hostIPC"),
    ("fs.mqueue.", "IPC", "hostIPC"),
    ("net.", "net", "hostNetwork"),
)
NAME_MAX_LENGTH = 253
_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_NAME = re.compile(rf"({_SEGMENT}[\./])*{_SEGMENT}")
_PATTERN = re.compile(rf"({_SEGMENT}[\./])*({_SEGMENT}|\*|{_SEGMENT}\*)")


def of_pod(pod: Object) -> dict[str, str]:
    """{"net.ipv4.tcp_syncookies": "1"}, names with dots between their parts."""
    found = (pod["spec"].get("securityContext") or {}).get("sysctls") or ()
    return {with_dots(sysctl["name"]): str(sysctl.get("value", "")) for sysctl in found}


def refusal(pod: Object, unsafe: Iterable[str]) -> str:
    """Why the Pod's sysctls cannot be set; "" if they can. `unsafe` are names, or prefixes that
    end in "*", which the node allows besides the safe ones."""
    allowed = [*SAFE, *map(with_dots, unsafe)]
    for name in of_pod(pod):
        if not _NAME.fullmatch(name) or not any(_matches(name, pattern) for pattern in allowed):
            return f'forbidden sysctl: "{name}" not allowlisted'
        namespace, sharing = _namespace(name)
        if sharing and pod["spec"].get(sharing):
            return f'forbidden sysctl: "{name}" not allowed with host {namespace} enabled'
    return ""


def pattern_problem(pattern: str) -> str:
    """What is wrong with one entry of allowedUnsafeSysctls; "" if nothing."""
    if len(pattern) > NAME_MAX_LENGTH or not _PATTERN.fullmatch(pattern):
        words = f"must have at most {NAME_MAX_LENGTH} characters and match regex {_PATTERN.pattern}"
        return f'sysctl "{pattern}" {words}'
    if not _namespace(with_dots(pattern.rstrip("*")))[0]:
        return f'the sysctls "{pattern}" are not known to be namespaced'
    return ""


def with_dots(name: str) -> str:
    """ "net/ipv4/conf/eth0.1/forwarding" → "net.ipv4.conf.eth0/1.forwarding" (`man 8 sysctl`)."""
    first = next((c for c in name if c in "./"), ".")
    return name if first == "." else name.translate({ord("."): "/", ord("/"): "."})


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _namespace(name: str) -> tuple[str, str]:
    """("net", "hostNetwork"); ("", "") if the kernel has only one of it."""
    for prefix, namespace, sharing in _NAMESPACES:
        if name.startswith(prefix):
            return namespace, sharing
    return "", ""
