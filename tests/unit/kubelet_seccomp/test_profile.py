"""A node's own profiles: what they can say, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kubelet.seccomp import ProfileError, SeccompProfiles, compiler
from kubelet.seccomp.profile import Situation, parse
from tests.support.bpf import ALLOW, KILL, errno, run, verdict

BIG = 1 << 32
SITUATION = Situation("x86_64", (6, 1), frozenset({"CAP_CHOWN"}))


def program(*rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **more: Any) -> bytes:
    text = json.dumps({"defaultAction": default, "syscalls": rules, **more}).encode()
    return compiler.compile_profile(parse(text, SITUATION))


def a_rule(call: str, action: str = "SCMP_ACT_ERRNO", **more: Any) -> dict[str, Any]:
    return {"names": [call], "action": action, **more}


def an_argument(operator: str, value: int, value_two: int = 0, index: int = 0) -> dict[str, Any]:
    op = f"SCMP_CMP_{operator}"
    return {"index": index, "op": op, "value": value, "valueTwo": value_two}


@pytest.mark.parametrize(
    ("operator", "value", "holds", "fails"),
    [
        ("EQ", BIG + 5, [BIG + 5], [5, BIG, BIG + 6]),
        ("NE", BIG + 5, [5, BIG, 0], [BIG + 5]),
        ("GT", BIG + 5, [BIG + 6, 2 * BIG], [BIG + 5, 6, 0]),
        ("GE", BIG + 5, [BIG + 5, 2 * BIG], [BIG + 4, 6]),
        ("LT", BIG + 5, [BIG + 4, 7, 0], [BIG + 5, 2 * BIG]),
        ("LE", BIG + 5, [BIG + 5, 7, 0], [BIG + 6, 2 * BIG]),
    ],
)
def test_arguments_are_compared_as_64_bits(
    operator: str, value: int, holds: list[int], fails: list[int]
) -> None:
    code = program(a_rule("close", args=[an_argument(operator, value)]))
    assert {verdict(code, "close", given) for given in holds} == {errno(1)}
    assert {verdict(code, "close", given) for given in fails} == {ALLOW}


def test_a_masked_argument_is_compared_after_the_mask() -> None:
    code = program(a_rule("close", args=[an_argument("MASKED_EQ", 0xF0 | BIG, 0x10)]))
    assert verdict(code, "close", 0x1F) == errno(1)
    assert verdict(code, "close", 0x2F) == verdict(code, "close", 0x1F | BIG) == ALLOW


def test_arguments_of_different_index_must_all_hold_and_of_the_same_any() -> None:
    both = program(a_rule("dup2", args=[an_argument("EQ", 1), an_argument("EQ", 2, index=1)]))
    assert verdict(both, "dup2", 1, 2) == errno(1)
    assert verdict(both, "dup2", 1, 3) == ALLOW
    either = program(a_rule("dup2", args=[an_argument("EQ", 1), an_argument("EQ", 2)]))
    assert verdict(either, "dup2", 1) == verdict(either, "dup2", 2) == errno(1)
    assert verdict(either, "dup2", 3) == ALLOW


@pytest.mark.parametrize(
    ("action", "told"),
    [
        ("SCMP_ACT_KILL", 0x00000000),
        ("SCMP_ACT_KILL_PROCESS", 0x80000000),
        ("SCMP_ACT_TRAP", 0x00030000),
        ("SCMP_ACT_LOG", 0x7FFC0000),
        ("SCMP_ACT_TRACE", 0x7FF00001),
        ("SCMP_ACT_ERRNO", 0x00050001),
    ],
)
def test_each_action_reaches_the_kernel(action: str, told: int) -> None:
    assert verdict(program(a_rule("close", action)), "close") == told


def test_an_errno_of_ones_own_is_returned() -> None:
    assert verdict(program(a_rule("close", errnoRet=13)), "close") == errno(13)
    denied = program(default="SCMP_ACT_ERRNO", defaultErrnoRet=13)
    assert verdict(denied, "close") == errno(13)


def test_capabilities_architecture_and_kernel_include_and_exclude() -> None:
    rules = [
        a_rule("close", includes={"caps": ["CAP_SYS_ADMIN"]}),
        a_rule("dup", excludes={"caps": ["CAP_CHOWN"]}),
        a_rule("read", includes={"arches": ["arm64"]}),
        a_rule("write", includes={"minKernel": "99.0"}),
        a_rule("open", includes={"arches": ["amd64"], "caps": ["CAP_CHOWN"], "minKernel": "4.8"}),
    ]
    code = program(*rules)
    calls = ("close", "dup", "read", "write", "open")
    assert [verdict(code, call) == ALLOW for call in calls] == [True, True, True, True, False]


def test_ways_of_calling_that_are_not_named_kill() -> None:
    assert verdict(program(), "read", way="x86") == KILL
    assert verdict(program(), "read", way="x32") == KILL
    assert verdict(program(architectures=["SCMP_ARCH_X86"]), "read", way="x86") == ALLOW
    mapped = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X32"]}
    assert verdict(program(archMap=[mapped]), "read", way="x32") == ALLOW


def test_every_call_of_a_long_profile_is_found() -> None:
    """Rules for all calls, each with its own errno: jumps too long for one byte must hold too."""
    from kubelet.seccomp.abi import abi

    numbers = abi("SCMP_ARCH_X86_64").numbers
    code = program(*(a_rule(call, errnoRet=number + 1) for call, number in numbers.items()))
    for number in numbers.values():
        assert run(code, number, 0xC000003E, ()) == errno(number + 1)


@pytest.mark.parametrize(
    ("profile", "why"),
    [
        ("nonsense", "decoding seccomp profile failed"),
        ("[]", "it is not an object"),
        ('{"syscalls": []}', "defaultAction"),
        ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "needs an agent"),
        ('{"defaultAction": "SCMP_ACT_FLY"}', "unknown seccomp action 'SCMP_ACT_FLY'"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}', "not for action"),
        ('{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 5000}', "not between"),
        ('{"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_LOG"]}', "flag"),
    ],
)
def test_a_profile_that_cannot_be_obeyed_is_refused(profile: str, why: str) -> None:
    with pytest.raises(ProfileError, match=why):
        parse(profile.encode(), SITUATION)


def test_a_profile_of_the_node_is_read_from_its_directory_only(tmp_path: Path) -> None:
    directory = tmp_path / "seccomp"
    (directory / "team").mkdir(parents=True)
    (directory / "team/audit.json").write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    (tmp_path / "outside.json").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
    (directory / "link.json").symlink_to(tmp_path / "outside.json")
    profiles = SeccompProfiles(str(directory))

    def localhost(name: str) -> str:
        return profiles.program({"type": "Localhost", "localhostProfile": name}, [])

    assert localhost("team/audit.json")
    for name in ("missing.json", "../outside.json", "link.json", "team"):
        with pytest.raises(ProfileError, match="cannot load seccomp profile"):
            localhost(name)


def test_no_profile_is_no_filter(tmp_path: Path) -> None:
    profiles = SeccompProfiles(str(tmp_path))
    assert profiles.program(None, []) == profiles.program({"type": "Unconfined"}, []) == ""
