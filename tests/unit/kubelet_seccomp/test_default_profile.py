"""RuntimeDefault, as the kernel would read it."""

from __future__ import annotations

import json

import pytest

from kubelet.seccomp import abi, compiler, default_profile
from kubelet.seccomp.profile import Situation, parse
from tests.support.bpf import ALLOW, KILL, WAYS, errno, verdict

EPERM, ENOSYS = errno(1), errno(38)
CLONE_NEWUSER, SIGCHLD = 0x10000000, 17


def program(*capabilities: str, machine: str = "x86_64") -> bytes:
    situation = Situation(machine, (6, 1), frozenset(capabilities))
    text = json.dumps(default_profile.PROFILE).encode()
    return compiler.compile_profile(parse(text, situation))


@pytest.mark.parametrize("way", WAYS)
def test_what_every_program_needs_is_allowed(way: str) -> None:
    code = program(machine="aarch64" if way == "aarch64" else "x86_64")
    for call in ("read", "openat", "execve", "futex", "statx", "rt_sigreturn", "exit_group"):
        assert verdict(code, call, way=way) == ALLOW, call


@pytest.mark.parametrize("way", WAYS)
def test_what_changes_the_machine_is_refused_however_it_is_called(way: str) -> None:
    code = program(machine="aarch64" if way == "aarch64" else "x86_64")
    for call in ("mount", "kexec_load", "keyctl", "bpf", "unshare", "setns", "reboot", "swapon",
                 "init_module", "open_by_handle_at", "io_uring_setup", "userfaultfd"):  # fmt: skip
        assert verdict(code, call, way=way) == EPERM, call


def test_a_call_newer_than_the_list_does_not_exist() -> None:
    assert verdict(program(), 1000) == ENOSYS
    assert verdict(program(), 1000, way="x86") == ENOSYS


def test_another_architectures_calls_kill() -> None:
    assert verdict(program(), "read", way="aarch64") == KILL
    assert verdict(program(machine="aarch64"), "read", way="x86") == KILL


def test_a_clone_may_make_threads_but_no_namespaces() -> None:
    code = program()
    assert verdict(code, "clone", SIGCHLD) == ALLOW
    assert verdict(code, "clone", CLONE_NEWUSER | SIGCHLD) == EPERM
    assert verdict(code, "clone3") == ENOSYS


def test_no_socket_reaches_the_hypervisor() -> None:
    assert verdict(program(), "socket", 2) == ALLOW
    assert verdict(program(), "socket", 40) == EPERM


def test_only_harmless_personalities_can_be_taken_on() -> None:
    address_no_randomize = 0x0040000
    assert verdict(program(), "personality", 0xFFFFFFFF) == ALLOW
    assert verdict(program(), "personality", address_no_randomize) == EPERM


@pytest.mark.parametrize(
    ("capability", "call"),
    [
        ("CAP_SYS_ADMIN", "mount"),
        ("CAP_SYS_ADMIN", "clone3"),
        ("CAP_SYS_CHROOT", "chroot"),
        ("CAP_SYS_TIME", "clock_settime"),
        ("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        ("CAP_SYS_MODULE", "finit_module"),
        ("CAP_BPF", "bpf"),
    ],
)
def test_a_capability_opens_the_calls_that_it_is_for(capability: str, call: str) -> None:
    assert verdict(program(), call) != ALLOW
    assert verdict(program(capability), call) == ALLOW


def test_every_name_in_the_list_is_a_call_somewhere() -> None:
    known = {name for way in WAYS.values() for name in abi.abi(way).numbers}
    listed = {name for rule in default_profile.PROFILE["syscalls"] for name in rule["names"]}
    assert listed - known == set()


def test_it_is_small_enough_to_travel() -> None:
    assert len(program()) < 8192
