"""The program that holds a sandbox's namespaces open under containerd: 188 bytes of ELF. Pure.

containerd makes every sandbox from an image whose first process does nothing. That process needs
no libc and no compiler: a header, and nine instructions. It ignores SIGCHLD, so that the kernel
reaps what a shared PID namespace hands to its first process, and sleeps for ever.
Source: `man 5 elf`, System V ABI AMD64 supplement, `man 2 syscalls`.
"""

from __future__ import annotations

import os
import struct

from kubelet.runtime.errors import HostUnsupported

_BASE, _HEADERS_BYTES = 0x400000, 64 + 56
_SIGACTION_IGNORE = struct.pack("<4Q", 1, 0, 0, 0)  # SIG_IGN, no flags, no restorer, empty mask
_X86_64 = (
    b"\xb8\x0d\x00\x00\x00"  # mov eax, 13        rt_sigaction(
    b"\xbf\x11\x00\x00\x00"  # mov edi, 17          SIGCHLD,
    b"\x48\x8d\x35\x13\x00\x00\x00"  # lea rsi, [rip+19]    what follows the code,
    b"\x31\xd2"  # xor edx, edx         NULL,
    b"\x41\xba\x08\x00\x00\x00"  # mov r10d, 8          8)
    b"\x0f\x05"  # syscall
    b"\xb8\x22\x00\x00\x00"  # mov eax, 34        pause()
    b"\x0f\x05"  # syscall
    b"\xeb\xf7"  # jmp -9             and again
)
_EM_X86_64 = 62


def pause_program() -> bytes:
    """The executable file; HostUnsupported on a machine whose instructions are not written here."""
    if (machine := os.uname().machine) != "x86_64":
        raise HostUnsupported(f"the containerd engine has no pause program for {machine} yet")
    code = _X86_64 + _SIGACTION_IGNORE
    size, entry = _HEADERS_BYTES + len(code), _BASE + _HEADERS_BYTES
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)  # 64 bits, little endian, version 1
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, _EM_X86_64, 1, entry, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )  # an executable with one program header
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, 0x1000)  # read, execute
    return ident + header + load + code
