"""The end of a script of as_commands.py: what a process does to itself after it has lost the host's
tools, as a short Python program of the standard library. Room kubelet/inspect; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kubelet.runtime import syscalls
from kubelet.runtime.capabilities import NAMES, SYS_ADMIN

_HEAD = '''\
"""The same system calls as the runtime's, in its order; beside each the command that is like it."""
import base64, ctypes, os, resource, signal, struct

libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": {"pivot_root": 155, "keyctl": 250, "seccomp": 317},
          "aarch64": {"pivot_root": 41, "keyctl": 219, "seccomp": 277}}[os.uname().machine]

def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")

def call(name, *args):
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    checked(libc.syscall(ctypes.c_long(number[name]), *words), name)

def prctl(option, value=0):
    checked(libc.prctl(option, *map(ctypes.c_long, (value, 0, 0, 0))), "prctl")

def capset(effective, permitted):
    words = [mask >> shift & 0xFFFFFFFF for shift in (0, 32) for mask in (effective, permitted)]
    header = struct.pack("=Ii", 0x20080522, 0)
    data = struct.pack("=6I", words[0], words[1], 0, words[2], words[3], 0)
    checked(libc.capset(header, data), "capset")

def seccomp(program):
    code = ctypes.create_string_buffer(program, len(program))
    call("seccomp", 1, 0, struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(code)))

with open(9, "rb") as file:  # the live one's /proc/<pid>/environ, opened by process.sh
    env = dict(word.split(b"=", 1) for word in file.read().split(b"\\0") if b"=" in word)
env = env or {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

os.chdir(os.environ["ROOT"])
call("pivot_root", b".", b".")          # pivot_root . .
checked(libc.umount2(b".", 2), "umount2")  # umount --lazy .
os.chdir("/")'''


def lines(done: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    yield from _HEAD.split("\n")
    program = next((one[1] for one in done if one[0] == "seccomp_program"), "")
    has_no_new_privileges = any(one[:2] == ("prctl", syscalls.PR_SET_NO_NEW_PRIVS) for one in done)
    last = 0
    for one in done:
        match one:
            case ("prctl", syscalls.PR_CAPBSET_DROP, number):
                option = syscalls.PR_CAPBSET_DROP
                yield f"prctl({option}, {number})  # PR_CAPBSET_DROP {NAMES[number]}"
            case ("capset", effective, permitted):
                last = effective
                yield from _capset(effective, permitted)
            case ("seccomp",):
                is_ready = has_no_new_privileges or bool(last & SYS_ADMIN)
                yield from _filter(program, last, may_be_set=is_ready)
            case _:
                yield from _step(one)


def _step(one: tuple[Any, ...]) -> Iterator[str]:
    match one:
        case ("join_session_keyring",):
            yield 'call("keyctl", 1, 0)  # KEYCTL_JOIN_SESSION_KEYRING; keyctl session'
        case ("setsid",):
            yield "if os.getpid() != os.getsid(0):"
            yield "    os.setsid()  # setsid"
        case ("prctl", syscalls.PR_SET_NO_NEW_PRIVS, _):
            yield f"prctl({syscalls.PR_SET_NO_NEW_PRIVS}, 1)  # setpriv --no-new-privs"
        case ("prctl", syscalls.PR_SET_KEEPCAPS, value):
            yield f"prctl({syscalls.PR_SET_KEEPCAPS}, {value})  # PR_SET_KEEPCAPS"
        case ("setgroups", groups):
            yield f"os.setgroups({list(groups)})  # setpriv --groups"
        case ("setresgid", gid):
            yield f"os.setresgid({gid}, {gid}, {gid})  # setpriv --regid {gid}"
        case ("setresuid", uid):
            yield "os.umask(0o022)"
            yield f"os.setresuid({uid}, {uid}, {uid})  # setpriv --reuid {uid}"
        case ("chdir", path) if path.startswith("/"):
            yield f"os.chdir({path!r})"
        case ("execve", path, argv):
            yield f"os.execve({path!r}, {list(argv)!r}, env)"


def _capset(effective: int, permitted: int) -> Iterator[str]:
    names = [name for bit, name in enumerate(NAMES) if effective >> bit & 1]
    said = ", ".join(name.removeprefix("CAP_").lower() for name in names) or "none"
    for start in range(0, len(said), 80):
        yield f"# {said[start : start + 80]}"
    yield f"capset({effective:#x}, {permitted:#x})  # capsh --caps=…"


def _filter(program: str, effective: int, *, may_be_set: bool) -> Iterator[str]:
    """With no_new_privs everybody may; else it takes CAP_SYS_ADMIN, which is given up after it."""
    yield "# seccomp(2): no command sets a filter; this is the program that the kubelet compiled"
    if not may_be_set:
        yield f"capset({effective | SYS_ADMIN:#x}, {effective | SYS_ADMIN:#x})"
    yield "seccomp(base64.b64decode("
    yield from (f"    {program[at : at + 88]!r}" for at in range(0, len(program), 88))
    yield "))"
    if not may_be_set:
        yield f"capset({effective:#x}, {effective:#x})"
