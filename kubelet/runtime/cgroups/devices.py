"""Which device nodes a container may open. Kubernetes' default capabilities contain MKNOD, so
without this a container could make a node of the host's disk and read it.

v1: an allow-list in one cgroup of the `devices` tree, which the launcher enters and every shim and
container inherits. v2: the same list as a small eBPF program, loaded once by the launcher and
attached to each container's cgroup (`man 2 bpf`, BPF_PROG_TYPE_CGROUP_DEVICE). Making a node is
allowed, opening it is not. Where neither works, containers are made without MKNOD.

A container that is given devices of its own has a cgroup, or a program, of its own: the same list
and theirs.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence

from kubelet.runtime import operations, syscalls
from kubelet.runtime.cgroups.hierarchy import write
from kubelet.runtime.protocol import Device

# null, zero, full, random, urandom, tty, ptmx, and every pseudo terminal (None = any minor)
ALLOWED: tuple[tuple[int, int | None], ...] = (
    (1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None),
)  # fmt: skip

_CHAR_DEVICE = 2  # low half of bpf_cgroup_dev_ctx.access_type
_KINDS = {"b": 1, "c": _CHAR_DEVICE}
_ONLY_MKNOD = 1  # high half
_ACCESS = {"m": _ONLY_MKNOD, "r": 2, "w": 4}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE, _CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2


def restrict_v1(directory: str, more: Sequence[Device] = ()) -> None:
    """Deny all devices but `ALLOWED` and `more` to a cgroup of the v1 tree `devices`."""
    write(f"{directory}/devices.deny", "a")
    entries = ["c *:* m", "b *:* m", *(_v1_entry(*device) for device in ALLOWED)]
    entries += [f"{d.type} {d.major}:{d.minor} {d.permissions}" for d in more]
    for entry in entries:
        write(f"{directory}/devices.allow", entry)


def _v1_entry(major: int, minor: int | None) -> str:
    return f"c {major}:{'*' if minor is None else minor} rwm"


def load_program(more: Sequence[Device] = ()) -> int:
    """A file descriptor of the eBPF program; OSError where the kernel has or gives none."""
    program = device_program(more)
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "=IIQQIIQII16sII",
        _PROG_TYPE_CGROUP_DEVICE, len(program) // 8, ctypes.addressof(code),
        ctypes.addressof(licence), 0, 0, 0, 0, 0, b"podium_devices", 0, _CGROUP_DEVICE,
    )  # fmt: skip
    return syscalls.bpf(_PROG_LOAD, attributes)


def attach_program(program_fd: int, directory: str) -> None:
    """From now on the program judges what is opened in that cgroup of the v2 tree."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        words = (fd, program_fd, _CGROUP_DEVICE, _ALLOW_MULTI)
        syscalls.bpf(_PROG_ATTACH, struct.pack("=IIII", *words))
    finally:
        os.close(fd)
    operations.note("device_program", directory)


def device_program(more: Sequence[Device] = ()) -> bytes:
    """The list as eBPF: r1 points to access_type, major, minor; r0 = 1 allows, 0 denies."""
    body = [_insn(0x61, 2, 1), _insn(0x61, 4, 1, off=4), _insn(0x61, 5, 1, off=8)]  # r2, r4, r5
    body += [_insn(0xBF, 3, 2), _insn(0x77, 3, imm=16)]  # r3 = access
    body += [_insn(0x57, 2, imm=0xFFFF)]  # r2 = kind of device
    body += [_insn(0x55, 3, imm=_ONLY_MKNOD, off=2), *_ALLOW]
    for device in more:
        body += _allow_if_it_is(device)
    body += [_insn(0x15, 2, imm=_CHAR_DEVICE, off=2), *_DENY]
    for major, minor in ALLOWED:
        inner = [] if minor is None else [_insn(0x55, 5, imm=minor, off=2)]
        body += [_insn(0x55, 4, imm=major, off=len(inner) + 2), *inner, *_ALLOW]
    return b"".join(body + _DENY)


def _allow_if_it_is(device: Device) -> list[bytes]:
    denied = sum(bit for letter, bit in _ACCESS.items() if letter not in device.permissions)
    return [
        _insn(0x55, 2, imm=_KINDS[device.type], off=7),
        _insn(0x55, 4, imm=device.major, off=6),
        _insn(0x55, 5, imm=device.minor, off=5),
        _insn(0xBF, 0, 3), _insn(0x57, 0, imm=denied),  # r0 = what is asked for and not given
        _insn(0x55, 0, imm=0, off=2),
        *_ALLOW,
    ]  # fmt: skip


def _insn(code: int, dst: int = 0, src: int = 0, *, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("=BBhi", code, src << 4 | dst, off, imm)


_ALLOW = [_insn(0xB7, 0, imm=1), _insn(0x95)]
_DENY = [_insn(0xB7, 0, imm=0), _insn(0x95)]
