"""From a profile to the classic BPF program that the kernel runs before each system call. Pure.

Room kubelet; called by __init__.py. The shape of a program:

    the ABI → [x32 or not] → the call's number, found by halving → its rules, first to last

Numbers next to each other that share a fate are one interval, so that a search through 460 calls
takes eight comparisons (the kernel besides remembers which calls are always allowed).
Source: `man 2 seccomp`, kernel `userspace-api/seccomp_filter.rst`, `linux/bpf_common.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import itemgetter

from kubelet.seccomp.abi import X32_BIT, Abi, abi
from kubelet.seccomp.profile import Condition, Profile, ProfileError, Rule

Code = list[tuple[int, int, int, int]]  # (operation, constant, skipped if true, skipped if false)
Rules = tuple[Rule, ...]  # of one call

_LOAD, _AND, _JUMP, _RETURN = 0x20, 0x54, 0x05, 0x06
_JEQ, _JGT, _JGE = 0x15, 0x25, 0x35
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16  # offsets in struct seccomp_data
_JUMP_MAX = 255  # a conditional jump has one byte for each of its ways
INSTRUCTIONS_MAX = 4096  # BPF_MAXINSNS
_KILL = 0  # SECCOMP_RET_KILL_THREAD, of a call made in a way that the profile does not name
_WORD = 0xFFFFFFFF


def compile_profile(profile: Profile) -> bytes:
    """The program as an array of `struct sock_filter`. Raises ProfileError."""
    abis = [abi(name) for name in profile.abis]
    code: Code = [_ret(_KILL)]
    for arch in {found.audit_arch: None for found in abis}:
        body = _of_arch([found for found in abis if found.audit_arch == arch], profile)
        code = _if(_JEQ, arch, body, code)
    code = [(_LOAD, _ARCH, 0, 0), *code]
    if len(code) > INSTRUCTIONS_MAX:
        raise ProfileError(f"seccomp profile too large: {len(code)} instructions")
    return b"".join(struct.pack("=HBBI", op, yes, no, k) for op, k, yes, no in code)


def _of_arch(abis: Sequence[Abi], profile: Profile) -> Code:
    """x86-64 and x32 calls look the same but for one bit of the number."""
    tables = {found.name == "SCMP_ARCH_X32": found for found in abis}
    body = _search(tables[False], 0, profile) if False in tables else [_ret(_KILL)]
    if abis[0].name in ("SCMP_ARCH_X86_64", "SCMP_ARCH_X32"):
        x32 = _search(tables[True], X32_BIT, profile) if True in tables else [_ret(_KILL)]
        body = _if(_JGE, X32_BIT, x32, body)
    return [(_LOAD, _NUMBER, 0, 0), *body]


def _search(found: Abi, base: int, profile: Profile) -> Code:
    """The fate of every number from `base` on."""
    rules: dict[int, Rules] = {}
    for rule in profile.rules:
        if rule.call in found.numbers:
            number = base + found.numbers[rule.call]
            rules[number] = (*rules.get(number, ()), rule)
    starts = [(base, ())]  # (first number of an interval, the rules of its calls)
    for number in sorted(rules):
        starts += [(number, rules[number]), (number + 1, ())]
    intervals = [
        (first, _fate(of_call, profile.otherwise))
        for (first, of_call), (following, _) in pairwise([*starts, (_WORD, ())])
        if first != following
    ]
    if rules:
        intervals[-1] = (intervals[-1][0], [_ret(profile.beyond)])
    return _halve([next(alike) for _, alike in groupby(intervals, key=itemgetter(1))])


def _halve(intervals: list[tuple[int, Code]]) -> Code:
    if len(intervals) == 1:
        return intervals[0][1]
    middle = len(intervals) // 2
    upper = _halve(intervals[middle:])
    return _if(_JGE, intervals[middle][0], upper, _halve(intervals[:middle]))


def _fate(rules: Rules, otherwise: int) -> Code:
    """The rules of one call, the first that holds decides; no rule at all is the default."""
    code = [_ret(otherwise)]
    for rule in reversed(rules):
        if not rule.conditions:
            code = [_ret(rule.verdict)]
            continue
        body = [_ret(rule.verdict)]
        for condition in reversed(rule.conditions):
            body = _test(condition, body)
        code = body + code
    return code


def _test(condition: Condition, then: Code) -> Code:
    """Go on to `then` if the condition holds, else behind it. A word has 32 bits, so two looks."""
    value, mask = condition.value, None
    if condition.operator == "MASKED_EQ":
        value, mask = condition.value_two, condition.value
    address = _ARGUMENTS + 8 * condition.index  # little-endian: the low word comes first
    high = _look(address + 4, None if mask is None else mask >> 32)
    low = _look(address, None if mask is None else mask & _WORD)
    size = len(low) + 1
    passed, failed = 0, len(then)
    ahead, low_value, high_value = size, value & _WORD, value >> 32
    match condition.operator:
        case "EQ" | "MASKED_EQ":
            tests = [(_JEQ, high_value, 0, ahead + failed)], (_JEQ, low_value, passed, failed)
        case "NE":
            tests = [(_JEQ, high_value, 0, ahead + passed)], (_JEQ, low_value, failed, passed)
        case "GT" | "GE":
            way = _JGT if condition.operator == "GT" else _JGE
            tests = _ordered(high_value, ahead + passed, ahead + failed), (
                way, low_value, passed, failed,
            )  # fmt: skip
        case "LE" | "LT":
            way = _JGT if condition.operator == "LE" else _JGE
            tests = _ordered(high_value, ahead + failed, ahead + passed), (
                way, low_value, failed, passed,
            )  # fmt: skip
        case _:
            raise AssertionError(condition.operator)
    code = [*high, *tests[0], *low, tests[1]]
    if any(max(yes, no) > _JUMP_MAX for _, _, yes, no in code):
        raise ProfileError("seccomp rule too long")
    return code + then


def _ordered(high: int, above: int, below: int) -> Code:
    """Of the high words: larger, smaller, or (going on) equal."""
    return [(_JGT, high, above + 1, 0), (_JEQ, high, 0, below)]


def _look(address: int, mask: int | None) -> Code:
    load = (_LOAD, address, 0, 0)
    return [load] if mask is None else [load, (_AND, mask, 0, 0)]


def _if(operation: int, constant: int, then: Code, otherwise: Code) -> Code:
    """`otherwise` stands first; a long way around it takes a jump of its own."""
    if len(otherwise) <= _JUMP_MAX:
        return [(operation, constant, len(otherwise), 0), *otherwise, *then]
    around = (_JUMP, len(otherwise), 0, 0)
    return [(operation, constant, 0, 1), around, *otherwise, *then]


def _ret(verdict: int) -> tuple[int, int, int, int]:
    return (_RETURN, verdict, 0, 0)
