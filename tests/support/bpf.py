"""A little machine for classic BPF: what a seccomp program would tell the kernel about one call."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from kubelet.seccomp.abi import X32_BIT, abi

ALLOW, KILL = 0x7FFF0000, 0x00000000
WAYS = {
    "x86_64": "SCMP_ARCH_X86_64", "x86": "SCMP_ARCH_X86", "x32": "SCMP_ARCH_X32",
    "aarch64": "SCMP_ARCH_AARCH64",
}  # fmt: skip


def errno(number: int) -> int:
    return 0x00050000 | number


def verdict(program: bytes, call: str | int, *args: int, way: str = "x86_64") -> int:
    """`call` by name or number, made in one of `WAYS`."""
    found = abi(WAYS[way])
    number = found.numbers[call] if isinstance(call, str) else call
    if way == "x32":
        number |= X32_BIT
    return run(program, number, found.audit_arch, args)


def run(program: bytes, number: int, arch: int, args: Sequence[int]) -> int:
    filled = [*args, *[0] * (6 - len(args))]
    data = struct.pack("=IIQ6Q", number, arch, 0, *filled)
    code = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, constant)[0]
            case 0x54:
                accumulator &= constant
            case 0x05:
                at += constant
            case 0x06:
                return int(constant)
            case 0x15:
                at += if_true if accumulator == constant else if_false
            case 0x25:
                at += if_true if accumulator > constant else if_false
            case 0x35:
                at += if_true if accumulator >= constant else if_false
            case _:
                raise AssertionError(f"operation {operation:#x}")
