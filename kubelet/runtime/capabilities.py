"""Capabilities by name (`man 7 capabilities`). Runs in the launcher and the shims."""

from __future__ import annotations

from collections.abc import Iterable

NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
    "CAP_SETGID", "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
    "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip
_BIT = {name: 1 << number for number, name in enumerate(NAMES)}
MKNOD, SYS_ADMIN = _BIT["CAP_MKNOD"], _BIT["CAP_SYS_ADMIN"]
ALL = (1 << len(NAMES)) - 1


def mask_of(names: Iterable[str]) -> int:
    """The bits of these names; ValueError for a name that Linux does not have."""
    mask = 0
    for name in names:
        if name not in _BIT:
            raise ValueError(f"unknown capability {name!r}")
        mask |= _BIT[name]
    return mask


def permitted() -> int:
    """What this process itself may have: a child can never get more."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith("CapPrm:"):
                return int(line.split()[1], 16)
    raise RuntimeError("no CapPrm in /proc/self/status")
